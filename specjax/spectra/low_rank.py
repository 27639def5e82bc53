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

TAIL_NODES = 256
"""Values, each with a count as its weight, that stand for the eigenvalues beyond the rank."""


class LowRank(NamedTuple):
    """The top of a spectrum.

    Attributes:
      eigenvalues: [k], falling. mean: [k], coefficients of the mean.
      rest: total variance less that of the top. mean_rest: squared norm of the mean beyond it.
      dimension: d. samples: N. change: the largest relative change of an eigenvalue in the last
        pass; what is left of the error is smaller. 1.0 after a single pass.
    """

    eigenvalues: np.ndarray
    mean: np.ndarray
    rest: float
    mean_rest: float
    dimension: int
    samples: int
    change: float


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
    """The ``rank`` largest eigenvalues, in ``power_iterations + 2`` passes.

    Memory is ``8 d (rank + oversampling) (power_iterations + 2)`` bytes. The found eigenvalues are
    never too large, and the last are the least exact; ``change`` says how much.

    Raises:
      UserError: for samples that can be read only once, or a rank outside 1 to d.
    """
    from scipy.linalg import eigh

    rank = checks.whole_number("rank", rank)
    rounds = checks.whole_number("power_iterations", power_iterations, 0)
    extra = checks.whole_number("oversampling", oversampling, 0)
    estimate.check_repeatable("method = 'low-rank'", x)

    def read() -> Iterator[np.ndarray]:
        pieces = estimate.pieces(x, data_range, progress)
        return (piece.reshape(len(piece), -1) for piece in pieces)

    count, centre, variance, block = _first_pass(read(), rank, extra, seed)
    basis, core = np.zeros((len(centre), 0)), np.zeros((0, 0))
    now = np.zeros(0)
    for _ in range(rounds + 1):
        block = _orthonormal(basis, block)
        if not block.size:
            break
        basis, before = np.hstack([basis, block]), now
        block = _image(read(), centre, block) / (count - 1)
        core = _extended(core, basis.T @ block)
        now, turn = (x[..., ::-1][..., :rank] for x in eigh(core))
    vectors = basis @ turn
    top = vectors.T @ centre
    return LowRank(
        now.clip(0),
        top,
        max(0.0, variance - float(now.sum())),
        max(0.0, float(centre @ centre - top @ top)),
        len(centre),
        count,
        float(np.max(1 - before / now)) if before.size and now.min() > 0 else 1.0,
    )


def _first_pass(
    pieces: Iterator[np.ndarray], rank: int, extra: int, seed: int
) -> tuple[int, np.ndarray, float, np.ndarray]:
    """Count, mean [d], total variance, and the covariance times random vectors [d, l]."""
    count, squares = 0, 0.0
    for piece in pieces:
        if count == 0:
            d = piece.shape[1]
            centre, total = estimate.centre_of(piece), np.zeros(d)
            if rank > d:
                raise UserError(f"rank = {rank}: samples have {d} numbers, give a rank up to that")
            start = np.random.default_rng(seed).normal(size=(d, min(rank + extra, d)))
            block = np.zeros_like(start)
        away = piece - centre
        count += len(away)
        total += away.sum(0)
        squares += float(np.vdot(away, away))
        block += away.T @ (away @ start)
    if rank > count - 1:
        raise UserError(
            f"rank = {rank}: the covariance of {count} samples has rank {count - 1} at most, "
            "give a rank up to that"
        )
    gap = total / count
    block -= np.outer(total, gap @ start)
    return count, centre + gap, (squares - float(total @ gap)) / (count - 1), block


def _image(pieces: Iterator[np.ndarray], mean: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Summed products of deviations, times a block [d, l]."""
    image = np.zeros_like(block)
    for piece in pieces:
        away = piece - mean
        image += away.T @ (away @ block)
    return image


def _orthonormal(basis: np.ndarray, block: np.ndarray) -> np.ndarray:
    """A basis of what a block [d, l] adds to an orthonormal basis [d, m]; d in all at most."""
    from scipy.linalg import qr

    block = block[:, : len(basis) - basis.shape[1]]
    for _ in range(3 if block.size else 0):  # the last on unit vectors: exact for small remainders
        block = qr(block - basis @ (basis.T @ block), mode="economic")[0]
    return block


def _extended(core: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The covariance within a basis, symmetric, from that of its first part and new columns."""
    known = len(core)
    larger = np.empty((len(columns),) * 2)
    larger[:known, :known] = core
    larger[:, known:] = columns
    larger[known:] = columns.T
    return (larger + larger.T) / 2


def tail(top: float, rank: int, dimension: int, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """Values and counts [K] of the eigenvalues beyond a rank, whose sum is ``mass``.

    They continue ``top`` as a power law ``top (j / rank)^-a``, with the ``a >= 0`` that makes the
    sum right: flat where the mass is as large as it can be. Ranks j are grouped evenly in log j.
    """
    from scipy.optimize import brentq
    from scipy.special import exprel

    if dimension == rank:
        return np.zeros(0), np.zeros(0)
    edges = np.unique(np.geomspace(rank + 1, dimension + 1, TAIL_NODES + 1).round())
    counts = np.diff(edges)
    low, width = np.log((edges[:-1] - 0.5) / rank), np.diff(np.log(edges - 0.5))

    def sums(a: float) -> np.ndarray:
        """Those of each group: the law at a single rank, its integral for several."""
        integral = rank * width * np.exp((1 - a) * low) * exprel((1 - a) * width)
        return top * np.where(counts > 1, integral, (edges[:-1] / rank) ** -a)

    if mass <= 1e-12 * top:
        return np.zeros(1), np.array([float(dimension - rank)])
    if mass >= sums(0.0).sum():
        return np.array([mass / counts.sum()]), np.array([counts.sum()])
    steep = 1.0
    while sums(steep).sum() > mass:
        steep *= 2
    exponent = brentq(lambda a: np.log(sums(a).sum() / mass), 0.0, steep, xtol=1e-13)
    return sums(exponent) / counts, counts


def with_tail(top: LowRank) -> tuple[dict[str, Any], dict[str, Any]]:
    """Eigenvalues, mean and weights: the top, and groups of the rest with their counts. Facts."""
    rank = top.eigenvalues.size
    values, counts = tail(float(top.eigenvalues[-1]), rank, top.dimension, top.rest)
    share = values / max(float(counts @ values), np.finfo(float).tiny)
    made = {
        "eigenvalues": np.append(top.eigenvalues, values),
        "mean": np.append(top.mean, np.sqrt(top.mean_rest * share)),
        "weights": np.append(np.ones(rank), counts),
    }
    facts = {"samples": top.samples, "rank": rank, "dimension": top.dimension,
             "change": top.change, "tail_variance": top.rest}  # fmt: skip
    return made, facts
