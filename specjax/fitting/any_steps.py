"""Plans of any number of steps, made from plans that were learned for others.

Levels are interpolated over the share k / S of the steps (:mod:`specjax.schedules.resampled`), and
so is what a plan corrects beyond its sampler; of more steps each corrects less, as S' / S.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.shown import Shown
from specjax.fitting.learned import LearnedResult, in_float64
from specjax.sampling.corrections import Corrections, corrections_of
from specjax.sampling.scaled import level_steps
from specjax.sampling.step import SamplerPlan
from specjax.schedules.resampled import passing, resampled, splits
from specjax.schedules.schedule import NoiseSchedule


@dataclass(frozen=True, eq=False, repr=False, init=False)
class PlanSet(Shown):
    """Plans of several numbers of steps, learned in the same way, and any number between them.

    Args:
      plans: what :func:`specjax.learn` or :func:`specjax.fit` returned, each of other steps.

    Raises:
      UserError: for none, for two of as many steps, for plans of different kinds.

    Example:
      >>> import specjax as sx
      >>> plans = PlanSet(sx.learn_all([sx.Spectrum.power_law(16, 2.0)], [2, 4]))
      >>> plans.of(3).kept
      'between 2 and 4 steps, not learned'
    """

    plans: tuple[LearnedResult, ...]

    def __init__(self, plans: Iterable[LearnedResult]) -> None:
        found = list(plans)
        for one in found:
            if not isinstance(one, LearnedResult):
                raise UserError(f"plans: one is a {type(one).__name__}, give what learn returned")
        found.sort(key=lambda one: one.steps)
        kinds = {_kind(one) for one in found}
        if not found or len({one.steps for one in found}) < len(found) or len(kinds) > 1:
            raise UserError(
                f"plans of {[one.steps for one in found]} steps: give one or more, each of other "
                "steps, of the same process, start, levels to pass, guidance and groups"
            )
        object.__setattr__(self, "plans", tuple(found))

    def __iter__(self) -> Iterator[LearnedResult]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of steps that were learned, rising."""
        return tuple(one.steps for one in self.plans)

    def of(self, steps: int | None = None) -> LearnedResult:
        """Return the plan of S ``steps``, made of its neighbours if it was not learned.

        Such a plan is ``kept`` as "between ... steps, not learned", and its value is NaN. What it
        is worth :func:`specjax.verdicts` says. Of a single plan S need not be given.

        Raises:
          UserError: for fewer steps than the fewest, or more than the most.
        """
        least, most = self.steps[0], self.steps[-1]
        if steps is None and least < most:
            raise UserError(
                f"steps = None: there are plans of {', '.join(map(str, self.steps))} steps; give "
                f"{least} to {most}"
            )
        steps = checks.whole_number("steps", least if steps is None else steps, least, most)
        for below, above in itertools.pairwise(self.plans):
            if below.steps < steps < above.steps:
                return between(below, above, steps)
        return next(one for one in self.plans if one.steps == steps)

    def plan_of(self, steps: int | None = None) -> SamplerPlan:
        """Return the rows of the plan of S ``steps``, see :meth:`of`."""
        return self.of(steps).plan


def _kind(one: LearnedResult) -> tuple[Any, ...]:
    """What plans share that can be interpolated."""
    by, schedule = one.corrections, one.schedule
    coefficients = one.sampler if by is None else by.noise is None
    ends = schedule.starts_pure, schedule.ends_clean
    return one.process, one.from_data, one.through, one.guidance is None, coefficients, ends


def between(below: LearnedResult, above: LearnedResult, steps: int) -> LearnedResult:
    """Make a plan of S steps from one of fewer and one of more; its value is not known.

    Each has the larger share the nearer S is to its own. Levels that both had to pass are passed.
    """
    share = (steps - below.steps) / (above.steps - below.steps)
    pair, shares = (in_float64(below), in_float64(above)), np.array([1 - share, share])
    levels = np.stack([resampled(one.schedule, steps).logsnr for one in pair])
    schedule = NoiseSchedule((shares[:, None] * levels).sum(0))
    if above.through:
        schedule = passing(schedule, above.through, splits(schedule, above.through)[0])
    nearer = above if share > 0.5 else below
    guidance = None
    if above.guidance is not None:
        guidance = shares @ np.stack([_resampled(np.asarray(x.guidance), steps) for x in pair])
    source = {k: x for k, x in above.source.items() if k not in ("request", "calls")}
    return replace(
        nearer, schedule=schedule, corrections=_mixed(pair, shares, schedule), guidance=guidance,
        kept=f"between {below.steps} and {above.steps} steps, not learned", source=source,
        value=np.nan, train_value=np.nan, node_value=np.nan, nodes=None, baselines={}, terms={},
        history=np.zeros(0), converged=False, seconds=0.0,
    )  # fmt: skip


def _mixed(
    pair: Iterable[LearnedResult], shares: np.ndarray, schedule: NoiseSchedule
) -> Corrections | None:
    """Add up shares of the corrections of plans along a schedule."""
    every = [by for by in (corrections_along(one, schedule) for one in pair) if by is not None]
    if not every:
        return None
    memory = max(by.memory for by in every)
    every = [by.remembering(memory) for by in every]
    noise = [by.noise for by in every if by.noise is not None]
    return Corrections(
        shares @ np.stack([by.ratio for by in every]),
        np.tensordot(shares, np.stack([by.weights for by in every]), 1),
        shares @ np.stack(noise) if noise else None,
    )


def corrections_along(result: LearnedResult, schedule: NoiseSchedule) -> Corrections | None:
    """Compute the corrections of a plan along another schedule, of as many steps or others.

    Returns:
      The sampler's own there, and what the plan adds to them; None where it has none.
    """
    by = result.corrections
    if by is None:
        return None
    fewer = result.steps / schedule.steps
    own, there = (
        corrections_of(
            result.method, level_steps(np.asarray(x.logsnr, np.float64), result.process)
        ).remembering(by.memory)
        for x in (result.schedule, schedule)
    )
    noise = None
    if by.noise is not None and own.noise is not None and there.noise is not None:
        positive = (own.noise > 0) & (by.noise > 0)  # a step to s = 0 has none, and no logarithm
        ratio = np.where(positive, by.noise, 1) / np.where(positive, own.noise, 1)
        own_noise = np.asarray(there.noise)
        noise = own_noise * np.exp(fewer * _resampled(np.log(ratio), schedule.steps))
    ratio, weights = (
        np.asarray(y) + fewer * _resampled(np.asarray(mine) - np.asarray(its), schedule.steps)
        for mine, its, y in (
            (by.ratio, own.ratio, there.ratio), (by.weights, own.weights, there.weights)
        )
    )  # fmt: skip
    return Corrections(ratio, weights, noise)


def _resampled(x: np.ndarray, steps: int) -> np.ndarray:
    """Interpolate [S', ...] between the middles of steps to [S, ...]."""
    at, known = ((np.arange(n) + 0.5) / n for n in (steps, len(x)))
    columns = x.reshape(len(x), -1).T
    found = [np.interp(at, known, column) for column in columns]
    return np.reshape(np.transpose(found) if found else [], (steps, *x.shape[1:]))
