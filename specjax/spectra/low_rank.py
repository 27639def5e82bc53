"""The largest eigenvalues of a covariance that is too large to be written down.

Block Krylov iteration from random vectors (Halko, Martinsson, Shkolnisky and Tygert 2011; Musco
and Musco 2015, algorithm 2): each pass over the samples multiplies a block of vectors by the
covariance, and the eigenvalues are those of the covariance within the span of all the blocks.
Within the last of them alone they are far less exact: on patches of photographs, with 60 vectors
and 6 passes, the fiftieth is 1e-6 too small and not 2e-2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.spectra import estimate

_TAIL_NODES = 256  # values, with counts as weights, for the eigenvalues beyond the rank


class LowRank(NamedTuple):
    """The top of a spectrum.

    Attributes:
      eigenvalues: [k], falling.
      mean: [k], coefficients of the mean.
      rest: total variance less that of the top.
      mean_rest: squared norm of the mean beyond the top.
      dimension: d.
      samples: N.
      change: largest relative change of an eigenvalue in the last pass, a bound of what is left of
        the error; 1.0 after a single pass.
    """

    eigenvalues: np.ndarray
    mean: np.ndarray
    rest: float
    mean_rest: float
    dimension: int
    samples: int
    change: float

    def with_tail(self) -> dict[str, np.ndarray]:
        """Return eigenvalues, mean and weights: the top, and groups of the rest with counts."""
        rank = self.eigenvalues.size
        values, counts = tail(float(self.eigenvalues[-1]), rank, self.dimension, self.rest)
        share = values / max(float(counts @ values), np.finfo(float).tiny)
        return {
            "eigenvalues": np.append(self.eigenvalues, values),
            "mean": np.append(self.mean, np.sqrt(self.mean_rest * share)),
            "weights": np.append(np.ones(rank), counts),
        }


def low_rank(
    x: Any,
    rank: int,
    *,
    data_range: tuple[float, float] | None = None,
    power_iterations: int = 4,
    oversampling: int = 10,
    seed: int = 0,
    progress: estimate.Progress | None = None,
) -> LowRank:
    """Compute the ``rank`` largest eigenvalues in ``power_iterations + 2`` passes.

    Memory is ``8 d (rank + oversampling) (power_iterations + 2)`` bytes. The eigenvalues are never
    too large, and the last are the least exact; ``change`` says how much.

    Raises:
      UserError: for samples that can be read only once, or a rank outside 1 to d.
    """
    from scipy.linalg import eigh

    checks.whole_number("rank", rank)
    checks.whole_number("power_iterations", power_iterations, 0)
    checks.whole_number("oversampling", oversampling, 0)
    estimate.check_repeatable("method = 'low-rank'", x)

    def read() -> Iterator[np.ndarray]:
        pieces = estimate.pieces(x, data_range, progress)
        return (piece.reshape(len(piece), -1) for piece in pieces)

    count, centre, variance, block = _first_pass(read(), rank, oversampling, seed)
    # The covariance within the basis grows with it, so earlier blocks are not multiplied again.
    basis, core = np.zeros((len(centre), 0)), np.zeros((0, 0))
    eigenvalues = np.zeros(0)
    for _ in range(power_iterations + 1):
        block = _orthonormal(basis, block)
        if not block.size:
            break
        basis, before = np.hstack([basis, block]), eigenvalues
        block = _times_products(read(), centre, block) / (count - 1)
        core = _extended(core, basis.T @ block)
        eigenvalues, turn = (x[..., ::-1][..., :rank] for x in eigh(core))
    mean = (basis @ turn).T @ centre
    known = before.size and eigenvalues.min() > 0
    return LowRank(
        eigenvalues.clip(0),
        mean,
        rest=max(0.0, variance - float(eigenvalues.sum())),
        mean_rest=max(0.0, float(centre @ centre - mean @ mean)),
        dimension=len(centre),
        samples=count,
        change=float(np.max(1 - before / eigenvalues)) if known else 1.0,
    )


def _first_pass(
    pieces: Iterator[np.ndarray], rank: int, oversampling: int, seed: int
) -> tuple[int, np.ndarray, float, np.ndarray]:
    """Return count, mean [d], total variance, and the covariance times random vectors [d, l]."""
    count, squares = 0, 0.0
    for piece in pieces:
        if count == 0:
            d = piece.shape[1]
            centre, total = estimate.centre_of(piece), np.zeros(d)
            if rank > d:
                raise UserError(f"rank = {rank}: samples have {d} numbers, give a rank up to that")
            start = np.random.default_rng(seed).normal(size=(d, min(rank + oversampling, d)))
            block = np.zeros_like(start)
        deviations = piece - centre
        count += len(deviations)
        total += deviations.sum(0)
        squares += float(np.vdot(deviations, deviations))
        block += deviations.T @ (deviations @ start)
    if rank > count - 1:
        raise UserError(
            f"rank = {rank}: the covariance of {count} samples has rank {count - 1} at most, "
            "give a rank up to that"
        )
    gap = total / count
    block -= np.outer(total, gap @ start)
    return count, centre + gap, (squares - float(total @ gap)) / (count - 1), block


def _times_products(
    pieces: Iterator[np.ndarray], mean: np.ndarray, block: np.ndarray
) -> np.ndarray:
    """Multiply a block [d, l] by the summed products of deviations."""
    image = np.zeros_like(block)
    for piece in pieces:
        deviations = piece - mean
        image += deviations.T @ (deviations @ block)
    return image


def _orthonormal(basis: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return a basis of what a block [d, l] adds to an orthonormal basis [d, m]; d in all at most.

    The third orthogonalisation is of unit vectors, so it is exact for small remainders.
    """
    from scipy.linalg import qr

    block = block[:, : len(basis) - basis.shape[1]]
    for _ in range(3 if block.size else 0):
        block = qr(block - basis @ (basis.T @ block), mode="economic")[0]
    return block


