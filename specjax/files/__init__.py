"""Files: one codec for every kind, and a gate for what is read and one for what is written.

:mod:`specjax.files.inputs` opens what a user names, :mod:`specjax.files.outputs` says what may be
written, :mod:`specjax.files.atomic` writes whole files, :mod:`specjax.files.codec` a header with
arrays, :mod:`specjax.files.kinds` what the core keeps. ``from specjax import files`` has them all.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
