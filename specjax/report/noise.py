"""What tables and JSON say of the forward noise."""

from __future__ import annotations

import math
from typing import Any

from specjax.files import plain
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import ObliqueBasis
from specjax.spectra.spectrum import Spectrum

_APART = "the eigenvectors of the data are not those of the noise"


def noise_facts(spectrum: Spectrum, loss: str) -> dict[str, Any] | None:
    """What there is to say of a spectrum under a noise, for machines; None where it is isotropic.

    ``metric`` is what a loss is where data and noise have different bases, else None
    (:mod:`specjax.noise.whitening`).
    """
    noise = spectrum.noise
    if noise is None:
        return None
    known = {k: v for k, v in plain(noise.document()).items() if k != "weights"}
    apart = isinstance(spectrum.basis, ObliqueBasis)
    return {
        "name": noise.name,
        **known,
        "dimension": math.prod(noise.shape),
        "omitted": noise.omitted,
        "metric": _metric(loss) if apart else None,
    }


def noise_lines(facts: dict[str, Any] | None) -> list[str]:
    """The same as lines: which noise, what it omits, which metric."""
    if facts is None:
        return []
    lines = ["under the noise, eigenvalues are lambda / nu, losses in units of the data"]
    if facts["omitted"]:
        lines.append(
            f"omitted: {facts['omitted']:,} of {facts['dimension']:,} directions have no noise and "
            "are left out"
        )
    return [*lines, *([facts["metric"]] if facts["metric"] else [])]


def noise_name(noise: NoiseSpectrum | None) -> str:
    """For tables; None is isotropic."""
    return "isotropic" if noise is None else noise.name


def _metric(loss: str) -> str:
    if loss == "w2":
        return (
            f"{_APART}: w2 is the cost of coupling data and samples along the directions of their "
            "generalised eigenproblem, and no less than the squared Wasserstein distance"
        )
    if loss in ("kl", "kl_reverse"):
        return f"{_APART}: {loss} is exact all the same"
    return f"{_APART}: {loss} is taken along the directions of their generalised eigenproblem"
