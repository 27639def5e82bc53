"""The schedules of rivals: families, the closed form of a spectrum, and those that are optimised.

Three of these are for a denoiser: of the levels on the way of a few noises to their fine solutions
they choose by dynamic programming.

- ``gits`` (2405.11326): Euler's jumps from one sample on the way to another leave the straight
  line between its ends least;
- ``optimal_stepsize`` (2503.21774): Euler's own path, which goes on from where it is, errs least;
- ``klub`` (Align Your Steps, 2404.14507): the bound on the divergence of the sampled paths from
  those of the data is least;
- ``non_uniform`` (2402.17376, DM-NonUniform): what a multistep sampler makes of the denoiser's
  errors is least (:mod:`specjax.learning.non_uniform`).

In scaled coordinates (alpha = 1, noise of level s). What a family loses by its cleanest level
before the last step is not held against it: equal steps of log s are tried down to several.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from specjax.learning.answers import Answers
from specjax.learning.heuristics import schedule_makers
from specjax.learning.non_uniform import non_uniform
from specjax.learning.recorded_plans import cheapest_path
from specjax.learning.trajectories import Noises, Trajectory, follow
from specjax.priors.prior import Prior
from specjax.sampling.step import SamplerPlan
from specjax.schedules.families import PURE_NOISE
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr

Maker = Callable[[int], NoiseSchedule]
"""From S to a schedule."""

_LAST = (0.03, 0.1, 0.3)  # levels s before the clean end to which equal steps go
_GROWTH = 1.15  # of the costs of GITS, from step to step
_EARLY_END = 0.029  # of the bound of Align Your Steps
_SEED = 0  # of the noise of forward paths
_STRIDE = 2  # of the levels that Euler's own paths go through, which take an answer at each


def schedules(
    prior: Prior, levels: LevelRange, fine: SamplerPlan | None, answers: Answers, noises: Noises
) -> dict[str, Maker]:
    """Return what makes each schedule of S steps, by name.

    Args:
      prior: whose spectrum, if it is known, has a closed form. levels: the ends.
      fine: a plan of many steps in scaled coordinates (VE), among whose levels is chosen; None from
        pure noise, which has no scaled coordinates, and so none of what is optimised.
      answers: of the denoiser. noises: a few.
    """
    found = dict(schedule_makers(prior, levels, "w2"))
    noisy, clean = alpha_bar_to_logsnr(levels.alpha_bar_range)
    for last in _LAST:
        if max(noisy, PURE_NOISE) < -2 * math.log(last) < clean:
            found[f"uniform_logsnr to {last:g}"] = functools.partial(equal_steps, levels, last)
    if fine is not None:
        path = follow(fine, answers, noises)
        s = np.append(np.asarray(fine.sigma, np.float64), 0.0)
        found |= {
            "gits": gits(path, s),
            "optimal_stepsize": optimal_stepsize(path, s, answers, noises.conditions),
            "klub": klub(path.samples, s, answers, noises.conditions),
            "non_uniform": lambda steps: levels.clip(non_uniform(steps, levels.alpha_bar_range)),
        }
    return {name: functools.cache(make) for name, make in found.items()}


def equal_steps(levels: LevelRange, last: float, steps: int) -> NoiseSchedule:
    """Go in equal steps of log s to a level s, and from there to the clean end."""
    noisy, clean = alpha_bar_to_logsnr(levels.alpha_bar_range)
    before = [noisy] if np.isneginf(noisy) else []
    between = np.linspace(max(noisy, PURE_NOISE), -2 * math.log(last), steps - len(before))
    return levels.clip(NoiseSchedule(np.concatenate([before, between, [clean]])))


def gits(path: Trajectory, s: np.ndarray) -> Maker:
    """Return what makes GITS' schedule of S steps, by its authors' choice of costs.

    A jump costs what it ends farther from the straight line between the ends of a trajectory than
    the trajectory itself is there, in the mean; each jump counts 1.15 times as much as the one
    before.

    Args:
      path: of a few noises to their fine solutions. s: [K + 1], its levels, 0 at last.
    """
    y, d = (
        np.stack([_flat(x) for x in one], 1)
        for one in ([x[0] for x in path.registers], path.answers)
    )
    unit = y[:, -1:] - y[:, :1]
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    y, d = (x - y[:, :1] - ((x - y[:, :1]) * unit).sum(-1, keepdims=True) * unit for x in (y, d))
    far = np.linalg.norm(y, axis=-1).mean(0)
    costs = np.full((len(s), len(s)), np.inf)
    for i in range(len(s) - 1):
        ratios = (s[i + 1 :] / s[i])[:, None, None]
        ends = d[:, i] + ratios * (y[:, i] - d[:, i])  # [levels after i, n, d]
        costs[i, i + 1 :] = np.linalg.norm(ends, axis=-1).mean(1) - far[i + 1 :]
    return lambda steps: NoiseSchedule.from_sigmas(s[list(cheapest_path(costs, steps, _GROWTH))])


def optimal_stepsize(path: Trajectory, s: np.ndarray, answers: Answers, conditions: Any) -> Maker:
    """Return what makes the schedule of S steps by the recursion of Optimal Stepsize (eq. 9).

    The best path of k steps to a level is that, of the best paths of k - 1 steps to levels before,
    whose Euler's step comes nearest to the fine solution there. Unlike the paper's, it is one
    schedule for all noises, and only every other level of the fine solution is gone through.

    Args:
      path, s: as of :func:`gits`. answers: of the denoiser. conditions: of the noises.
    """
    chosen = np.append(np.arange(0, len(s) - 1, _STRIDE), len(s) - 1)
    s, targets = s[chosen], [path.registers[i][0] for i in chosen]
    states: list[np.ndarray | None] = [targets[0], *[None] * (len(s) - 1)]
    before: list[list[int]] = []

    def step() -> None:
        """Go on from the best paths so far by one step."""
        nonlocal states
        least, came = np.full(len(s), np.inf), [0] * len(s)
        new: list[np.ndarray | None] = [None] * len(s)
        for i, x in enumerate(states[:-1]):
            if x is None:
                continue
            answer = answers(x, 1.0, float(s[i]), conditions)
            for j in range(i + 1, len(s)):
                y = answer + np.float32(s[j] / s[i]) * (x - answer)
                cost = float(((y - targets[j]) ** 2).mean())
                if cost < least[j]:
                    least[j], new[j], came[j] = cost, y, i
        states = new
        before.append(came)

    def make(steps: int) -> NoiseSchedule:
        while len(before) < steps:
            step()
        way = [len(s) - 1]
        for came in reversed(before[:steps]):
            way.append(came[way[-1]])
        return NoiseSchedule.from_sigmas(s[way[::-1]])

    return make


def klub(clean: np.ndarray, s: np.ndarray, answers: Answers, conditions: Any) -> Maker:
    """Return what makes the schedule of S steps with the least bound of Align Your Steps.

    The bound on the divergence of paths is, up to a factor, ::

        sum_i  int_{s_(i+1)}^{s_i} E |D(x_s, s) - D(x_(s_i), s_i)|^2 / s^3 ds

    over forward paths x_s of data. The expectation is over one path of each fine solution, with
    answers at all its levels; the integral is the trapezoid rule over log s between these. The
    bound is infinite at 0: it ends at s = 0.029, where the published schedules of images do, or
    the cleanest level if that is noisier, and 0 is gone to in its place. The paper minimises by
    search, level after level, on fresh samples; here the choice among these levels is exact.

    Args:
      clean: [n, *shape], fine solutions. s: [K + 1], levels, 0 at last. answers: of the denoiser.
      conditions: of the samples.
    """
    s = np.append(s[s >= _EARLY_END] if s[0] > 10 * _EARLY_END else s[:-1], 0.0)
    rng = np.random.default_rng(_SEED)
    given, x, level = [], np.asarray(clean, np.float32), 0.0
    for now in s[-2::-1].tolist():
        more = math.sqrt(now**2 - level**2)
        x = x + np.float32(more) * rng.standard_normal(x.shape, np.float32)
        given.append(_flat(answers(x, 1.0, now, conditions)))
        level = now
    d = np.stack(given[::-1], 1)
    products = np.mean([one @ one.T for one in d], 0)
    squares = np.diag(products)
    gaps = np.maximum(squares[:, None] - 2 * products + squares, 0) / s[:-1] ** 2
    widths = np.diff(-np.log(s[:-1]))
    pieces = (gaps[:, 1:] + gaps[:, :-1]) / 2 * widths  # [i, from level t to t + 1]
    sums = np.cumsum(np.triu(pieces), 1)
    costs = np.full((len(s), len(s)), np.inf)
    above = np.triu(np.ones_like(gaps, bool), 1)
    costs[:-1, :-1][above] = np.pad(sums, ((0, 0), (1, 0)))[above]
    costs[:-1, -1] = costs[:-1, -2]  # to 0 as to the level above it,
    costs[-2, -1] = 0.0  # from which it takes nothing
    return lambda steps: NoiseSchedule.from_sigmas(s[list(cheapest_path(costs, steps))])


def _flat(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, np.float64).reshape(len(x), -1)
