"""What is best in a number of steps: ends, shift and the parameters of the usual families."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from specjax._core.checks import UserError
from specjax.advise.resampling import Replicates
from specjax.advise.shift import log_range, minimum, shifted
from specjax.fitting.compare import steps_needed
from specjax.fitting.spectral import levels_in_closed_form
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import GaussianTask
from specjax.sampling.samplers import plan
from specjax.schedules.families import family
from specjax.schedules.schedule import NoiseSchedule

_TUNED = {"rho": ("karras", 1.0, 60.0), "cosine_tau": ("cosine_chen", 0.1, 30.0),
          "sigmoid_tau": ("sigmoid", 0.1, 10.0)}  # fmt: skip
"""The parameters that are looked for, on a logarithmic scale: family, least and largest value."""

_SAMPLERS = ("ddim", "ddpm", "heun", "dpmpp_2m")
SHARES = (0.01, 0.001)
"""Shares of the data's variance for which the calls are given."""


@dataclass(frozen=True)
class AdvisedSteps:
    """What is best in S steps of DDIM.

    Attributes:
      steps: S.
      alpha_bar_range: the two ends; the clean one is 1, where the last step returns the estimate.
      sigma_max: the noisy end as sigma.
      sigma_last: the last noisy level.
      share: what the levels in closed form lose, as a share of the data's variance (for a loss
        without unit, by direction).
      mean_share: the part of the loss that is the mean's, from the task's own noisy end.
      parameters: shift, rho, cosine_tau, sigmoid_tau and sigma_max by name: the best value, and
        the loss there over that of the levels in closed form.
      errors: standard errors of the parameters and of the share, by name.
    """

    steps: int
    alpha_bar_range: tuple[float, float]
    sigma_max: float
    sigma_last: float
    share: float
    mean_share: float
    parameters: Mapping[str, tuple[float, float]]
    errors: Mapping[str, float]


def closed_form(task: GaussianTask, nodes: Modes, steps: int, log_sigma: float) -> NoiseSchedule:
    """Return the levels in closed form from a noisy end to the data."""
    ends = np.array([-2 * log_sigma, np.inf])
    levels = levels_in_closed_form(nodes, task.loss, steps, ends[0], ends[1])
    return NoiseSchedule(np.asarray(levels))


def best_noisy_end(task: GaussianTask, steps: int, nodes: Modes | None = None) -> float:
    """Return the log sigma from which S steps come closest to the data.

    Too little noise starts far from the marginal, too much spends steps where nothing is decided.
    """
    nodes = task.nodes.in_float64 if nodes is None else nodes
    _, high = log_range(nodes)

    def value(log_sigma: float) -> float:
        return float(task.objective.value(nodes, closed_form(task, nodes, steps, log_sigma)))

    return minimum(value, high - 3, high + 7)


def ends_for(task: GaussianTask, steps: int) -> tuple[float, float]:
    """Return the ``alpha_bar_range`` that suits S steps of a task: what ``--ends auto`` takes.

    The clean end is 1: the last noisy level is learned, and the last step returns the estimate.
    Where the task starts from pure noise, that is kept if it is no worse.
    """
    nodes, end = task.nodes.in_float64, best_noisy_end(task, steps)
    if task.alpha_bar_range[0] == 0:
        values = [task.objective.value(nodes, closed_form(task, nodes, steps, x))
                  for x in (end, math.inf)]  # fmt: skip
        end = end if values[0] < values[1] else math.inf
    ends = (1 / (1 + math.exp(2 * end)), 1.0)
    return task.levels.resolve(ends, task.levels.grid, task.process).alpha_bar_range


