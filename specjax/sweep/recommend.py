"""The fewest steps that reach a loss, by every sampler."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax._core.shown import Results, Shown
from specjax.fitting.compare import amplification, pinned_families
from specjax.gaussian.losses import Loss
from specjax.gaussian.task import GaussianTask
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import effective
from specjax.schedules.grids import GridLike
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum
from specjax.sweep.axes import options_json, samplers_of
from specjax.sweep.run import sweep

SAMPLERS = ("ddim", "ddpm", "heun", "dpmpp_2m", "dpmpp_2m_sde", "lms")
"""The samplers that are tried by default."""

_FIRST_STEPS = 16  # the S that the first sweep tries; each further one tries twice as many

Progress = Callable[[str], None]
"""Called with what is being tried."""


@dataclass(frozen=True, eq=False, repr=False)
class Recommendation(Shown):
    """How a sampler reaches a loss.

    Attributes:
      sampler: its name.
      sampler_options: those given to it.
      reached: whether it does; else this is the best it can do.
      steps: S, the fewest.
      calls: of the denoiser (Heun makes two a step).
      schedule: the learned one.
      value: its loss.
      converged: as in a fit.
      best_heuristic: the best at S of the schedules that do not look at the data.
      best_heuristic_value: its loss.
      amplification: as in a comparison; above 2 a network may not follow the schedule.
      denoiser_error: the part that was counted, or None.
      share: the loss as a share of the data's variance; of a loss without unit, by direction.
    """

    sampler: str
    sampler_options: Mapping[str, Any]
    reached: bool
    steps: int
    calls: int
    schedule: NoiseSchedule
    value: float
    converged: bool
    best_heuristic: str
    best_heuristic_value: float
    amplification: float = float("nan")
    denoiser_error: float | None = None
    share: float = float("nan")


@shows_progress("fitting", "")
def recommend(
    spectrum: Spectrum,
    target_loss: float,
    *,
    loss: str | Loss = "w2",
    samplers: Sequence[Any] = SAMPLERS,
    process: str = "vp",
    alpha_bar_range: tuple[float, float] | None = None,
    grid: GridLike | None = None,
    noise: NoiseSpectrum | None = None,
    denoiser_error: float = 0.0,
    max_steps: int = 64,
    progress: Progress | Literal[False] | None = None,
    **options: Any,
) -> Results[Recommendation]:
    """Find the fewest steps with which each sampler's learned schedule reaches a loss.

    All S up to a number are fitted at once, so the answer is the least of all, not of a search that
    trusts the loss to fall.

    Args:
      spectrum: d eigenvalues.
      target_loss: above 0.
      loss: a name in LOSSES, or a loss.
      samplers: as in :class:`Sweep`.
      process: "vp", "ve" or "flow".
      alpha_bar_range: the two ends, as in :func:`fit`.
      grid: the training grid that levels stay within, as in :func:`fit`.
      noise: of the forward process.
      denoiser_error: as in :func:`fit`.
      max_steps: where to stop.
      progress: see :data:`Progress`; by default a line on standard error in long calls, False
        for none.
      options: more of :class:`Sweep`, such as ``restarts``.

    Returns:
      A row for each sampler: those that reach the loss first, by rising calls of the denoiser.

    Raises:
      UserError: for an unknown name, a target that is not above 0, a spectrum with zero
        eigenvalues under a loss that is infinite there.

    Example:
      >>> best = sx.recommend(sx.Spectrum.power_law(50, 1.0), 0.5, samplers=["ddim"])[0]
      >>> best.sampler, best.steps, best.value < 0.5
      ('ddim', 4, True)
    """
    target = checks.positive("target_loss", target_loss)
    max_steps = checks.whole_number("max_steps", max_steps)
    spectrum = effective(spectrum, noise)
    levels = LevelRange.resolve(alpha_bar_range, grid, process)
    tasks = {
        (one.name, options_json(one)): GaussianTask.resolve(
            spectrum, sampler=one, loss=loss, process=process, denoiser_error=denoiser_error,
            alpha_bar_range=levels.alpha_bar_range, grid=levels.grid,
        )
        for entry in samplers for one in samplers_of(entry)
    }  # fmt: skip
    if not tasks:
        raise UserError("samplers = (): give at least one")
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    waiting, last = dict(tasks), 0
    while waiting and last < max_steps:
        window = range(last + 1, min(2 * last + _FIRST_STEPS, max_steps) + 1)
        last = window[-1]
        if progress:
            names = ", ".join(name for name, _ in waiting)
            progress(f"S = {window[0]} to {last}: {names}")
        result = sweep(
            {"spectrum": spectrum}, window, losses=[loss], processes=[process],
            samplers=[task.objective.sampler for task in waiting.values()],
            alpha_bar_ranges=[levels.alpha_bar_range], grid=levels.grid,
            denoiser_error=denoiser_error, **options,
        )  # fmt: skip
        assert result is not None  # which only other processes of a sweep with a folder return
        for row in result.table.to_pylist():
            if np.isfinite(row["value"]):
                row["reached"] = row["value"] <= target
                rows[row["sampler"], row["sampler_options"]].append(row)
        waiting = {x: task for x, task in waiting.items() if not any(r["reached"] for r in rows[x])}

    def rank(row: Mapping[str, Any]) -> tuple[bool, float]:
        """Sort the fewest steps that reach the loss first, then what comes nearest to it."""
        return (False, row["steps"]) if row["reached"] else (True, row["value"])

    found = [
        _recommendation(task, min(rows[key], key=rank), denoiser_error)
        for key, task in tasks.items()
        if rows[key]
    ]
    return Results(
        sorted(found, key=lambda x: (not x.reached, x.calls if x.reached else 0, x.value))
    )


def _recommendation(
    task: GaussianTask, row: Mapping[str, Any], denoiser_error: float
) -> Recommendation:
    schedule = NoiseSchedule(np.asarray(row["logsnr"], np.float64))
    others = [make(row["steps"]) for make in pinned_families(task.levels).values()]
    same = ("sampler", "reached", "steps", "calls", "value", "converged", "best_heuristic",
            "best_heuristic_value")  # fmt: skip
    return Recommendation(
        **{name: row[name] for name in same},
        sampler_options=json.loads(row["sampler_options"]),
        schedule=schedule,
        amplification=amplification(task, schedule, others),
        denoiser_error=denoiser_error or None,
        share=row["value"] / task.unit,
    )
