"""The document of a noise file, and the noise in documents of other kinds.

A file holds the family and its parameters, or the weights; of noise in the data's own basis not
that basis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specjax.files.documents import made_now, plain
from specjax.noise.families import noise_of_document
from specjax.noise.noise_spectrum import NoiseSpectrum

FORMAT = "specjax.noise"
VERSION = 1


def noise_document(noise: NoiseSpectrum) -> dict[str, Any]:
    """The document of a file of a noise alone."""
    return {"format": FORMAT, "format_version": VERSION, **noise_field(noise), **made_now()}


def noise_field(noise: NoiseSpectrum | None) -> dict[str, Any]:
    """The field ``noise`` of a document of any kind; nothing for None."""
    if noise is None:
        return {}
    return {"noise": plain(noise.document())}


def noise_in(document: Mapping[str, Any], path: Any = "the file") -> NoiseSpectrum | None:
    """The noise in a document of any kind; None without one, which is isotropic.

    Args:
      path: named in errors.

    Raises:
      ValueError: if its numbers are not those that were written.
    """
    if document.get("noise") is None:
        return None
    try:
        return noise_of_document(document["noise"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
