"""Datasets: samples of a name, a file or an array, in known units.

``open`` takes a built-in name (:data:`BUILTIN`), a prepared TFDS set ("tfds:NAME"), a ``.npy`` or
``.npz`` file, a folder of images or sound, an array, or batches. What it returns knows its units
and where it comes from, and makes the spectrum::

    spectrum = specjax.data.open("digits").spectrum()

Nothing is read before it is needed: a library is imported when a dataset needs it, ``.npy`` files
are memory-mapped, folders and TFDS sets are read batch by batch. The readers: :mod:`.builtin`,
:mod:`.npy`, :mod:`.image_folder`, :mod:`.sound_folder` (both on :mod:`.folder`), :mod:`.tfds`,
:mod:`.iterables`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
