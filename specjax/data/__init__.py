"""Datasets: from a name, a file or an array to samples in known units.

``open`` takes a built-in name (:data:`BUILTIN`), a ``.npy`` or ``.npz`` file, or an array. What it
returns knows its units and where it comes from, and makes the spectrum::

    spectrum = specjax.data.open("digits").spectrum()

Nothing is read before it is needed: scikit-learn is imported when a built-in set is opened,
``.npy`` files are memory-mapped, and samples become floats batch by batch.
"""

from specjax.data.builtin import BUILTIN
from specjax.data.dataset import Dataset
from specjax.data.opening import open

__all__ = ["BUILTIN", "Dataset", "open"]
