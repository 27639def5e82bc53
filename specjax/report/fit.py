"""Tables and JSON of results, for the command line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from specjax.files import corrections_document, numbers, plain
from specjax.fitting.compare import AMPLIFIED, MOST_STEPS, Comparison, Row
from specjax.fitting.learned import FitResult, PlanResult
from specjax.gaussian.losses import LOSSES
from specjax.report.noise import noise_lines, noise_name
from specjax.report.plan import about_plan, correction_table
from specjax.schedules.grids import TrainingGrid
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _title(fit: FitResult, spectrum: Spectrum) -> str:
    source = spectrum.source or {}
    samples = f", {source['samples']:,} samples" if "samples" in source else ""
    dimension = source.get("dimension", spectrum.dimension)
    if spectrum.noise is not None:
        dimension = math.prod(spectrum.noise.shape)  # those that are omitted, too
    return (
        f"{source.get('name', 'spectrum')} (d = {dimension:,}{samples}), "
        f"{fit.sampler}{_in_brackets(fit.sampler_options)}, {fit.process}, "
        f"{fit.loss}: {LOSSES[fit.loss].summary}{_special_denoiser(fit)}"
        + ("" if spectrum.noise is None else f", noise: {spectrum.noise.name}")
    )


def _special_denoiser(fit: FitResult) -> str:
    name = _denoiser_of(fit)
    return "" if name == "ideal" else f", denoiser: {name}"


def _denoiser_of(fit: FitResult) -> str:
    """Which denoiser it was fitted to."""
    found, part = fit.source.get("denoiser"), fit.nodes.denoiser_error
    name = "ideal" if found is None else "probed"
    if found is not None and "run" in found:
        name += f" of {found['run']} at step {found['step']:,}"
    return name if part is None else f"{name}, erring by {float(part):g}"


def _in_brackets(options: Any) -> str:
    return f" ({', '.join(f'{k} = {v}' for k, v in options.items())})" if options else ""


def _needed(row: Row) -> str:
    if row.name == "learned":
        return str(row.schedule.steps)
    return f"> {MOST_STEPS}" if row.steps_needed is None else str(row.steps_needed)


def print_fit(
    comparison: Comparison,
    spectrum: Spectrum,
    written: list[str],
    noise: dict[str, Any] | None = None,
) -> None:
    """The table of ``specjax fit``, the state of the fit, and what was written.

    Args:
      noise: of :func:`noise_facts`, where it is not isotropic.
    """
    fit, console = comparison.learned, _console()
    table = Table(title=_title(fit, spectrum), title_justify="left")
    table.add_column("schedule")
    table.add_column(f"loss at S = {fit.steps}", justify="right")
    table.add_column("over learned", justify="right")
    table.add_column("S for the learned loss", justify="right")
    for row in comparison.rows:
        ratio = row.value / fit.value if fit.value > 0 else float("nan")
        style = "bold" if row.name == "learned" else None
        table.add_row(row.name, f"{row.value:.5g}", f"{ratio:.4g}x", _needed(row), style=style)
    console.print(table)
    for line in noise_lines(noise):
        console.print(line, markup=False)
    console.print(_state(fit))
    warning = amplified(comparison.amplification, fit.loss, fit.nodes.denoiser_error)
    if warning:
        console.print(warning, markup=False)
    console.print("wrote " + ", ".join(written))


def amplified(ratio: float, loss: str, part: Any) -> str | None:
    """A line where a network may not follow a schedule, with what helps.

    Args:
      ratio: the amplification. part: the denoiser's error that was counted, or None.
    """
    if not ratio > AMPLIFIED:
        return None
    helps = part is None and LOSSES[loss].counts_mean
    return (
        f"a denoiser's errors, if independent, count {ratio:.2g} times what they do along other "
        "schedules: a network may not follow"
        + ("; --denoiser-error 0.1 counts them in the fit" if helps else "")
    )


def _state(fit: FitResult) -> str:
    if not fit.finite:
        return "the loss is not finite: the schedule is the start of the fit"
    if fit.converged:
        return f"converged in {fit.iterations} iterations"
    return (
        f"NOT converged after {fit.iterations} iterations: the best schedule found is kept; "
        "try more --restarts"
    )


def print_comparisons(
    found: list[Comparison], spectrum: Spectrum, noise: dict[str, Any] | None = None
) -> None:
    """The table of ``specjax compare``: a row a schedule, a column an S."""
    table = Table(title=_title(found[0].learned, spectrum), title_justify="left")
    table.add_column("schedule")
    for one in found:
        table.add_column(f"S = {one.learned.steps}", justify="right")
    values = [{row.name: row for row in one.rows} for one in found]
    for row in found[0].rows:
        cells = [f"{column[row.name].value:.5g}" for column in values]
        own = row.schedule.steps
        name = row.name if own == found[0].learned.steps else f"{row.name} (S = {own})"
        table.add_row(name, *cells, style="bold" if row.name == "learned" else None)
    console = _console()
    console.print(table)
    for line in noise_lines(noise):
        console.print(line, markup=False)
    for one in found:
        if not one.learned.converged:
            console.print(f"S = {one.learned.steps}: {_state(one.learned)}")
        fit = one.learned
        warning = amplified(one.amplification, fit.loss, fit.nodes.denoiser_error)
        if warning:
            console.print(f"S = {fit.steps}: {warning}", markup=False)


def comparison_json(comparison: Comparison, noise: dict[str, Any] | None = None) -> dict[str, Any]:
    """A comparison for machines; ``noise`` is null where it is isotropic."""
    fit = comparison.learned
    part, ratio = fit.nodes.denoiser_error, comparison.amplification
    return {
        "steps": fit.steps,
        "sampler": fit.sampler,
        "sampler_options": dict(fit.sampler_options),
        "loss": fit.loss,
        "process": fit.process,
        "alpha_bar_range": list(fit.alpha_bar_range),
        "converged": fit.converged,
        "iterations": fit.iterations,
        "seconds": fit.seconds,
        "data": {k: v for k, v in fit.source.items() if isinstance(v, str | int | float | None)},
        "denoiser": plain(fit.source.get("denoiser")),
        "amplification": ratio if np.isfinite(ratio) else None,
        "denoiser_error": None if part is None else float(part),
        "noise": noise,
        "schedules": [
            {
                "name": row.name,
                "value": row.value if np.isfinite(row.value) else None,
                "steps": row.schedule.steps,
                "steps_needed": row.steps_needed,
                "logsnr": numbers(row.schedule.logsnr),
            }
            for row in comparison.rows
        ],
    }


def _forms(schedule: NoiseSchedule, grid: TrainingGrid) -> dict[str, np.ndarray]:
    """The columns of ``specjax show``; no timestep for a noise-free level."""
    logsnr = np.asarray(schedule.logsnr)
    timestep = np.where(np.isinf(logsnr), np.nan, grid.timestep(logsnr))
    return {
        "alpha_bar": np.asarray(schedule.alpha_bar),
        "sigma": np.asarray(schedule.sigmas),
        "logsnr": logsnr,
        "flow time": np.asarray(schedule.flow_time),
        f"timestep ({grid.name})": timestep,
    }


def print_show(found: FitResult | NoiseSchedule | PlanResult, grid: TrainingGrid) -> None:
    """The table of ``specjax show``, and of a plan's corrections."""
    console = _console()
    schedule = found if isinstance(found, NoiseSchedule) else found.schedule
    if not isinstance(found, NoiseSchedule):
        for name, text in _about(found).items():
            console.print(f"{name}: {text}")
    end = "noise-free" if schedule.ends_clean else "noisy: a 0 is not among its sigmas"
    console.print(f"{schedule.steps} steps, noisy to clean; the last level is {end}")
    console.print("sigma is VE's, sqrt(1 / alpha_bar - 1)")
    table = Table()
    table.add_column("level", justify="right")
    columns = _forms(schedule, grid)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for k in range(schedule.steps + 1):
        cells = ("-" if np.isnan(column[k]) else f"{column[k]:.6g}" for column in columns.values())
        table.add_row(str(k), *cells)
    console.print(table)
    if isinstance(found, PlanResult) and found.corrections is not None:
        console.print(correction_table(found.corrections))


