"""What few samples leave unknown of a spectrum."""

from __future__ import annotations

import math

from specjax.spectra.spectrum import Spectrum


def few_samples(spectrum: Spectrum) -> list[str]:
    """Say in a line what fewer than ten samples a dimension leave unknown; nothing for more."""
    source = spectrum.source or {}
    n, d = source.get("samples"), int(source.get("dimension", spectrum.dimension))
    if n is None or source.get("method") != "exact" or n >= 10 * d:
        return []
    if n <= d:
        return [
            f"{n:,} samples of {d:,} numbers: {d - n + 1:,} directions have no variance in them, "
            "and what is fitted rests on the others; compare it with the best family before you "
            "use it (--method shift-invariant has all directions of images and sound)"
        ]
    root = math.sqrt(d / n)
    return [
        f"{n:,} samples of {d:,} numbers: eigenvalues alike would seem to differ by a factor of "
        f"{((1 + root) / (1 - root)) ** 2:.2g}, the smallest too small (Marchenko and Pastur)"
    ]
