"""Multistep samplers of higher order: polynomials through past answers, integrated exactly.

With lambda = -log s and a step from lambda to lambda + h, the ODE of the scaled sample x / alpha
in the estimate d (data prediction) and in the slope ``e = (x - d) / s`` (noise prediction) is
solved by ::

    x' = e^-h x + int_0^h e^(u - h) d(u) du,        x' = x - s int_0^h e^-u e(u) du.

A method puts a polynomial in u through answers. Through the newest and p - 1 before it, it is an
exponential Adams-Bashforth method of order p (data: the predictor of UniPC, 2302.04867; noise:
DEIS, 2204.13902); with the answer at the step's end, once that is known, an Adams-Moulton method
(the corrector). The weights of this module are those of answers in a mean over the step; they add
up to 1. A last step to s = 0 returns its estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, where
from specjax.sampling.corrections import Corrections, corrected_rows
from specjax.sampling.scaled import LevelSteps, ScaledRows

_QUADRATURE = [x.tolist() for x in np.polynomial.legendre.leggauss(16)]
_ADAMS = ((1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""The weights of slopes at equal steps, by order."""


def past_nodes(t: LevelSteps, count: int) -> Array:
    """Return where the last answers were [S, count], in units of the step: 0 for the newest."""
    back = np.maximum(np.arange(t.h.shape[0])[:, None] - np.arange(count), 0)
    return (t.now[back] - t.now[:, None]) / t.h[:, None]


def _mean(t: LevelSteps, function: Callable[[float], Array], noise: bool = False) -> Array:
    """Average a function [S, ...] of the place over each step, weighted as the module says."""
    h: Any = t.h / 2
    total: Any = 0.0
    mass: Any = 0.0
    for x, w in zip(*_QUADRATURE, strict=True):  # Python's numbers keep the dtype
        at = (1 + x) / 2
        density = w * t.xp.exp(-h * (at if noise else 1 - at))
        value = function(at)
        total = total + density.reshape((-1,) + (1,) * (value.ndim - 1)) * value
        mass = mass + density
    return total / mass.reshape((-1,) + (1,) * (total.ndim - 1))


def polynomial_weights(t: LevelSteps, nodes: Array, known: Array, noise: bool = False) -> Array:
    """Compute the weights [S, p] of answers, integrating the polynomial through them over a step.

    Args:
      t: the steps.
      nodes: [S, p], where the answers are, from 0 at the step's beginning to 1 at its end.
      known: [S, p], which of them count. The weights of the others are 0.
      noise: whether the answers are slopes, weighted by e^-u, or estimates, by e^(u - h).
    """
    other = known[:, :, None] & known[:, None, :] & ~np.eye(nodes.shape[1], dtype=bool)
    gap = where(other, nodes[:, :, None] - nodes[:, None, :], 1.0)

    def lagrange(at: float) -> Array:
        return where(other, (at - nodes)[:, None, :] / gap, 1.0).prod(-1)

    return where(known, _mean(t, lagrange, noise), 0.0)


def _grown(t: LevelSteps, most: int) -> Array:
    """Return the order [S] that a method has grown to: by one a step, from the first finite one."""
    return t.xp.clip(t.age + 1 - t.xp.cumsum(t.pure), 1, most)


def _orders(t: LevelSteps, most: int) -> Array:
    """Return the order [S] of each step, which falls to 1 at the end, too."""
    left = np.arange(t.h.shape[0], 0, -1)
    return where(t.last, 1, t.xp.minimum(_grown(t, most), left))


def _adams_bashforth(t: LevelSteps, orders: Array, order: int, noise: bool = False) -> Array:
    """Return the weights [S, order] of the last answers, from the newest on."""
    known = np.arange(order) < orders[:, None]
    return polynomial_weights(t, past_nodes(t, order), known, noise)


def _by_weights(t: LevelSteps, past: Array) -> ScaledRows:
    """Return the rows of a method that weighs past estimates [S, M]."""
    return corrected_rows(t, Corrections(t.xp.zeros_like(t.h), past))


def exponential_adams(t: LevelSteps, order: int) -> Corrections:
    """Return the corrections of the exponential Adams-Bashforth method, whose order grows from 1.

    An estimate of pure noise has no weight in later steps. Order 1 is DDIM, order 2
    DPM-Solver++(2M) up to how it weighs a step.
    """
    orders = where(t.last, 1, _grown(t, order))
    return Corrections(t.xp.zeros_like(t.h), _adams_bashforth(t, orders, order)[:, 1:])


def falling_adams(t: LevelSteps, order: int) -> Array:
    """Return the weights [S, order] of the last answers where the order falls to 1 at the end, too.

    That of each step is UniPC's; its weights are exact, without the halves of second order.
    """
    return _adams_bashforth(t, _orders(t, order), order)


def dpmpp_3m_rows(t: LevelSteps) -> ScaledRows:
    """DPM-Solver++(3M) (2211.01095; the authors' code, and diffusers'): one call a step.

    The polynomial through three estimates, of which the second difference counts half, as that code
    has it; steps of order 2 are those of DPM-Solver++(2M).
    """
    xp, orders, nodes = t.xp, _orders(t, 3), past_nodes(t, 3)
    near, far = (where(orders > k, nodes[:, k], -float(k)) for k in (1, 2))
    bend = xp.stack([1 / (near * far), 1 / (near * (near - far)), 1 / (far * (far - near))], 1)
    half = _mean(t, lambda at: xp.full_like(near, at**2))[:, None] / 2
    weights = _adams_bashforth(t, orders, 3)
    weights = weights - where((orders > 2)[:, None], half * bend, 0.0)
    midpoint = xp.stack([1 - 1 / (2 * near), 1 / (2 * near), near * 0], 1)
    return _by_weights(t, where((orders == 2)[:, None], midpoint, weights)[:, 1:])