def advise_steps(
    task: GaussianTask, steps: int, resampled: Replicates | None, sigma_min: float
) -> AdvisedSteps:
    """Find what is best in S steps, with errors by replicates of the spectrum."""
    nodes = task.nodes.in_float64
    end = best_noisy_end(task, steps)
    schedule = closed_form(task, nodes, steps, end)
    value = float(task.objective.value(nodes, schedule))
    ends = (1 / (1 + math.exp(2 * end)), 1.0)
    own = closed_form(task, nodes, steps, -float(task.logsnr_range[0]) / 2)
    low, high = log_range(nodes)
    ranges = {"shift": (low - 3, high + 3)}
    ranges |= {name: (math.log(a), math.log(b)) for name, (_, a, b) in _TUNED.items()}
    makes: dict[str, Callable[[float], NoiseSchedule]] = {
        name: functools.partial(_tuned, name, steps, ends, sigma_min) for name in _TUNED
    }
    makes["shift"] = functools.partial(_shifted, steps)
    found = {"sigma_max": (end, value)}
    for name, (least, most) in ranges.items():

        def loss(x: float, make: Callable[[float], NoiseSchedule] = makes[name]) -> float:
            return float(task.objective.value(nodes, make(x)))

        best = minimum(loss, least, most, 17, 1e-3)
        found[name] = (best, loss(best))
    makes["sigma_max"] = functools.partial(closed_form, task, nodes, steps)
    errors = {
        name: math.exp(x) * resampled.errors(task, makes[name], x) if resampled else math.nan
        for name, (x, _) in found.items()
    }
    errors["share"] = float(np.std(resampled.shares(task, schedule))) if resampled else math.nan
    return AdvisedSteps(
        steps, ends, math.exp(end), float(np.exp(-schedule.logsnr[-2] / 2)),
        value / task.unit, task.mean_share(own),
        {name: (math.exp(x), loss / value) for name, (x, loss) in found.items() if value > 0},
        errors,
    )  # fmt: skip


def _shifted(steps: int, log_shift: float) -> NoiseSchedule:
    return shifted(steps, math.exp(log_shift))


def _tuned(
    name: str, steps: int, ends: tuple[float, float], sigma_min: float, log_value: float
) -> NoiseSchedule:
    """Make the levels of a family with its parameter, pinned to both ends."""
    row = _TUNED[name][0]
    options: dict[str, Any] = {"rho" if row == "karras" else "tau": math.exp(log_value)}
    if row == "karras":
        options["sigma_min"] = min(sigma_min, 0.1 * math.sqrt(1 / ends[0] - 1))
    return family(row, steps, alpha_bar_range=ends, **options)


class Calls(NamedTuple):
    """The fewest calls of the network with which a sampler loses at most a share of the variance.

    Attributes:
      calls: how many; None where a thousand steps do not do.
      error: their standard error; NaN where samples are not at hand.
    """

    calls: int | None
    error: float


def calls_needed(
    spectrum: Any, sigma_max: float, task: Mapping[str, Any], resampled: Replicates | None
) -> dict[str, dict[float, Calls]]:
    """Find the fewest calls of samplers, by the share of the variance that they lose.

    Of the levels in closed form, and of EDM's ramp.
    """
    ends = (1 / (1 + sigma_max**2), 1.0)
    calls: dict[str, dict[float, Calls]] = {}
    for sampler in _SAMPLERS:
        resolved = GaussianTask.resolve(
            spectrum, **{**task, "sampler": sampler, "alpha_bar_range": ends}
        )
        makes: list[Callable[[int], NoiseSchedule]] = [
            functools.partial(_closed, resolved, math.log(sigma_max)),
            functools.partial(family, "karras", alpha_bar_range=ends),
        ]
        calls[sampler] = {}
        for share in SHARES:
            needed = [steps_needed(resolved, make, share * resolved.unit) for make in makes]
            few = [
                (plan(sampler, make(s)).calls, s, make)
                for s, make in zip(needed, makes, strict=True)
                if s is not None
            ]
            if not few:
                calls[sampler][share] = Calls(None, math.nan)
                continue
            least, steps, make = min(few, key=lambda one: one[0])
            error = least / steps * _error_of_steps(resolved, make, steps, resampled)
            calls[sampler][share] = Calls(least, error)
    return calls


def _error_of_steps(
    task: GaussianTask, make: Callable[[int], NoiseSchedule], steps: int,
    resampled: Replicates | None,
) -> float:  # fmt: skip
    """Return the standard error of the steps that reach a share of the variance.

    It is that of the logarithm of the share, over what a step changes of it.
    """
    if resampled is None or steps == 1:
        return math.nan
    before, here = (resampled.shares(task, make(s)) for s in (steps - 1, steps))
    slope = math.log(before[0] / here[0])
    return float(np.std(np.log(here[1:]))) / slope if slope > 0 else math.nan


def _closed(task: GaussianTask, log_sigma: float, steps: int) -> NoiseSchedule:
    return closed_form(task, task.nodes, steps, log_sigma)


def check_steps(steps: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of steps if there are some, each of them a whole number."""
    from specjax._core import checks

    if not steps:
        raise UserError("steps = (): give at least one whole number")
    return tuple(checks.whole_number("steps", one) for one in steps)
