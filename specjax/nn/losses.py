"""The training loss: the weighted squared error of x0, and terms that see frequencies.

    loss = mean_i [ w(s_i) |estimate_i - x0_i|^2 / d ]
           + min(1, step / warm-up) sum_k weight_k mean_i [ level(s_i) term_k(i) ]

over samples i of d numbers at noise levels s_i. w is a row of :data:`WEIGHTINGS`, level a row of
:data:`TERM_LEVELS`, and a term a row of :data:`FREQUENCY_LOSSES`.

The frequency terms follow *Spectral Regularization for Diffusion Models* (2603.02447). An estimate
and a clean sample are [n, *sides, channels] with one or two sides, in the network's units; a term
is [n], a mean over the numbers of a sample, so that its weight does not depend on their size. F is
the orthonormal discrete Fourier transform over the sides, of every channel by itself: white data of
variance 1 have E |F x|^2 = 1 at every frequency. Where an amplitude is 0 it has no direction to go:
its gradient counts as 0 there, as that of |x| at x = 0. No gradient is infinite or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax.nn.wavelets import bands

if TYPE_CHECKING:
    from specjax.nn.config import LossConfig, TrainConfig

_SILENT = 1e-3
"""Amplitudes below this fraction of a clean channel's root mean square have no meaningful phase."""

Losses = dict[str, jax.Array]


class LevelWeight(NamedTuple):
    """A weight of noise level s for data of root mean square sd: ``weight(s, sd)``."""

    weight: Callable[[jax.Array, float], jax.Array]
    summary: str


WEIGHTINGS: Mapping[str, LevelWeight] = {
    "edm": LevelWeight(lambda s, sd: 1 / sd**2 + 1 / s**2, "errors of F count alike"),
    "eps": LevelWeight(lambda s, sd: 1 / s**2, "errors of the noise count alike"),
    "v": LevelWeight(lambda s, sd: 1 + 1 / s**2, "errors of v count alike"),
    "flow": LevelWeight(lambda s, sd: (1 + 1 / s) ** 2, "errors of the velocity count alike"),
    "x0": LevelWeight(lambda s, sd: jnp.ones_like(s), "errors of the data count alike"),
    "min_snr": LevelWeight(lambda s, sd: jnp.minimum(1 / s**2, 5.0),
                           "the smaller of snr and 5 (2303.09556)"),
}  # fmt: skip
"""Weights of the squared error of x0."""

TERM_LEVELS: Mapping[str, LevelWeight] = {
    "signal": LevelWeight(lambda s, sd: sd**2 / (s**2 + sd**2), "what of the data's variance the "
                          "noisy sample tells: high levels, where estimates are means, count "
                          "little"),
    "edm": LevelWeight(lambda s, sd: jnp.sqrt(1 / sd**2 + 1 / s**2), "the root of EDM's weight "
                       "(the errors here are not squared): errors of F count alike"),
    "x0": LevelWeight(lambda s, sd: jnp.ones_like(s), "errors of the data count alike"),
}  # fmt: skip
"""Weights of the frequency terms."""


def training_loss(
    config: TrainConfig, step: Any, estimate: jax.Array, clean: jax.Array, sigma: jax.Array,
    *, sigma_data: float, shape: tuple[int, ...],
) -> tuple[jax.Array, Losses]:  # fmt: skip
    """Return the loss that is minimised [], and its parts without their weights by name.

    Args:
      step: the number of the update, on which the weights of the terms depend.
      estimate, clean: [n, *sample]. sigma: [n], their noise levels.
      sigma_data: root mean square of the data. shape: [*sides, channels] as the network sees them.
    """
    plain = squared_error(config, estimate, clean, sigma, sigma_data)
    weights = config.loss.weights
    if not weights:
        return plain, {"loss": plain}
    samples = estimate.reshape(-1, *shape), clean.reshape(-1, *shape)
    terms = frequency_terms(config.loss, *samples, sigma, sigma_data)
    total = plain + term_ramp(config.loss, step) * sum(
        weights[name] * terms[name] for name in terms
    )
    return total, {"loss": plain, **{f"loss_{name}": value for name, value in terms.items()}}


def squared_error(
    config: TrainConfig, estimate: jax.Array, clean: jax.Array, sigma: jax.Array, sigma_data: float
) -> jax.Array:
    """Return the weighted squared error [] of x0, per number of a sample."""
    error = jnp.mean((estimate - clean) ** 2, axis=tuple(range(1, clean.ndim)))
    return jnp.mean(WEIGHTINGS[config.noise.weighting].weight(sigma, sigma_data) * error)


def frequency_terms(
    config: LossConfig, estimate: jax.Array, clean: jax.Array, sigma: jax.Array, sigma_data: float
) -> Losses:
    """Return each term's mean [] over a batch [n, *sides, channels] at levels s = sigma [n].

    Their weights and the warm-up are left out.
    """
    level = TERM_LEVELS[config.term_levels].weight(sigma, sigma_data)
    means = {}
    for name in config.weights:
        row = FREQUENCY_LOSSES[name]
        options = {argument: getattr(config, field) for argument, field in row.options.items()}
        means[name] = jnp.mean(level * row.value(estimate, clean, **options))
    return means


