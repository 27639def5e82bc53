"""The fewest steps that reach a loss, by every sampler."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from specjax._core import checks
from specjax.fitting.compare import amplification, pinned_families
from specjax.gaussian.task import GaussianTask
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.noise.whitening import effective
from specjax.sampling.samplers import options_of
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum
from specjax.sweep.run import sweep
from specjax.sweep.axes import expanded

SAMPLERS = ("ddim", "ddpm", "heun", "dpmpp_2m", "dpmpp_2m_sde", "lms")
"""The samplers that are asked by default."""

_WINDOW = 16  # steps that one compiled program tries, and then twice as many

Progress = Callable[[str], None]
"""Called with what is being tried."""


@dataclass(frozen=True, eq=False)
class Recommendation:
    """How a sampler reaches a loss.

    Attributes:
      sampler, sampler_options: which. reached: whether it does; else the best that it can do.
      steps: S, the fewest. calls: of the denoiser (Heun makes two a step).
      schedule: the learned one. value: its loss. converged: as in a fit.
      best_heuristic, best_heuristic_value: of the schedules that do not look at the data, at S.
      amplification: as in a comparison; above 2 a network may not follow the schedule.
      denoiser_error: the part that was counted, or None.
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


def recommend(
    spectrum: Spectrum,
    target_loss: float,
    *,
    loss: str = "w2",
    samplers: Sequence[Any] = SAMPLERS,
    process: str = "vp",
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE,
    noise: NoiseSpectrum | None = None,
    denoiser_error: float = 0.0,
    most_steps: int = 64,
    progress: Progress | None = None,
    **options: Any,
) -> list[Recommendation]:
    """The fewest steps with which each sampler's learned schedule reaches a loss.

    All S of a window are fitted at once, so the answer is the least of all, not of a search that
    trusts the loss to fall.

    Args:
      spectrum: d eigenvalues. target_loss: above 0. loss: a name in LOSSES.
      samplers: as in :class:`Sweep`. process, alpha_bar_range, noise, denoiser_error: as in
        :func:`fit`.
      most_steps: where to stop. options: more of :class:`Sweep`, such as ``restarts``.

    Returns:
      A row for each sampler: those that reach the loss first, by rising calls of the denoiser.

    Raises:
      ValueError: for an unknown name, a target that is not above 0, a spectrum with zero
        eigenvalues under a loss that is infinite there.

    Example:
      >>> best = sx.recommend(sx.Spectrum.power_law(50, 1.0), 0.5, samplers=["ddim"])[0]
      >>> best.sampler, best.steps, best.value < 0.5
      ('ddim', 4, True)
    """
    target = checks.positive("target_loss", target_loss)
    most_steps = checks.whole_number("most_steps", most_steps)
    spectrum = effective(spectrum, noise)
    waiting = [one for given in samplers for one in expanded(given)]
    if not waiting:
        raise ValueError("samplers = (): give at least one")
    tasks = {
        one: GaussianTask.resolve(
            spectrum, sampler=one, loss=loss, process=process, alpha_bar_range=alpha_bar_range,
            denoiser_error=denoiser_error,
        )
        for one in waiting
    }  # fmt: skip
    found: list[Recommendation] = []
    best: dict[Any, Recommendation] = {}
    last, width = 0, _WINDOW
    while waiting and last < most_steps:
        window = range(last + 1, min(last + width, most_steps) + 1)
        if progress:
            progress(f"S = {window[0]} to {window[-1]}: {', '.join(one.name for one in waiting)}")
        made = sweep(
            {"spectrum": spectrum}, list(window), samplers=waiting, losses=[loss],
            processes=[process], alpha_bar_ranges=[alpha_bar_range],
            denoiser_error=denoiser_error, **options,
        )  # fmt: skip
        assert made is not None
        rows = [_row(row, target) for row in made.table.to_pylist()]
        last, width = window[-1], 2 * width
        for one in list(waiting):
            own = [
                replace(row, calls=tasks[one].plan(row.schedule).calls)
                for row in rows
                if (row.sampler, row.sampler_options) == (one.name, options_of(one))
            ]
            reaching = [row for row in own if row.reached]
            finite = [*filter(None, [best.get(one)]), *(r for r in own if np.isfinite(r.value))]
            if finite:
                best[one] = min(finite, key=lambda row: row.value)
            if reaching or last == most_steps:
                found += reaching[:1] or (finite and [best[one]])
                waiting.remove(one)
    families = pinned_families(tasks[next(iter(tasks))].alpha_bar_range).values()
    by_name = {(one.name, json.dumps(options_of(one))): task for one, task in tasks.items()}

    def judged(row: Recommendation) -> Recommendation:
        task = by_name[row.sampler, json.dumps(dict(row.sampler_options))]
        ratio = amplification(task, row.schedule, [make(row.steps) for make in families])
        return replace(row, amplification=ratio, denoiser_error=denoiser_error or None)

    return sorted(
        map(judged, found),
        key=lambda row: (not row.reached, row.calls if row.reached else 0, row.value),
    )


def _row(row: Mapping[str, Any], target: float) -> Recommendation:
    schedule = NoiseSchedule(np.asarray(row["logsnr"], np.float64))
    options = json.loads(row["sampler_options"])
    return Recommendation(
        sampler=row["sampler"],
        sampler_options=options,
        reached=bool(row["finite"]) and row["value"] <= target,
        steps=row["steps"],
        calls=0,
        schedule=schedule,
        value=row["value"],
        converged=row["converged"],
        best_heuristic=row["best_heuristic"],
        best_heuristic_value=row["best_heuristic_value"],
    )
