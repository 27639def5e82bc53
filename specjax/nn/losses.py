"""Losses that see frequencies, between an estimate of x0 and the clean sample.

After *Spectral Regularization for Diffusion Models* (2603.02447). An estimate and a clean sample
are [n, *sides, channels] with one or two sides, in the network's units; a loss is [n], a mean over
the numbers of a sample, so that its weight does not depend on their size. F is the orthonormal
discrete Fourier transform over the sides, of every channel by itself: white data of variance 1
have E |F x|^2 = 1 at every frequency.

At a frequency where an amplitude is 0 there is no direction to go: its gradient counts as 0 there,
as that of |x| at x = 0. No gradient is infinite or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax.nn.noise_levels import Weight
from specjax.nn.wavelets import bands

_FAINT = 1e-3
"""Amplitudes below this part of a clean channel's root mean square have no phase worth telling."""


def amplitude(estimate: jax.Array, clean: jax.Array) -> jax.Array:
    """The mean over frequencies and channels of | |F x0| - |F estimate| |.

    Blind to phases: a sample shifted round its sides has the same amplitudes.

    Example:
      >>> from specjax.nn.losses import amplitude
      >>> x = jnp.asarray([[3.0, 1.0, 4.0, 1.0]])[..., None]
      >>> bool(jnp.all(amplitude(jnp.roll(x, 1, axis=1), x) < 1e-6))
      True
    """
    error = _absolute(_modulus(_fourier(clean)) - _modulus(_fourier(estimate)))
    return _mean(error, clean.shape)


def amplitude_phase(estimate: jax.Array, clean: jax.Array) -> jax.Array:
    """The mean over frequencies and channels of | A - A' | (1 + |phase - phase'|).

    The norms are taken frequency by frequency: the product of the two errors at each, then their
    mean (a product of two means would let a wrong phase at one frequency pay for amplitudes at
    others). The difference of phases is wrapped into [-pi, pi], and counts as 0 where either
    amplitude is below 1e-3 of the clean channel's root mean square: a phase there is rounding or
    chance, and its gradient, |A - A'| / A', would drown all others.

    So it is ``amplitude`` where phases agree, at most 1 + pi times that, and where all amplitudes
    agree it is 0 whatever the phases: it tells phases only while amplitudes differ.
    """
    true, guess = _fourier(clean), _fourier(estimate)
    lengths = _modulus(true), _modulus(guess)
    faint = _FAINT * _root_mean_square(clean)
    known = (lengths[0] > faint) & (lengths[1] > faint)
    # Lengths do not change the angle between two numbers: no gradient goes through them.
    units = [z / jax.lax.stop_gradient(jnp.where(known, r, 1))
             for z, r in zip((true, guess), lengths, strict=True)]  # fmt: skip
    angle = jnp.angle(jnp.where(known, jnp.conj(units[0]) * units[1], 1))
    error = _absolute(lengths[0] - lengths[1])
    return _mean(error * (1 + _absolute(angle)), clean.shape)


def wavelet(
    estimate: jax.Array, clean: jax.Array, *, name: str = "haar", scales: int = 2
) -> jax.Array:
    """The sum of |W(x0 - estimate)| over all scales and sub-bands, over the numbers of a sample.

    W is the periodized transform of :mod:`specjax.nn.wavelets`, its coarsest approximation
    included; by linearity that of the difference is the difference of both.

    Args:
      name: a discrete wavelet of PyWavelets (``haar``, ``bior1.3``). scales: how often the sides
        are halved.

    Raises:
      ValueError: for an unknown wavelet, or more scales than the sides have.
    """
    found = bands(clean - estimate, name, scales)
    axes = tuple(range(1, clean.ndim))
    each = [jnp.sum(_absolute(band), axes) for scale in found for band in scale]
    return jnp.sum(jnp.stack(each), 0) / math.prod(clean.shape[1:])


class FrequencyLoss(NamedTuple):
    """A row of the table: ``value(estimate, clean, **options) -> [n]``.

    ``options`` says which field of :class:`specjax.nn.config.LossConfig` gives an argument.
    """

    value: Callable[..., jax.Array]
    summary: str
    options: Mapping[str, str] = {}


FREQUENCY_LOSSES: Mapping[str, FrequencyLoss] = {
    "amplitude": FrequencyLoss(amplitude, "amplitudes of the Fourier transform, L1"),
    "amplitude_phase": FrequencyLoss(amplitude_phase, "the same, times 1 + |error of the phase|"),
    "wavelet": FrequencyLoss(wavelet, "wavelet coefficients over scales and sub-bands, L1",
                             {"name": "wavelet", "scales": "wavelet_scales"}),
}  # fmt: skip

TERM_LEVELS: Mapping[str, Weight] = {
    "signal": Weight(lambda s, sd: sd**2 / (s**2 + sd**2), "what of the data's variance the noisy "
                     "sample tells: high levels, where estimates are means, count little"),
    "edm": Weight(lambda s, sd: jnp.sqrt(s**2 + sd**2) / (s * sd), "the root of EDM's weight (the "
                  "errors here are not squared): errors of F count alike"),
    "x0": Weight(lambda s, sd: jnp.ones_like(s), "errors of the data count alike"),
}  # fmt: skip
"""How much a noise level s counts for the terms, for data of root mean square sd."""


def _fourier(x: jax.Array) -> jax.Array:
    """Half of F x (the other half is conjugate): the last side has N // 2 + 1 frequencies."""
    return jnp.fft.rfftn(x, axes=tuple(range(1, x.ndim - 1)), norm="ortho")


def _absolute(x: jax.Array) -> jax.Array:
    """|x| with gradient 0 at 0; that of jnp.abs is 1, which would move a perfect estimate."""
    return x * jax.lax.stop_gradient(jnp.sign(x))


def _modulus(z: jax.Array) -> jax.Array:
    nothing = z == 0
    return jnp.where(nothing, 0, jnp.abs(jnp.where(nothing, 1, z)))


def _root_mean_square(x: jax.Array) -> jax.Array:
    """Of each channel, also that of its F x (Parseval)."""
    return jnp.sqrt(jnp.mean(x**2, axis=tuple(range(1, x.ndim - 1)), keepdims=True))


def _mean(half: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The mean over all frequencies and channels of what is known on half of the frequencies."""
    last = shape[-2]
    twice = np.full(last // 2 + 1, 2.0, half.dtype)
    twice[0] = 1
    if last % 2 == 0:
        twice[-1] = 1
    axes = tuple(range(1, half.ndim))
    return jnp.sum(half * twice[:, None], axes) / math.prod(shape[1:])
