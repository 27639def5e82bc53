"""Other programs: plans inside their sampling loops, and their networks as denoisers.

``specjax.interop.k_diffusion`` has ``sample_plan(model, x, plan)``, ``specjax.interop.diffusers``
a scheduler for pipelines and ``specjax.interop.torch`` denoisers of torch modules (with
``pip install -e '.[interop]'``); import what you use.
"""
