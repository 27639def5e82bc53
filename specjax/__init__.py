"""specjax: learn the sampling of diffusion models from the spectrum of the data.

See the README for a tour; :mod:`specjax.schedules.schedule` states the conventions. The public
names are those of ``__init__.pyi``, which type checkers read; each is imported when it is used, and
JAX with the first of them.
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

try:
    __version__ = version("specjax")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0.0.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
