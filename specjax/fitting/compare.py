"""Compare the learned schedule with heuristics on one spectrum."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax._core.shown import Shown
from specjax.fitting.fit import Progress, fit
from specjax.fitting.learned import LearnedResult
from specjax.fitting.spectral import spectral
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import GaussianTask, TaskOptions
from specjax.gaussian.transfer import transfer
from specjax.sampling.step import SamplerPlan
from specjax.schedules.families import SCHEDULES, Family, family
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum

AMPLIFIED = 2.0
"""The :attr:`Comparison.amplification` above which the loss is no guide for networks."""

MOST_STEPS = 1000
"""The most steps in the search for those that a heuristic needs."""


@dataclass(frozen=True)
class ComparedSchedule:
    """One schedule of a comparison.

    Attributes:
      name: of its family, or the given one.
      schedule: of S steps.
      value: its loss.
      steps_needed: the fewest steps with which the family reaches the learned loss; None where it
        takes more than :data:`MOST_STEPS`, or where only one schedule was given.
    """

    name: str
    schedule: NoiseSchedule
    value: float
    steps_needed: int | None = None


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Schedules of S steps on one task, best first, the learned one among them.

    Attributes:
      learned: the result of the fit.
      rows: a :class:`ComparedSchedule` for each schedule.
      task: what they were judged on.
    """

    learned: LearnedResult
    rows: tuple[ComparedSchedule, ...]
    task: GaussianTask

    @property
    def baselines(self) -> dict[str, float]:
        """The losses of all but the learned schedule, by name."""
        return {row.name: row.value for row in self.rows if row.name != "learned"}

    @cached_property
    def mean_share(self) -> float:
        """The part of the learned schedule's loss that is the data's mean."""
        return self.task.mean_share(self.learned.schedule)

    @cached_property
    def amplification(self) -> float:
        """How much more of a denoiser's errors the learned schedule adds up than the best other.

        It is the ratio of the variances that independent errors add up to (``denoiser_error`` of
        :class:`specjax.gaussian.task.TaskOptions`), among schedules of as many steps: about 1 for
        DDIM. Above :data:`AMPLIFIED` the loss is no guide for a network: with that of the digits,
        such schedules are worse than a cosine (experiments/erring_denoiser).
        """
        others = [row.schedule for row in self.rows if row.name != "learned"]
        alike = [schedule for schedule in others if schedule.steps == self.learned.steps]
        return amplification(self.task, self.learned.schedule, alike)


def amplification(
    task: GaussianTask, schedule: NoiseSchedule, others: Iterable[NoiseSchedule]
) -> float:
    """Compute :attr:`Comparison.amplification`; ``others`` have as many steps."""
    relative = not task.loss.in_data_units

    def errors(x: NoiseSchedule) -> float:
        return accumulated_error(task.plan(x), task.nodes, relative)

    return errors(schedule) / min(errors(x) for x in others)


def accumulated_error(plan: SamplerPlan, modes: Modes, relative: bool = False) -> float:
    """Sum the variance that errors of the answers, each of the posterior variance, add up to.

    Args:
      plan: K rows.
      modes: the directions that are summed over.
      relative: whether each direction's error counts as a part of its eigenvalue.
    """
    error = transfer(plan, modes, denoiser_error=1.0).error
    assert error is not None
    unit = modes.eigenvalues if relative else 1.0
    return float((modes.weights * error / unit).sum())


