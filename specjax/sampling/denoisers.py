"""Denoisers: ``denoise(x, alpha, sigma) -> x0``, and adapters to networks of other forms.

A denoiser gets a sample ``x = alpha x0 + sigma eps`` [..., any shape] with scalar ``alpha`` and
``sigma`` and returns its estimate of the clean data. Networks know one process and one form of
answer; the adapters here are the only place where VP, VE and flow matching and eps, v, x0 and F
meet. They scale ``x`` to what the network takes, and tell it ``s = sigma / alpha``. From v, x0 and
flow matching the estimate is exact at alpha = 0, too; from eps and F there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, concrete, follows_the_rule, namespace, value
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.spectra.response import wiener_gain
from specjax.spectra.spectrum import Spectrum


class Denoiser(Protocol):
    """A function that estimates the clean data from a noisy sample and its level."""

    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """Estimate ``E[x0 | x]`` [...] of ``x = alpha x0 + sigma eps`` [...]."""


NetworkCall = Callable[..., Array]
"""``network(x, noise_level)``; the adapter's ``level`` says what the noise level is."""


def wiener(spectrum: Spectrum) -> Denoiser:
    """Make the ideal denoiser of a Gaussian, for samples in the data's own space.

    Args:
      spectrum: of the data, or that of :func:`specjax.effective` for the ideal denoiser under a
        noise; without a basis, samples are coefficients [..., d] in the eigenbasis.
    """
    return linearised(spectrum, None)


def linearised(spectrum: Spectrum, denoiser: Any) -> Denoiser:
    """Make the linear stand-in of a measured denoiser, in the data's own space.

    It is what :func:`specjax.transfer` puts in place of a denoiser that was probed.

    Args:
      spectrum: that was probed, with its basis; without one, samples are coefficients [..., d].
      denoiser: a :class:`specjax.Probe`, or its response; None is the ideal denoiser.
    """
    response = getattr(denoiser, "response", denoiser)

    @follows_the_rule
    def denoise(x: Array, alpha: Array, sigma: Array) -> Array:
        if response is None:
            gain, offset = wiener_gain(_copied(spectrum.eigenvalues), alpha, sigma)
            bias: Any = 0
        else:
            gain, offset, bias = response.affine(alpha, sigma)
        estimate = gain * spectrum.project(x) + offset * _copied(spectrum.mean) + bias
        return spectrum.lift(estimate).astype(x.dtype)

    return within(denoise, spectrum.noise)


def within(denoise: Denoiser, noise: NoiseSpectrum | None) -> Denoiser:
    """Make a denoiser leave directions without noise as they are: there ``x0 = x / alpha``.

    The denoiser gets x without these directions: samples stay 0 there, which would be unlike what
    it was trained on. It is returned as it is where the noise is known to have all directions.
    """
    return denoise if noise is None or not noise.may_omit else Within(denoise, noise)


@value(data=["denoise", "noise"])
@dataclass(frozen=True, eq=False, repr=False)
class Within(Brief):
    """See :func:`within`; a pytree if the denoiser is one."""

    denoise: Denoiser
    noise: NoiseSpectrum

    def __call__(self, x: Array, alpha: Array, sigma: Array, *more: Any, **options: Any) -> Array:
        """Estimate ``E[x0 | x]``."""
        seen = self.noise.supported(x)
        estimate = self.denoise(seen, alpha, sigma, *more, **options)
        scale = _nonzero(alpha)  # in pure noise x has nothing there
        if np.ndim(scale):
            scale = scale.reshape(scale.shape + (1,) * (x.ndim - scale.ndim))
        return self.noise.supported(estimate) + self.noise.left_out(x) / scale


def _copied(x: Array) -> Array:
    """Return a JAX array, of a copy of a NumPy one.

    JAX 0.10 converts a constant of a compiled function once, to float32 say, and where the same
    NumPy array is an argument of another function under enable_x64 it takes that for the array.
    """
    return jnp.asarray(np.array(x) if isinstance(x, np.ndarray) else x)


@value(data=["network"], static=["formula", "options"])
@dataclass(frozen=True, eq=False, repr=False)
class Adapted(Brief):
    """A network as a denoiser, ``(x, alpha, sigma, *more) -> x0``; a pytree if the network is one.

    The parameters of such a network are arguments of what is compiled, not constants.

    Attributes:
      network: ``(x, level, *more)``, where ``more`` may be class labels.
      formula: ``(network, x, alpha, sigma, *options) -> x0``.
      options: of the formula.
    """

    network: NetworkCall
    formula: Callable[..., Array]
    options: tuple[Any, ...]

    @property
    def needs_signal(self) -> str | None:
        """The name of the network's answer, if that says nothing of the data in pure noise."""
        return {_of_eps: "eps", _of_edm: "F (EDM)"}.get(self.formula)

    def __call__(self, x: Array, alpha: Array, sigma: Array, *more: Any) -> Array:
        """Estimate ``E[x0 | x]``."""

        def network(x: Array, level: Array) -> Array:
            return self.network(x, level, *more)

        check_signal(self, alpha)
        return self.formula(network, x, alpha, sigma, *self.options)


def noise_to_signal(alpha: Array, sigma: Array) -> Any:
    """Return ``s = sigma / alpha``, inf at alpha = 0."""
    s = sigma / _nonzero(alpha)
    if _is_number(alpha):
        return s if alpha else math.inf
    return namespace(s).where(alpha == 0, math.inf, s)


def _nonzero(alpha: Array) -> Any:
    """Return alpha with 1 in place of 0; numbers of Python and NumPy stay such."""
    return alpha or 1.0 if _is_number(alpha) else namespace(alpha).where(alpha == 0, 1, alpha)


def _is_number(x: Any) -> bool:
    return not isinstance(x, jax.Array) and np.ndim(x) == 0


