"""Plans inside other programs' sampling loops.

``specjax.interop.k_diffusion`` has ``sample_plan(model, x, plan)``, ``specjax.interop.diffusers``
a scheduler for pipelines (with ``pip install 'specjax[interop]'``); import what you use.
"""
