"""Distances between the generated and the true Gaussian, summed over eigenvalues.

Each loss is ``sum w spread(lambda, V) + sum w mu^2 (1 - D2)^2 shift(V)``: one function of the
variances, one weight of the mean's error (``(1 - D2) mu - drift`` where a denoiser is biased). What
a denoiser errs by at random counts as an error of the mean does, in expectation: ``sum w error
shift(V)``. To add one, add a row to LOSSES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp

from specjax._core import checks
from specjax._core.arrays import Array, concrete
from specjax.gaussian.transfer import Transfer
from specjax.spectra.spectrum import Spectrum


class Loss(NamedTuple):
    """A row of the table.

    ``importance(lambda)`` is the weight of a small error of log std, ``spread ~ importance *
    error^2`` (or ``* |error|`` where ``quadratic`` is False): what the closed-form schedule needs.
    """

    spread: Callable[[Array, Transfer], Array]
    shift: Callable[[Array, Transfer], Array]
    importance: Callable[[Array], Array]
    summary: str
    quadratic: bool = True
    needs_positive: bool = False
    in_data_units: bool = False
    """Whether it scales with the variance of the data; the others have no unit."""
    counts_mean: bool = True
    """Whether an error of the mean counts, or ``shift`` is zero."""


def _log_excess(a: Array, b: Array) -> Array:
    """``a / b - 1 - log(a / b)`` without cancellation for a near b, or rounding far from it.

    Near: with x = (a - b) / b and y = x / (2 + x), log1p x = 2 atanh y, summed as a series. Far:
    by logarithms, whose gradients do not square b.
    """
    small = jnp.abs(a - b) < 0.1 * b
    near_b = jnp.where(small, b, 1.0)
    x = (jnp.where(small, a, 1.0) - near_b) / near_b
    y = x / (2 + x)
    series = sum(y ** (2 * n) / (2 * n + 3) for n in range(6))
    far = jnp.log(jnp.where(small, 1.0, a)) - jnp.log(jnp.where(small, 1.0, b))
    return jnp.where(small, x * y - 2 * y**3 * series, jnp.expm1(far) - far)


def _root(x: Array) -> Array:
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def _kl(lam: Array, m: Transfer) -> Array:
    return _log_excess(lam, m.variance) / 2


def _kl_reverse(lam: Array, m: Transfer) -> Array:
    return _log_excess(m.variance, lam) / 2


def _ones(lam: Array) -> Array:
    return 0 * lam + 1


LOSSES = {
    "w2": Loss(
        lambda lam, m: (_root(lam) - m.std) ** 2,
        lambda lam, m: jnp.ones_like(lam),
        lambda lam: lam,
        "squared 2-Wasserstein distance",
        in_data_units=True,
    ),
    "kl": Loss(
        _kl,
        lambda lam, m: (1 / m.std) ** 2 / 2,
        _ones,
        "KL(data || generated)",
        needs_positive=True,
    ),
    "kl_reverse": Loss(
        _kl_reverse,
        lambda lam, m: 1 / (2 * lam),
        _ones,
        "KL(generated || data)",
        needs_positive=True,
    ),
    "l1": Loss(
        lambda lam, m: jnp.abs(lam - m.variance),
        lambda lam, m: jnp.zeros_like(lam),
        lambda lam: 2 * lam,
        "sum of |lambda - V|",
        quadratic=False,
        in_data_units=True,
        counts_mean=False,
    ),
    "relative": Loss(
        lambda lam, m: (1 - m.std / _root(lam)) ** 2,
        lambda lam, m: jnp.zeros_like(lam),
        _ones,
        "squared relative error of the standard deviation",
        needs_positive=True,
        counts_mean=False,
    ),
}


def check_loss(loss: str, spectrum: Spectrum) -> Loss:
    """The loss's row of the table, if it exists and can take the spectrum."""
    found = LOSSES[checks.one_of("loss", loss, LOSSES)]
    if spectrum.denoiser_error is not None and not found.counts_mean:
        counting = ", ".join(name for name, row in LOSSES.items() if row.counts_mean)
        raise ValueError(
            f"loss = {loss!r} does not count what a denoiser errs by: leave out denoiser_error, "
            f"or use one of {counting}"
        )
    eigenvalues = concrete(spectrum.eigenvalues)
    if found.needs_positive and eigenvalues is not None and not (eigenvalues > 0).all():
        zeros = int((eigenvalues <= 0).sum())
        floor = 1e-6 * float(eigenvalues.max())
        raise ValueError(
            f"loss = {loss!r} is infinite with {zeros} zero eigenvalue(s) among "
            f"{eigenvalues.size}: a floor such as {floor:.2g} (Spectrum.floor, --floor) lifts "
            "them to that variance, or use the loss 'w2'"
        )
    return found


def weighted(spectrum: Spectrum, loss: Loss) -> Spectrum:
    """The same loss of isotropic noise: with the noise's variances in the weights.

    Under a noise eigenvalues are in its units; a loss in data units counts a direction by the
    variance that the noise has there (:mod:`specjax.noise.whitening`).
    """
    variance = spectrum.noise_variance
    if variance is None:
        return spectrum
    scale = variance if loss.in_data_units else 1
    return replace(
        spectrum, weights=spectrum.weights * scale, mean_weights=spectrum.mean_weights * scale,
        noise_variance=None,
    )  # fmt: skip


def evaluate(loss: Loss, moments: Transfer, spectrum: Spectrum) -> Array:
    """The value [] of a loss on a spectrum, in units of the data."""
    spectrum = weighted(spectrum, loss)
    lam = jnp.asarray(spectrum.eigenvalues)
    spread = jnp.asarray(spectrum.weights) * loss.spread(lam, moments)
    if moments.drift is None:
        gap = jnp.asarray(spectrum.mean_power) * (1 - moments.mean_gain) ** 2
    else:
        error = (1 - moments.mean_gain) * jnp.asarray(spectrum.mean) - moments.drift
        gap = jnp.asarray(spectrum.mean_weights) * error**2
    if moments.error is not None:
        gap = gap + jnp.asarray(spectrum.weights) * moments.error
    return (spread + gap * loss.shift(lam, moments)).sum()
