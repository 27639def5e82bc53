"""What a prior is made of: a spectrum, a run, a denoiser, or a prior itself."""

from __future__ import annotations

from typing import Any

from specjax._core.checks import UserError
from specjax.noise.noise_spectrum import NoiseSpectrum, check_noise
from specjax.noise.whitening import effective
from specjax.priors import Colored, Gaussian, Network
from specjax.priors.prior import Prior, prior_noise
from specjax.sampling.black_box import BlackBox
from specjax.sampling.guidance import Guided
from specjax.spectra.spectrum import Spectrum


def prior_from(given: Any, noise: NoiseSpectrum | None = None) -> Prior:
    """Return a prior, or make one of a spectrum or a trained network's run.

    Args:
      noise: of the forward process. A spectrum of data is put under it; what has a noise of its
        own must have the same, or None is given.

    Raises:
      UserError: for anything else, and for what was made for another noise.
    """
    if isinstance(given, Spectrum) and given.noise is None:
        given = effective(given, noise)
    prior = _prior_from(given)
    if isinstance(prior, Gaussian) and prior.spectrum.noise is not None:
        prior = Colored(prior, prior.spectrum.noise)  # it works in whitened coefficients
    if noise is not None:
        check_noise(prior_noise(prior), noise, what="the prior", where="noise")
    return prior


def _prior_from(given: Any) -> Prior:
    if isinstance(given, Spectrum):
        return Gaussian(given)
    if callable(given) and all(
        hasattr(given, x) for x in ("kind", "shape", "fingerprint", "held_out")
    ):
        return given
    if all(hasattr(given, name) for name in ("denoiser", "shape", "spectrum")):
        noise = getattr(given, "noise", None)
        spectrum = given.spectrum if noise is None else given.effective
        return Network(given.denoiser(), given.shape, spectrum, source=given.source, noise=noise)
    if isinstance(given, BlackBox | Guided) and hasattr(given, "shape"):
        return Network(given, given.shape)
    raise UserError(
        f"prior of type {type(given).__name__}: give a spectrum, a prior of specjax.priors (a "
        "denoiser of yours as priors.Network(denoise, shape)), an object of the protocol "
        "specjax.priors.Prior, or a run by specjax.nn.open_run"
    )
