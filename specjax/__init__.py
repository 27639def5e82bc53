"""specjax: learn the sampling of diffusion models from the spectrum of the data.

See the README for a tour; :mod:`specjax.schedules.schedule` states the conventions. The public
names are those of ``__init__.pyi``, which type checkers read; each is imported when it is used, and
JAX with the first of them.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
