"""How far samples are from data: distances, error bars, and real against real as the floor.

The measures are pure functions of two arrays, generated samples and data; :data:`MEASURES` lists
them. :func:`evaluate` takes several, with error bars and the floor of the same n::

    found = specjax.evaluate.evaluate(samples, data)      # [m, *shape] or [seeds, m, *shape]
    found.values["frechet"].value, found.values["frechet"].error, found.floor["frechet"].value

:func:`evaluate_schedules` draws the samples itself, with any denoiser, along several schedules.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
