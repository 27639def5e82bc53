"""Distances between the generated and the true Gaussian, summed over eigenvalues.

Each loss is ``sum w spread(lambda, V) + sum w mu^2 (1 - D2)^2 shift(V)``: one function of the
variances, one weight of the mean's error (``(1 - D2) mu - drift`` where a denoiser is biased). The
random errors of a denoiser count, in expectation, as an error of the mean does: ``sum w error
shift(V)``.

A loss is a :class:`Loss`. To try one of your own, make one in your own file and pass it in place of
a name; to add one to the package, add it to LOSSES.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from specjax._core import checks
from specjax._core.arrays import Array, concrete, namespace, where
from specjax._core.checks import UserError
from specjax.gaussian.modes import Modes
from specjax.gaussian.transfer import Transfer


@dataclass(frozen=True)
class Loss:
    """A distance between Gaussians, direction by direction.

    Attributes:
      name: what tables and files call it.
      spread: ``(lambda [d], transfer) -> [d]``, the error of the variances.
      shift: ``(lambda [d], transfer) -> [d]``, the weight of a squared error of the mean.
      importance: ``lambda [d] -> [d]``, the weight of a small error of log std,
        ``spread ~ importance * error^2`` (or ``* |error|`` where ``quadratic`` is False): what the
        closed-form schedule needs.
      summary: a line for tables.
      quadratic: whether ``spread`` is quadratic in a small error.
      needs_positive: whether the loss is infinite where an eigenvalue is zero.
      in_data_units: whether it scales with the variance of the data; other losses have no unit.
      counts_mean: whether an error of the mean counts; else ``shift`` is zero.

    Functions are traced by JAX; a loss is hashable as long as they are.
    """

    name: str
    spread: Callable[[Array, Transfer], Array]
    shift: Callable[[Array, Transfer], Array]
    importance: Callable[[Array], Array]
    summary: str = ""
    quadratic: bool = True
    needs_positive: bool = False
    in_data_units: bool = False
    counts_mean: bool = True


def _log_excess(a: Array, b: Array) -> Array:
    """Compute ``a / b - 1 - log(a / b)`` without cancellation near b, or rounding far from it.

    Near b, with x = (a - b) / b and y = x / (2 + x), it sums the series of log1p x = 2 atanh y. Far
    from it, it uses logarithms, whose gradients do not square b.
    """
    xp: Any = namespace(a, b)
    small = xp.abs(a - b) < 0.1 * b
    near_b = where(small, b, 1.0)
    x = (where(small, a, 1.0) - near_b) / near_b
    y = x / (2 + x)
    series = 0 * y
    for n in reversed(range(6)):
        series = series * y**2 + 1 / (2 * n + 3)
    far = xp.log(where(small, 1.0, a)) - xp.log(where(small, 1.0, b))
    return where(small, x * y - 2 * y**3 * series, xp.expm1(far) - far)


def _root(x: Array) -> Array:
    xp: Any = namespace(x)
    positive = x > 0
    return where(positive, xp.sqrt(where(positive, x, 1)), 0)


def _distance(lam: Array, m: Transfer) -> Array:
    xp: Any = namespace(lam, m.variance)
    return xp.abs(lam - m.variance)


def _ones(lam: Array) -> Array:
    return 0 * lam + 1


def _zeros(lam: Array, m: Transfer) -> Array:
    return 0 * lam


W2 = Loss(
    "w2",
    spread=lambda lam, m: (_root(lam) - m.std) ** 2,
    shift=lambda lam, m: _ones(lam),
    importance=lambda lam: lam,
    summary="squared 2-Wasserstein distance",
    in_data_units=True,
)
KL = Loss(
    "kl",
    spread=lambda lam, m: _log_excess(lam, m.variance) / 2,
    shift=lambda lam, m: (1 / m.std) ** 2 / 2,
    importance=_ones,
    summary="KL(data || generated)",
    needs_positive=True,
)
KL_REVERSE = Loss(
    "kl_reverse",
    spread=lambda lam, m: _log_excess(m.variance, lam) / 2,
    shift=lambda lam, m: 1 / (2 * lam),
    importance=_ones,
    summary="KL(generated || data)",
    needs_positive=True,
)
L1 = Loss(
    "l1",
    spread=_distance,
    shift=_zeros,
    importance=lambda lam: 2 * lam,
    summary="sum of |lambda - V|",
    quadratic=False,
    in_data_units=True,
    counts_mean=False,
)
RELATIVE = Loss(
    "relative",
    spread=lambda lam, m: (1 - m.std / _root(lam)) ** 2,
    shift=_zeros,
    importance=_ones,
    summary="squared relative error of the standard deviation",
    needs_positive=True,
    counts_mean=False,
)

LOSSES = {loss.name: loss for loss in (W2, KL, KL_REVERSE, L1, RELATIVE)}
"""The losses of the package by name."""


def loss_of(given: str | Loss) -> Loss:
    """Return the loss of a name in LOSSES, or the given one.

    Raises:
      UserError: for an unknown name, and for what is no loss.
    """
    if isinstance(given, Loss):
        return given
    if not isinstance(given, str):
        raise UserError(f"loss = {given!r}: give a name in specjax.LOSSES, or a specjax.Loss")
    return LOSSES[checks.one_of("loss", given, LOSSES)]


def check_finite(loss: Loss, eigenvalues: Array) -> None:
    """Refuse zero eigenvalues under a loss that is infinite there.

    Raises:
      UserError: if there are any; the message names a floor that lifts them.
    """
    known = concrete(eigenvalues)
    if not loss.needs_positive or known is None or (known > 0).all():
        return
    zeros = int((known <= 0).sum())
    raise UserError(
        f"loss = {loss.name!r} is infinite with {zeros} zero eigenvalue(s) among {known.size}: a "
        f"floor such as {1e-6 * float(known.max()):.2g} (Spectrum.floor, --floor) lifts them to "
        "that variance, or use the loss 'w2'"
    )


def residuals(loss: Loss, moments: Transfer, modes: Modes) -> Any:
    """Compute numbers [2 K] or [3 K], smooth in a plan, whose squares sum to a quadratic loss.

    They are signed roots of what each direction adds by its variance, mean and random errors.
    """
    lam = modes.eigenvalues
    xp: Any = namespace(lam, moments.variance)
    spread, shift = loss.spread(lam, moments), loss.shift(lam, moments)
    parts = [xp.sign(moments.variance - lam) * xp.sqrt(modes.weights * spread)]
    missed = 1 - moments.mean_gain if moments.mean_error is None else moments.mean_error
    drift = 0.0 if moments.drift is None else moments.drift
    parts.append((missed * modes.mean - drift) * xp.sqrt(modes.mean_weights * shift))
    if moments.error is not None:
        parts.append(xp.sqrt(modes.weights * moments.error * shift))
    return xp.concatenate(parts)


def evaluate(loss: Loss, moments: Transfer, modes: Modes) -> Array:
    """Evaluate a loss [] of the transfer to K modes, in units of the data."""
    return by_direction(loss, moments, modes).sum()


def evaluate_one_of(
    losses: Sequence[Loss], which: Array, moments: Transfer, modes: Modes
) -> jax.Array:
    """Evaluate one of several losses [], of which it is not known which one; traceable.

    One program so serves all of them. Those that are not asked for see a unit variance, where they
    and their gradients are finite.
    """
    value = jnp.zeros_like(modes.eigenvalues)
    for k, loss in enumerate(losses):
        asked = which == k

        def seen(x: Array, asked: Array = asked) -> jax.Array:
            return where(asked, x, 1.0)

        alike = replace(moments, std=seen(moments.std), variance=seen(moments.variance))
        found = _by_direction(loss, seen(modes.eigenvalues), alike, modes)
        value = value + where(asked, found, 0.0)
    return value.sum()


def unit_of(loss: Loss, modes: Modes) -> float:
    """Return what a loss is a share of: the data's variance, or the number of directions."""
    scale = modes.eigenvalues if loss.in_data_units else 1.0
    return float((modes.weights * scale).sum())


def by_direction(loss: Loss, moments: Transfer, modes: Modes) -> Array:
    """Compute what each direction adds to a loss [K], in units of the data."""
    return _by_direction(loss, modes.eigenvalues, moments, modes)


def _by_direction(loss: Loss, lam: Array, moments: Transfer, modes: Modes) -> Array:
    """Compute what each direction adds to a loss [K]; ``lam`` is its eigenvalue."""
    missed = moments.mean_error
    missed = 1 - moments.mean_gain if missed is None else missed
    if moments.drift is None:
        gap = modes.mean_power * missed**2
    else:
        gap = modes.mean_weights * (missed * modes.mean - moments.drift) ** 2
    if moments.error is not None:
        gap = gap + modes.weights * moments.error
    return modes.weights * loss.spread(lam, moments) + gap * loss.shift(lam, moments)
