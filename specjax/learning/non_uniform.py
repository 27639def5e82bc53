"""DM-NonUniform (2402.17376): the levels along which a multistep sampler is least misled.

With lambda = -log s a step of the exponential Adams-Bashforth method goes, in scaled coordinates
times e^lambda, by ``sum_j J_nj d_j`` with weights of the last answers ::

    J_nj = int_{lambda_n}^{lambda_(n+1)} e^lambda l_nj(lambda) d lambda

of Lagrange's polynomials l. If answers err by up to ``e_j = sigma_j^2 / alpha_j`` (VP), errors of
the result are up to ``sum_j e_j |sum_n J_nj|``. As in the authors' code, order 3 grows from 1 and
falls to 1, and the first three steps and the last count alone, each by the root of the sum of its
squares: where all may cancel, the bound is least as all levels but the first gather at the end.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from specjax.sampling.multistep import falling_adams
from specjax.sampling.scaled import level_steps
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr

_ORDER = 3
_ALONE = 3  # steps at the beginning whose errors do not cancel with later ones
_CLEANEST = 0.01  # the level s where DDPM's grid ends, in whose place 0 is gone to
_LEAST = 1e-3  # of a step, in lambda
_RESTARTS, _GAIN = 8, 1e-4  # of the search, and the part of the bound that one must gain
_NOT_RISING = 1e9  # the bound of levels that do not rise, of that of equal steps


def error_bound(rising: np.ndarray) -> float:
    """Compute the bound of levels lambda [S + 1], see the module."""
    steps = len(rising) - 1
    means = falling_adams(level_steps(2 * rising, "vp"), _ORDER)
    weights = means * np.diff(np.exp(rising))[:, None]  # [step, answers ago]
    logsnr = 2 * rising[:-1]
    errors = np.sqrt(1 + np.exp(-logsnr)) / (1 + np.exp(logsnr))
    by_answer, alone = np.zeros(steps), 0.0
    for n in range(steps):
        used = np.arange(n, max(n - _ORDER, -1), -1)
        parts = errors[used] * weights[n, : len(used)]
        if n < _ALONE or n == steps - 1:
            alone += math.sqrt((parts**2).sum())
        else:
            by_answer[used] += parts
    return float(alone + np.abs(by_answer).sum())


@functools.lru_cache(64)  # every sampler asks for the same ones
def non_uniform(steps: int, alpha_bar_range: tuple[float, float]) -> NoiseSchedule:
    """Minimise the bound over levels between two ends, from equal steps of lambda on (SLSQP).

    Args:
      steps: S.
      alpha_bar_range: the ends, the first above 0. An end of 1 takes the place of s = 0.01.
    """
    from scipy.optimize import minimize

    noisy, clean = alpha_bar_to_logsnr(alpha_bar_range) / 2
    end = min(clean, max(-math.log(_CLEANEST), noisy + steps * _LEAST))
    span = end - noisy

    def levels(inner: np.ndarray) -> np.ndarray:
        return noisy + span * np.concatenate([[0.0], inner, [1.0]])

    def bound(inner: np.ndarray) -> float:
        rising = levels(inner)
        return error_bound(rising) / unit if (np.diff(rising) > 0).all() else _NOT_RISING

    inner = np.linspace(0, 1, steps + 1)[1:-1]
    if steps > 1:
        unit = error_bound(levels(inner))
        rising = {"type": "ineq", "fun": lambda x: np.diff(levels(x)) - _LEAST}
        for _ in range(_RESTARTS):  # the bound has edges, where the search may end early
            found = minimize(
                bound, inner, method="SLSQP", constraints=[rising],
                options={"ftol": 1e-9, "maxiter": 300},
            )  # fmt: skip
            fell = bound(inner) - bound(found.x)
            inner = found.x if fell > 0 else inner
            if fell < _GAIN:
                break
    return NoiseSchedule(np.append(2 * levels(inner)[:-1], 2 * clean))
