"""Datasets: from a name, a file or an array to samples in known units.

``open`` takes a built-in name (:data:`BUILTIN`), a prepared TFDS set ("tfds:NAME"), a ``.npy`` or
``.npz`` file, a folder of images or sound, an array, or batches. What it returns knows its units
and where it comes from, and makes the spectrum::

    spectrum = specjax.data.open("digits").spectrum()

Nothing is read before it is needed: a library is imported when a set needs it, ``.npy`` files are
memory-mapped, folders and TFDS sets are read batch by batch.
"""

from specjax.data.arrays import Collected, collect, rescaled
from specjax.data.builtin import BUILTIN
from specjax.data.corruption import corrupted
from specjax.data.dataset import Dataset
from specjax.data.drawing import Drawn, drawn
from specjax.data.opening import open
from specjax.data.options import Options

__all__ = [
    "BUILTIN",
    "Collected",
    "Dataset",
    "Drawn",
    "Options",
    "collect",
    "corrupted",
    "drawn",
    "open",
    "rescaled",
]
