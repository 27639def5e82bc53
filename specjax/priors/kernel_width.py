"""The width of a Gaussian kernel, by the likelihood of samples that are not in the dataset.

``L(h) = mean_i log mean_j N(q_i; x_j, h^2 I)``. All squared distances are computed once.

Where L is stationary ``h^2 = mean_i <d_ij^2>_w / D`` (the fixed point of expectation-maximisation)
with weights that fall with the distance, so every maximum lies between the mean of the smallest
and the mean of all squared distances: those are the ends of the search.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from specjax._core.checks import UserError

DISTANCES = 2**24
"""The most distances that are held; beyond it fewer validation samples are used."""

_GRID = 16  # L may have several maxima: the search starts from the best of a grid
TOLERANCE = 1e-4
"""The tolerance of the search, in log h."""


class Width(NamedTuple):
    """A kernel width ``h`` and its L, in nats a sample."""

    width: float
    log_likelihood: float


def choose_width(x: np.ndarray, validation: np.ndarray, dimension: int | None = None) -> Width:
    """Choose the width that makes ``validation`` [M, D] most likely under kernels at x [N, D].

    Args:
      dimension: of the subspace that all of them are in, in place of D.
    """
    from scipy.optimize import minimize_scalar

    squares = _squared_distances(x, validation[: max(2, DISTANCES // len(x))])
    least, dimension = squares.min(1, keepdims=True), dimension or x.shape[1]
    low, high = (np.sqrt(np.mean(a) / dimension) for a in (least, squares))
    if not low > 1e-6 * high:
        raise UserError(
            "all held-out samples are copies of others, so no kernel width is the most likely: "
            "give kernel_width, or samples without copies"
        )
    squares -= least

    def cost(log_width: float) -> float:
        variance = np.exp(2 * log_width)
        near = np.log(np.exp(squares / (-2 * variance)).mean(1))
        log_volume = dimension * (np.log(2 * np.pi) / 2 + log_width)
        return float(least.mean() / (2 * variance) - near.mean() + log_volume)

    grid = np.linspace(np.log(low), np.log(high), _GRID)
    best = int(np.argmin([cost(at) for at in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    best_fit = minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": TOLERANCE})
    return Width(float(np.exp(best_fit.x)), -float(best_fit.fun))


def _squared_distances(x: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """Return squared distances [M, N] in float64, of centred samples."""
    centre = x.mean(0, dtype=np.float64)
    x, validation = (np.asarray(a, np.float64) - centre for a in (x, validation))
    squares = validation @ (-2 * x.T)
    squares += (x**2).sum(1)
    squares += (validation**2).sum(1)[:, None]
    return np.maximum(squares, 0, out=squares)