@shows_progress("fit", "iterations")
def compare(
    spectrum: Spectrum | GaussianTask,
    steps: int,
    *,
    schedules: Mapping[str, NoiseSchedule | Family] | None = None,
    learned: LearnedResult | None = None,
    progress: Progress | Literal[False] | None = None,
    **options: Any,
) -> Comparison:
    """Compare the learned schedule with every family pinned to the same ends.

    Args:
      spectrum: d eigenvalues, or a task.
      steps: S, the number of steps.
      schedules: more to compare, by name: schedules, taken as they are (clipped to the task's
        grid), or families.
      learned: a fit of the same task to reuse.
      progress: see :data:`specjax.fitting.fit.Progress`.
      options: any of :func:`fit`'s other keywords.

    Returns:
      A :class:`Comparison` with the values on the full spectrum.

    Raises:
      UserError: as :func:`fit` does; for a name of a family among the schedules, and where
        ``learned`` is of something else.

    Example:
      >>> table = compare(Spectrum([1.0]), 4)
      >>> table.rows[0].name
      'learned'
    """
    task: Any = {name: options.pop(name) for name in TaskOptions.__annotations__ & options.keys()}
    resolved = GaussianTask.for_fit(spectrum, **task)
    given = dict(schedules or {})
    for name in given:
        if name in ("learned", "spectral", *SCHEDULES):
            raise UserError(f"schedules: {name!r} is the name of another one: give it a new name")
    if learned is None:
        learned = fit(resolved, steps, progress=progress, **options)
    else:
        _check_same(learned, resolved, steps)
    families = heuristics(resolved)
    for name, one in given.items():
        if isinstance(one, Family):
            families[name] = _within(
                resolved.levels, partial(family, one, alpha_bar_range=resolved.alpha_bar_range)
            )
    rows = [ComparedSchedule("learned", learned.schedule, learned.value, steps)]
    for name, make in families.items():
        schedule = make(steps)
        needed = steps_needed(resolved, make, learned.node_value)
        rows.append(ComparedSchedule(name, schedule, float(resolved.value(schedule)), needed))
    for name, one in given.items():
        if not isinstance(one, Family):
            clipped = resolved.levels.clip(one)
            rows.append(ComparedSchedule(name, clipped, float(resolved.value(clipped))))
    return Comparison(learned, tuple(sorted(rows, key=_rank)), resolved)


def _check_same(learned: LearnedResult, task: GaussianTask, steps: int) -> None:
    """Refuse a fit of something else than what is compared."""
    asked = {
        "steps": (learned.steps, steps),
        "sampler": (learned.sampler, task.sampler),
        "sampler_options": (dict(learned.sampler_options), task.sampler_options),
        "loss": (learned.loss, task.loss.name),
        "process": (learned.process, task.process),
        "alpha_bar_range": (tuple(learned.alpha_bar_range), task.alpha_bar_range),
        "grid": (learned.grid and learned.grid.name, task.levels.grid and task.levels.grid.name),
        "denoiser_error": (_error(learned.nodes), _error(task.modes)),
        "spectrum": (learned.source.get("fingerprint"), task.fingerprint),
    }
    for name, (own, wanted) in asked.items():
        if own != wanted:
            raise UserError(f"learned: its {name} is {own!r}, that of the comparison {wanted!r}")


def _error(modes: Modes) -> float:
    return 0.0 if modes.denoiser_error is None else float(modes.denoiser_error)


def _rank(row: ComparedSchedule) -> float:
    """Sort by value; the learned schedule goes first among those equal up to rounding."""
    return row.value * (1 - 1e-9) if row.name == "learned" else row.value


def heuristics(task: GaussianTask) -> dict[str, Callable[[int], NoiseSchedule]]:
    """Return every family, pinned, and the closed form of the spectrum: functions of the steps."""
    ends = task.alpha_bar_range
    closed = partial(spectral, task.nodes, loss=task.loss, alpha_bar_range=ends)
    return {"spectral": _within(task.levels, closed), **pinned_families(task.levels)}


def pinned_families(levels: LevelRange) -> dict[str, Callable[[int], NoiseSchedule]]:
    """Return every family that has a level within the range, pinned to it."""
    pinned: dict[str, Callable[[int], NoiseSchedule]] = {}
    for name in SCHEDULES:
        with contextlib.suppress(UserError):
            family(name, 1, alpha_bar_range=levels.alpha_bar_range)
            make = partial(family, name, alpha_bar_range=levels.alpha_bar_range)
            pinned[name] = _within(levels, make)
    return pinned


def _within(
    levels: LevelRange, make: Callable[[int], NoiseSchedule]
) -> Callable[[int], NoiseSchedule]:
    """Clip what a family makes to the network's grid."""
    return lambda steps: levels.clip(make(steps))


def losses_over_steps(
    task: GaussianTask, make: Callable[[int], NoiseSchedule], steps: Iterable[int]
) -> list[float]:
    """Compute the loss of a family on the nodes at several numbers of steps."""
    return [_on_nodes(task, make(s)) for s in steps]


def _on_nodes(task: GaussianTask, schedule: NoiseSchedule) -> float:
    return float(task.objective.value(task.nodes, schedule))


def steps_needed(
    task: GaussianTask, make: Callable[[int], NoiseSchedule], target: float
) -> int | None:
    """Find the fewest steps that reach a loss, by doubling and bisection."""

    def reaches(steps: int) -> bool:
        return _on_nodes(task, make(steps)) <= target * (1 + 1e-9)

    above = 1
    while not reaches(above):
        if above == MOST_STEPS:
            return None
        above = min(2 * above, MOST_STEPS)
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (below, middle) if reaches(middle) else (middle, above)
    return above
