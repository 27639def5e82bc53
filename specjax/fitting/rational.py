"""Rational functions that approximate the square root: the gains of S calls.

:mod:`specjax.fitting.limits` states the problem.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError

_TERMS = 8  # of theta series whose nome is below 1e-3
_HALVINGS = 60


class Gain(NamedTuple):
    """``g(lambda) = c lambda (lambda + z_1) ... / ((lambda + p_1) ... (lambda + p_S))``.

    Attributes:
      poles: p [S], the squared noise levels of the calls, noisy to clean.
      zeros: z [S - 1], falling.
      scale: c.
      error: the largest relative error for :func:`zolotarev`, the loss for
        :func:`specjax.fitting.limits.best`.
    """

    poles: np.ndarray
    zeros: np.ndarray
    scale: float
    error: float = math.nan

    def gain(self, eigenvalues: Any) -> np.ndarray:
        """Compute the generated standard deviations g [...] of eigenvalues [...]."""
        lam = np.asarray(eigenvalues, np.float64)[..., None]
        pairs = ((lam + self.zeros) / (lam + self.poles[:-1])).prod(-1)
        return self.scale * pairs * (lam / (lam + self.poles[-1:])).prod(-1)


def zolotarev(lambda_min: float, lambda_max: float, steps: int) -> Gain:
    """Compute the gain of S calls with the least maximum of ``|g / sqrt(lambda) - 1|``.

    No plan of S calls without noise is better at its worst eigenvalue. With kappa = lambda_max /
    lambda_min, K of the modulus sqrt(1 - 1 / kappa) and K' of sqrt(1 / kappa), the error tends to
    ``4 exp(-2 pi S K' / K)`` as S grows, so to about ``4 exp(-pi^2 S / log(4 sqrt(kappa)))`` for
    large kappa (Zolotarev 1877; Petrushev and Popov 1987; Gawlik 2019, 1804.11325).
    Poles and zeros are ``lambda_min sc(j K / (2 S))^2``, j odd and even.

    Args:
      lambda_min: the lower end of the interval, above 0.
      lambda_max: the upper end; with equal ends the error is 0.
      steps: S, the number of calls.

    Raises:
      UserError: for an interval that is empty or reaches 0, where no number of calls is enough.

    Example:
      >>> [round(zolotarev(1.0, 1000.0, steps).error, 5) for steps in (1, 2, 5)]
      [0.48726, 0.06766, 0.00015]
    """
    low, high = _interval(lambda_min, lambda_max)
    steps = checks.whole_number("steps", steps)
    ratio, part = low / high, (high - low) / high
    sc2 = _sc(np.arange(1, 4 * steps), 4 * steps, ratio) ** 2
    at, between = sc2[::2], low * sc2[1::2][::-1]
    dn = np.sqrt((1 + ratio * at) / (1 + at))  # the points of no error are sqrt(lambda_max) dn
    worst = float(np.prod(part * at / (1 + at) / (1 + dn) ** 2))  # |t| without cancellation
    even = (1 - worst**2) / (1 + worst**2)  # from even errors of log g to even relative errors
    scale = math.sqrt(high) * float(dn.sum()) * even
    return Gain(between[::2], between[1::2], scale, 2 * worst / (1 + worst**2))


def gain_through(points: np.ndarray) -> Gain:
    """Compute the gain that is exact, ``g(u^2) = u``, at 2 S points u > 0.

    Its poles and zeros are -y^2 where t(i y) is -1 and 1, that is, where the sum of arctan(y / u)
    is an odd and an even multiple of pi / 2. Bisection finds them: the sum rises with y.
    """
    wanted = np.arange(1, len(points)) * math.pi / 2
    room = math.log(len(points)) + 1
    low = np.full(wanted.shape, np.log(points.min()) - room)
    high = np.full(wanted.shape, np.log(points.max()) + room)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        less = np.arctan(np.exp(middle)[:, None] / points).sum(1) < wanted
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    falling = np.exp(low + high)[::-1]
    return Gain(falling[::2], falling[1::2], float(points.sum()))


def _interval(low: float, high: float) -> tuple[float, float]:
    low, high = checks.positive("lambda_min", low), checks.positive("lambda_max", high)
    if low > high:
        raise UserError(f"lambda_max = {high!r}: give at least lambda_min = {low!r}")
    return low, high


def _sc(j: np.ndarray, parts: int, ratio: float) -> np.ndarray:
    """Compute ``sc(j K / parts)`` = tan(am) for the parameter m = 1 - ratio, 0 < j < parts.

    For small ratios, which m = 1 - ratio would round away, it sums theta series in the
    complementary nome (DLMF 22.2.4 with Jacobi's imaginary transformation, table 22.6.1). The upper
    half of the interval follows from ``sc(K - u) = 1 / (sqrt(ratio) sc(u))``.
    """
    from scipy.special import ellipj, ellipkm1

    near = np.minimum(j, parts - j)
    quarter = float(ellipkm1(ratio))
    if ratio > 0.01:
        sn, cn, *_ = ellipj(near * quarter / parts, 1 - ratio)
        sc = sn / cn
    else:
        log_nome = -math.pi * quarter / float(ellipkm1(1 - ratio))
        angle = -log_nome / 2 * near / parts
        n, sign = np.arange(_TERMS)[:, None], (-1.0) ** np.arange(_TERMS)[:, None]
        odd = sign * np.exp(log_nome * (n + 0.5) ** 2) * np.sinh((2 * n + 1) * angle)
        even = sign * np.exp(log_nome * (n + 1) ** 2) * np.cosh((2 * n + 2) * angle)
        sc = 2 * odd.sum(0) / (1 - 2 * even.sum(0)) / ratio**0.25
    return np.where(j == near, sc, 1 / (math.sqrt(ratio) * sc))