def unipc_rows(t: LevelSteps, *, order: int = 2, variant: str = "bh2") -> ScaledRows:
    """UniPC with data prediction (2302.04867, algorithms 5 to 8), one call a step.

    An answer first corrects the step that led to it, then takes the next one. The corrected sample
    need not be kept: predictor and corrector start from the same sample, so that it is the
    predicted one and the difference of their weights. As in the published code, orders grow from 1
    and fall to 1 at the end, and a predictor of order 2 and a corrector of order 1 take half of a
    difference, in units of B(h): h for "bh1", 1 - e^-h for "bh2".
    """
    checks.whole_number("order", order, 1, 3)
    checks.one_of("variant", variant, ("bh1", "bh2"))
    xp, h, orders = t.xp, t.h / 2, _orders(t, order)
    unit = xp.ones_like(h) if variant == "bh2" else h / -xp.expm1(-h)
    predictor, corrector = (f(t, orders, order, unit) for f in (_predictor, _corrector))

    def before(x: Array) -> Array:
        """Return what belongs to the step before; that of the first is not used."""
        return xp.concatenate([x[:1], x[:-1]])

    ratio = where(t.last, 0.0, xp.exp(-h))
    corrects = (t.age > 0) & ~before(t.pure)  # a step from pure noise has one answer alone
    moved = (ratio / (1 - ratio) * where(corrects, before(1 - ratio), 0.0))[:, None]
    following = xp.concatenate([predictor[:, 1:], predictor[:, :1] * 0], 1)
    return _by_weights(t, following + moved * (before(corrector) - before(predictor)))


def _predictor(t: LevelSteps, orders: Array, order: int, unit: Array) -> Array:
    """Return the weights [S, order] of the estimates from the newest on."""
    xp, weights = t.xp, _adams_bashforth(t, orders, order)
    if order == 1:
        return weights
    half = unit / (2 * where(orders > 1, past_nodes(t, 2)[:, 1], -1.0))
    simple = xp.stack([1 - half, half, *[half * 0] * (order - 2)], 1)
    return where((orders == 2)[:, None], simple, weights)


def _corrector(t: LevelSteps, orders: Array, order: int, unit: Array) -> Array:
    """Return the weights [S, order] of the estimates before that at the step's end."""
    xp, past = t.xp, past_nodes(t, order)
    nodes = xp.concatenate([past[:, :1] + 1, past], 1)
    weights = polynomial_weights(t, nodes, np.arange(order + 1) <= orders[:, None])
    half = unit / 2
    simple = xp.stack([half, 1 - half, *[half * 0] * (order - 1)], 1)
    return where((orders == 1)[:, None], simple, weights)[:, 1:]


def deis_rows(t: LevelSteps, *, order: int = 3) -> ScaledRows:
    """DEIS, tAB in log sigma / alpha (2204.13902): slopes, by a polynomial in log s."""
    orders = _orders(t, checks.whole_number("order", order, 1, 4))
    return slopes_rows(t, _adams_bashforth(t, orders, order, noise=True)[:, 1:])


def ipndm_rows(t: LevelSteps, *, order: int = 4) -> ScaledRows:
    """iPNDM (2204.13902, section 4): slopes, by the weights of Adams-Bashforth at equal steps.

    Its order grows from 1; a last step to s = 0 is Euler's.
    """
    checks.whole_number("order", order, 1, 4)
    table = np.array([row + (0,) * (4 - len(row)) for row in _ADAMS])[:, :order]
    weights = t.xp.asarray(table, t.h.dtype)[_grown(t, order) - 1]
    return slopes_rows(t, where(t.last[:, None], 0.0, weights[:, 1:]))


def slopes_rows(t: LevelSteps, weights: Array) -> ScaledRows:
    """Return the rows of ``x' = x - (s - s') sum_j w_j slope_j``, slopes ``(x - d) / s`` of calls.

    A slope is told by how it differs from that of the call, so that nothing cancels where estimates
    are small, and in units of the level of the call, so that nothing overflows where that is::

        x' = d + ratio (x - d) + sum_j c_j e_j,    e_j = s (slope_j steps ago - slope now).

    ``r[1]`` keeps ``q``, the rest of x' without ``ratio (x - d)``: as ``x' - q`` is s' times the
    slope, ``e_1 = d - q`` at the next call. ``r[i]`` keep older differences.

    Args:
      weights: [S, M], those of the M slopes before the newest, whose weight is the rest to 1.
    """
    xp, recent = t.xp, range(2, weights.shape[1] + 1)
    ratio = where(t.last, 0.0, xp.exp(-t.h / 2))
    c = weights * where(t.last, -1.0, xp.expm1(-t.h / 2))[:, None]
    zero, total = xp.zeros_like(ratio), c.sum(1)
    older = [c[:, j - 1] for j in recent]
    keep = [[ratio, -total, *older], [zero, -total, *older]]
    keep += [[zero, -ratio, *(ratio if j == i - 1 else zero for j in recent)] for i in recent]
    registers = weights.shape[1] + 1
    keep = [xp.stack(row[:registers], -1) for row in keep[:registers]]
    pull = xp.stack([1 - ratio + total, 1 + total, *([ratio] * len(recent))][:registers], -1)
    return ScaledRows(
        t.now, t.now, t.after, xp.stack(keep, -2), pull, xp.zeros_like(pull),
        (True,) + (False,) * (registers - 1),
    )  # fmt: skip