def _extended(core: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the covariance within a basis, from that of its first part and new columns."""
    m = len(core)
    larger = np.empty((len(columns),) * 2)
    larger[:m, :m] = core
    larger[:, m:] = columns
    larger[m:] = columns.T
    return (larger + larger.T) / 2


def tail(top: float, rank: int, dimension: int, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """Return values and counts [K] of the eigenvalues beyond a rank, whose sum is ``mass``.

    They continue ``top`` as a power law ``top (j / rank)^-a``, with the ``a >= 0`` that makes the
    sum right: flat where the mass is as large as it can be. Ranks j are grouped evenly in log j.
    """
    from scipy.optimize import brentq
    from scipy.special import exprel

    if dimension == rank:
        return np.zeros(0), np.zeros(0)
    edges = np.unique(np.geomspace(rank + 1, dimension + 1, _TAIL_NODES + 1).round())
    counts = np.diff(edges)
    low, width = np.log((edges[:-1] - 0.5) / rank), np.diff(np.log(edges - 0.5))

    def sums(a: float) -> np.ndarray:
        """Sum each group: the law itself at a single rank, its integral for several."""
        integral = rank * width * np.exp((1 - a) * low) * exprel((1 - a) * width)
        return top * np.where(counts > 1, integral, (edges[:-1] / rank) ** -a)

    if mass <= 1e-12 * top:
        return np.zeros(1), np.array([float(dimension - rank)])
    if mass >= sums(0.0).sum():
        return np.array([mass / counts.sum()]), np.array([counts.sum()])
    steep = 1.0  # an exponent with too small a sum: the other end for the root finder
    while sums(steep).sum() > mass:
        steep *= 2
    exponent = brentq(lambda a: np.log(sums(a).sum() / mass), 0.0, steep, xtol=1e-13)
    return sums(exponent) / counts, counts