def _about(found: FitResult | PlanResult) -> dict[str, str]:
    source = found.source
    data = (
        f"{source.get('name', 'unknown')}, {source.get('samples', '?')} samples, "
        f"range {source.get('data_range')}"
    )
    noise = {"noise": noise_name(getattr(found, "noise", None))}
    more = about_plan(found) if found.nodes is None else _about_fit(found)
    return {"data": data, **noise, **more}


def _about_fit(fit: FitResult) -> dict[str, str]:
    source = fit.source
    best = min(fit.baselines.items(), key=lambda item: item[1], default=None)
    return {
        "spectrum": str(source.get("fingerprint", "unknown"))[:16],
        "denoiser": _denoiser_of(fit),
        "sampler": f"{fit.sampler}{_in_brackets(fit.sampler_options)}, {fit.process}",
        "loss": f"{fit.loss} = {fit.value:.6g}"
        + (f" (best heuristic: {best[0]}, {best[1]:.6g})" if best else ""),
        "state": _state(fit),
    }


def show_json(found: FitResult | NoiseSchedule | PlanResult, grid: TrainingGrid) -> dict[str, Any]:
    """A schedule in every form, for machines."""
    schedule = found if isinstance(found, NoiseSchedule) else found.schedule
    forms = {
        name: [None if isinstance(x, float) and np.isnan(x) else x for x in numbers(column)]
        for name, column in _forms(schedule, grid).items()
    }
    about = {} if isinstance(found, NoiseSchedule) else _about(found)
    shown: dict[str, Any] = {"about": about, "steps": schedule.steps, "levels": forms}
    if isinstance(found, PlanResult):
        shown["corrections"] = corrections_document(found.corrections)
    return shown