def vp_scales(alpha: Array, sigma: Array) -> tuple[Array, Array, Array]:
    """Return ``hypot(alpha, sigma)``, and alpha and sigma divided by it: those of VP."""
    xp = namespace(alpha, sigma)
    norm = xp.sqrt(alpha**2 + sigma**2)
    return norm, alpha / norm, sigma / norm


def check_signal(denoise: Any, alpha: Array) -> None:
    """Refuse pure noise, alpha = 0, for a network whose answer tells nothing of the data there.

    Args:
      denoise: a denoiser, or what is made of some; one of them may say what it needs a signal for
        (``needs_signal``).
      alpha: scales of the data.

    Raises:
      UserError: if one is known to be 0.
    """
    known = concrete(alpha)
    if known is None or (known != 0).all():
        return
    for one in jax.tree.leaves(denoise, is_leaf=lambda x: hasattr(x, "needs_signal")):
        if prediction := getattr(one, "needs_signal", None):
            raise UserError(
                f"alpha = 0: a network that predicts {prediction} says nothing of the data in pure "
                "noise: start at a level above 0 (alpha_bar_range), or use one that predicts v, "
                "x0 or a velocity"
            )


def logsnr_level(s: Array) -> Array:
    """Compute the default noise level given to a network: ``logsnr = -2 log s``."""
    return -2 * namespace(s).log(s)


def from_eps(network: NetworkCall, *, level: Callable[[Any], Any] = logsnr_level) -> Denoiser:
    """Adapt a VP network that predicts the noise.

    ``x0 = (x - sigma eps) / alpha`` (2006.11239, eq. 15).

    Args:
      network: ``(x_vp, level) -> eps``.
      level: from ``s = sigma / alpha`` to what the network is conditioned on; for one of T training
        steps, ``TrainingGrid.timestep_of_sigma``.
    """
    return Adapted(network, _of_eps, (level,))


def _of_eps(network: NetworkCall, x: Array, alpha: Array, sigma: Array, level: Any) -> Array:
    s, scaled = sigma / alpha, x / alpha
    return scaled - s * network(scaled / namespace(s).sqrt(1 + s**2), level(s))


def from_v(network: NetworkCall, *, level: Callable[[Any], Any] = logsnr_level) -> Denoiser:
    """Adapt a VP network that predicts ``v = alpha eps - sigma x0``: ``x0 = alpha x - sigma v``.

    2202.00512, appendix D.

    Args:
      network: ``(x_vp, level) -> v``, with ``x_vp`` in the VP scale.
      level: from ``s = sigma / alpha`` to what the network is conditioned on, by default logsnr.
    """
    return Adapted(network, _of_v, (level,))


def _of_v(network: NetworkCall, x: Array, alpha: Array, sigma: Array, level: Any) -> Array:
    norm, alpha_vp, sigma_vp = vp_scales(alpha, sigma)
    x_vp = x / norm
    return alpha_vp * x_vp - sigma_vp * network(x_vp, level(noise_to_signal(alpha, sigma)))


def from_x0(network: NetworkCall, *, level: Callable[[Any], Any] = logsnr_level) -> Denoiser:
    """Adapt a VP network that predicts the clean data, ``network(x_vp, level) -> x0``.

    Arguments as in :func:`from_eps`.
    """
    return Adapted(network, _of_x0, (level,))


def _of_x0(network: NetworkCall, x: Array, alpha: Array, sigma: Array, level: Any) -> Array:
    return network(x / vp_scales(alpha, sigma)[0], level(noise_to_signal(alpha, sigma)))


def flow_time(s: Array) -> Array:
    """Compute the time of flow matching, ``t = s / (1 + s)``, 1 at s = inf."""
    xp = namespace(s)
    below, above = xp.minimum(s, 1.0), xp.maximum(s, 1.0)
    return xp.where(s < 1, below / (1 + below), 1 / (1 + 1 / above))


def from_flow(network: NetworkCall, *, level: Callable[[Any], Any] = flow_time) -> Denoiser:
    """Adapt a network of flow matching: ``x0 = x_t - t v`` at ``x_t = (1 - t) x0 + t eps``.

    2210.02747; in the direction of 2403.03206 (SD3).

    Args:
      network: ``(x_t, level) -> v``, with ``v = eps - x0``.
      level: from ``s = sigma / alpha`` to what the network is conditioned on; by default the time
        t itself.
    """
    return Adapted(network, _of_flow, (level,))


def _of_flow(network: NetworkCall, x: Array, alpha: Array, sigma: Array, level: Any) -> Array:
    whole = alpha + sigma
    x_t = x / whole
    return x_t - sigma / whole * network(x_t, level(noise_to_signal(alpha, sigma)))


def edm_level(s: Array) -> Array:
    """Compute EDM's own noise level: ``log(s) / 4``."""
    return namespace(s).log(s) / 4


def from_edm(
    network: NetworkCall, *, sigma_data: float, level: Callable[[Any], Any] = edm_level
) -> Denoiser:
    """Adapt EDM's preconditioned network F (2206.00364, eq. 7 and table 1).

    Args:
      network: ``(c_in x, level) -> F``.
      sigma_data: standard deviation of the data.
      level: from ``s = sigma / alpha`` to what the network is conditioned on.
    """
    return Adapted(network, _of_edm, (level, sigma_data))


def _of_edm(
    network: NetworkCall, x: Array, alpha: Array, sigma: Array, level: Any, sigma_data: float
) -> Array:
    s, scaled = sigma / alpha, x / alpha
    total = s**2 + sigma_data**2
    root = namespace(s).sqrt(total)
    skip, out = sigma_data**2 / total, s * sigma_data / root
    return skip * scaled + out * network(scaled / root, level(s))