def term_ramp(config: LossConfig, step: Any) -> Any:
    """Return the factor of the terms' weights at an update: from 0 to 1 over the warm-up."""
    return jnp.minimum(1.0, step / config.term_warmup) if config.term_warmup else 1.0


def amplitude(estimate: jax.Array, clean: jax.Array) -> jax.Array:
    """Return the mean over frequencies and channels of | |F x0| - |F estimate| |.

    It is blind to phases: a sample shifted round its sides has the same amplitudes.

    Example:
      >>> from specjax.nn.losses import amplitude
      >>> x = jnp.asarray([[3.0, 1.0, 4.0, 1.0]])[..., None]
      >>> bool(jnp.all(amplitude(jnp.roll(x, 1, axis=1), x) < 1e-6))
      True
    """
    error = _absolute(_modulus(_fourier(clean)) - _modulus(_fourier(estimate)))
    return _mean_over_frequencies(error, clean.shape)


def amplitude_phase(estimate: jax.Array, clean: jax.Array) -> jax.Array:
    """Return the mean over frequencies and channels of | A - A' | (1 + |phase - phase'|).

    The product of the two errors is taken at each frequency, then the mean (a product of two means
    would let a wrong phase at one frequency pay for amplitudes at others). The difference of phases
    is wrapped into [-pi, pi], and counts as 0 where either amplitude is below 1e-3 of the clean
    channel's root mean square: a phase there is rounding or chance, and its gradient,
    |A - A'| / A', would drown all others.

    So it is ``amplitude`` where phases agree, at most 1 + pi times that, and where all amplitudes
    agree it is 0 whatever the phases: it sees phases only while amplitudes differ.
    """
    true, guess = _fourier(clean), _fourier(estimate)
    lengths = _modulus(true), _modulus(guess)
    silent = _SILENT * _root_mean_square(clean)
    has_phase = (lengths[0] > silent) & (lengths[1] > silent)
    # Lengths do not change the angle between two numbers: no gradient goes through them.
    units = [z / jax.lax.stop_gradient(jnp.where(has_phase, r, 1))
             for z, r in zip((true, guess), lengths, strict=True)]  # fmt: skip
    angle = jnp.angle(jnp.where(has_phase, jnp.conj(units[0]) * units[1], 1))
    error = _absolute(lengths[0] - lengths[1])
    return _mean_over_frequencies(error * (1 + _absolute(angle)), clean.shape)


def wavelet(
    estimate: jax.Array, clean: jax.Array, *, name: str = "haar", scales: int = 2
) -> jax.Array:
    """Return the sum of |W(x0 - estimate)| over all scales and sub-bands, per number of a sample.

    W is the periodized transform of :mod:`specjax.nn.wavelets`, its coarsest approximation
    included; by linearity the transform of the difference is the difference of the transforms.

    Args:
      name: a discrete wavelet of PyWavelets (``haar``, ``bior1.3``). scales: how often the sides
        are halved.

    Raises:
      UserError: for an unknown wavelet, or more scales than the sides have.
    """
    axes = tuple(range(1, clean.ndim))
    coefficients = [band for scale in bands(clean - estimate, name, scales) for band in scale]
    total = jnp.sum(jnp.stack([jnp.sum(_absolute(band), axes) for band in coefficients]), 0)
    return total / math.prod(clean.shape[1:])


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
"""Losses that see frequencies, by name: pure functions of arrays [n, *sides, channels]."""


def _fourier(x: jax.Array) -> jax.Array:
    """Half of F x (the other half is conjugate): the last side has N // 2 + 1 frequencies."""
    return jnp.fft.rfftn(x, axes=tuple(range(1, x.ndim - 1)), norm="ortho")


def _absolute(x: jax.Array) -> jax.Array:
    """|x| with gradient 0 at 0; that of jnp.abs is 1, which would move a perfect estimate."""
    return x * jax.lax.stop_gradient(jnp.sign(x))


def _modulus(z: jax.Array) -> jax.Array:
    """|z| with gradient 0 at 0, by a double ``where``."""
    zero = z == 0
    return jnp.where(zero, 0, jnp.abs(jnp.where(zero, 1, z)))


def _root_mean_square(x: jax.Array) -> jax.Array:
    """The root mean square of each channel, which is also that of its F x (Parseval)."""
    return jnp.sqrt(jnp.mean(x**2, axis=tuple(range(1, x.ndim - 1)), keepdims=True))


def _mean_over_frequencies(half: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The mean over all frequencies and channels of values on half of the frequencies."""
    last = shape[-2]
    twice = np.full(last // 2 + 1, 2.0, half.dtype)
    twice[0] = 1
    if last % 2 == 0:
        twice[-1] = 1
    axes = tuple(range(1, half.ndim))
    return jnp.sum(half * twice[:, None], axes) / math.prod(shape[1:])
