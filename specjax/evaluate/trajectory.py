"""The geometry of trajectories: how straight fine solutions are, and where they bend (2405.11326).

In scaled coordinates ``x / alpha``, as in VE: from noise of the first sigma to data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.shown import Shown
from specjax.learning.answers import Answers
from specjax.learning.trajectories import Noises, follow
from specjax.sampling.conditions import checked
from specjax.sampling.samplers import plan
from specjax.schedules.families import family
from specjax.schedules.schedule import NoiseSchedule

_LEAST_STEP = 1e3  # in units of rounding

COMPONENTS = 5
"""The principal components that are told of."""


@dataclass(frozen=True, eq=False, repr=False)
class TrajectoryGeometry(Shown):
    """The geometry of n trajectories of S steps.

    Attributes:
      schedule: S + 1 levels.
      length_ratio: [n], length of the path over that of its chord; 1 is straight.
      deviation: [n, S + 1], distance from the chord, over its length.
      explained: [n, COMPONENTS], the share of a trajectory's variance in its first principal
        components, cumulated.
      turning: [n, S - 1], the angle in radians between the steps before and after each level.
    """

    schedule: NoiseSchedule
    length_ratio: np.ndarray
    deviation: np.ndarray
    explained: np.ndarray
    turning: np.ndarray

    @property
    def bend(self) -> np.ndarray:
        """The mean angle a unit of log sigma [S - 1], at the inner levels."""
        widths = np.diff(np.log(np.asarray(self.schedule.sigmas)[:-1]))
        around = np.append(widths[:-1] + widths[1:], 2 * widths[-1]) / 2
        return self.turning.mean(0) / np.abs(around)


def trajectory(
    denoiser: Any, shape: tuple[int, ...] | None = None, *, n: int = 64, steps: int = 100,
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE, seed: int = 0,
    conditions: Any = None,
) -> TrajectoryGeometry:  # fmt: skip
    """Follow fine deterministic solutions of a denoiser, and measure their geometry.

    Args:
      denoiser: ``(x, alpha, sigma) -> x0``, a prior or a :class:`specjax.BlackBox`.
      shape: of one sample; that of the denoiser if it says it.
      n: the number of trajectories.
      steps: S, of DDIM with equal steps of log sigma.
      alpha_bar_range: the two ends (noisy, clean).
      seed: of the noise.
      conditions: a tree of arrays [n, ...], the denoiser's fourth argument.

    Raises:
      UserError: for counts out of bounds, a shape that is none, conditions that are not n.

    Example:
      >>> found = trajectory(sx.wiener(sx.Spectrum([1.0, 1.0])), (2,), n=2, steps=10)
      >>> found.length_ratio.shape
      (2,)
    """
    n, shape = checks.whole_number("n", n), checks.sample_shape(shape or denoiser.shape)
    steps = checks.whole_number("steps", steps, 3)
    checks.fits_in_memory("steps", steps, 4.0 * n * (3 * steps) * np.prod(shape))
    schedule = family("uniform_logsnr", steps, alpha_bar_range=alpha_bar_range)
    start = np.random.default_rng(checks.seed(seed)).standard_normal((n, *shape), np.float32)
    noises = Noises(start, checked(None, conditions, n))
    path = follow(plan("ddim", schedule, "ve"), Answers(denoiser, network=False), noises)
    states = np.stack([r[0].reshape(n, -1) for r in path.registers], 1)
    return TrajectoryGeometry(schedule, *_geometry(states.astype(np.float64)))


def _geometry(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return length ratio, deviation, explained variance and turning of paths [n, S + 1, d]."""
    tiny = np.finfo(float).tiny
    moves, chord = np.diff(x, axis=1), x[:, -1] - x[:, 0]
    lengths, whole = np.linalg.norm(moves, axis=-1), np.linalg.norm(chord, axis=-1)
    away = x - x[:, :1]
    along = np.einsum("nsd,nd->ns", away, chord) / np.maximum(whole**2, tiny)[:, None]
    rest = np.linalg.norm(away - along[..., None] * chord[:, None], axis=-1)
    cosine = np.einsum("nsd,nsd->ns", moves[:, :-1], moves[:, 1:])
    cosine = cosine / np.maximum(lengths[:, :-1] * lengths[:, 1:], tiny)
    # A step that is not far above the rounding of float32 has no direction.
    rounding = np.finfo(np.float32).eps * np.linalg.norm(x, axis=-1)[:, :-1]
    known = lengths > _LEAST_STEP * rounding
    cosine = np.where(known[:, :-1] & known[:, 1:], cosine, 1)
    centred = x - x.mean(1, keepdims=True)
    gram = centred @ np.swapaxes(centred, 1, 2)
    variances = np.maximum(np.linalg.eigvalsh(gram)[:, ::-1], 0)
    share = np.cumsum(variances, 1)[:, :COMPONENTS] / np.maximum(variances.sum(1), tiny)[:, None]
    return (
        lengths.sum(1) / np.maximum(whole, tiny),
        rest / np.maximum(whole, tiny)[:, None],
        share,
        np.arccos(np.clip(cosine, -1, 1)),
    )
