"""What every result shows: a table of classes, each with its report, its figure and its numbers.

:class:`specjax._core.shown.Shown` looks a result up here. To add a class, add a row to
:data:`VIEWS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax._core.shown import Results
from specjax.advise.advice import Advice
from specjax.bench import Bench
from specjax.evaluate import Evaluation
from specjax.evaluate.trajectory import TrajectoryGeometry
from specjax.fitting.any_steps import PlanSet
from specjax.fitting.compare import ComparedSchedule, Comparison, heuristics
from specjax.fitting.learned import LearnedResult
from specjax.gaussian.probe import Probe
from specjax.gaussian.task import GaussianTask
from specjax.learning import ScheduleDistance, Verdict
from specjax.report import figures, show
from specjax.report.advise import advice_blocks, advice_columns
from specjax.report.bench import bench_blocks
from specjax.report.evaluate import evaluation_blocks
from specjax.report.fit import distance_blocks, distance_columns, fit_blocks
from specjax.report.probe import probe_blocks
from specjax.report.restore import posterior_blocks, posterior_columns, posterior_lines
from specjax.report.spectrum import spectrum_blocks
from specjax.report.sweep import sweep_blocks
from specjax.report.table import Block, Column, Table, blocks_html, blocks_text
from specjax.report.words import count, with_options
from specjax.restoration.fit import PosteriorResult
from specjax.sampling.step import SamplerPlan
from specjax.schedules.grids import TrainingGrid, check_grid
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum
from specjax.sweep import Recommendation, Sweep, SweepResult

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

_MOST_LEVELS = 4
"""Levels in a line of text: the ends, and some between them."""

Columns = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """How a class shows itself.

    Attributes:
      blocks: the report.
      columns: the numbers by the names of their columns; of a list of results, of each of them.
      figure: what draws it; None where there is nothing to draw.
      lines: the text of ``repr``, a line a fact; None for that of the blocks.
    """

    blocks: Callable[[Any], list[Block]]
    columns: Callable[[Any], Columns]
    figure: Callable[..., Figure] | None = None
    lines: Callable[[Any], list[str]] | None = None


def text_of(result: Any) -> str:
    """Return what ``repr`` says; never an error, also of a result that JAX transforms."""
    try:
        view = _view_of(result)
        if view is None:
            return repr(list(result))
        return "\n".join(view.lines(result)) if view.lines else blocks_text(view.blocks(result))
    except Exception:  # traced or batched numbers; a debugger must be able to show it
        return object.__repr__(result)


def html_of(result: Any) -> str:
    """Return what a notebook shows."""
    view = _view_of(result)
    return blocks_html([text_of(result)] if view is None else view.blocks(result))


def figure_of(result: Any, **options: Any) -> Figure:
    """Draw a result."""
    view = _view_of(result)
    if view is None or view.figure is None:
        raise UserError(f"{type(result).__name__}: there is no figure of it; see specjax.plots")
    return view.figure(result, **options)


def frame_of(result: Any) -> pandas.DataFrame:
    """Make a data frame of a result."""
    pandas = import_extra("pandas", "sweep", "to_pandas")
    view = _view_of(result)
    return pandas.DataFrame({} if view is None else dict(view.columns(result)))


def _view_of(result: Any) -> View | None:
    """Find the row of a result, or of the results in a list; None for an empty list."""
    if isinstance(result, Results):
        return LISTS[type(result[0])] if result else None
    return next(VIEWS[one] for one in type(result).__mro__ if one in VIEWS)


def _numbers(x: Any) -> list[float]:
    return np.asarray(x, np.float64).tolist()


def _some(x: Any) -> str:
    """Write some numbers of many, the first and the last among them."""
    texts = [f"{one:.4g}" for one in _numbers(x)]
    if len(texts) <= 2 * _MOST_LEVELS:
        return ", ".join(texts)
    return ", ".join([*texts[:_MOST_LEVELS], "...", *texts[-_MOST_LEVELS:]])


def _level_columns(schedule: NoiseSchedule) -> Columns:
    return {
        "level": list(range(schedule.steps + 1)),
        "alpha_bar": _numbers(schedule.alpha_bar),
        "sigma": _numbers(schedule.sigmas),
        "logsnr": _numbers(schedule.logsnr),
        "flow_time": _numbers(schedule.flow_time),
    }


def _table(title: str, columns: Columns) -> list[Block]:
    """Make a table of columns of numbers."""
    heads = [
        Column(name, _cell, "left" if all(isinstance(x, str) for x in values) else "right")
        for name, values in columns.items()
    ]
    return [Table(title, heads, list(zip(*columns.values(), strict=True)))]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "-" if np.isnan(value) else f"{value:.5g}"
    return str(value)


def _schedule_title(schedule: NoiseSchedule) -> str:
    return f"NoiseSchedule of {count(schedule.steps, 'step')}, noisy to clean"


def _schedule_lines(schedule: NoiseSchedule) -> list[str]:
    return [_schedule_title(schedule), f"  sigma   {_some(schedule.sigmas)}",
            f"  logsnr  {_some(schedule.logsnr)}"]  # fmt: skip


def _plan_title(plan: SamplerPlan) -> str:
    kind = "with noise" if plan.stochastic else "deterministic"
    return (
        f"SamplerPlan of {count(plan.calls, 'call')} of the denoiser"
        f"{'' if plan.guidance is None else f' ({plan.network_calls} of the network)'}, {kind}, "
        f"{count(plan.registers, 'register')}, start {float(plan.start):.4g}"
        f"{'' if plan.signal is None else ' from data'}"
    )


def _plan_columns(plan: SamplerPlan) -> Columns:
    registers = range(plan.registers)
    keep, pull, push = (np.asarray(x, np.float64) for x in (plan.keep, plan.pull, plan.push))
    return {
        "call": list(range(plan.calls)),
        "alpha": _numbers(plan.alpha),
        "sigma": _numbers(plan.sigma),
        **{f"keep[0, {j}]": _numbers(keep[:, 0, j]) for j in registers},
        "pull[0]": _numbers(pull[:, 0]),
        **({"push[0]": _numbers(push[:, 0])} if plan.stochastic else {}),
        **({} if plan.guidance is None else {"guidance": _numbers(plan.guidance)}),
    }


def _plan_lines(plan: SamplerPlan) -> list[str]:
    keep, pull, push = np.asarray(plan.keep), np.asarray(plan.pull), np.asarray(plan.push)
    last = ("push", push[:, 0]) if plan.stochastic else ("keep", keep[:, 0, 0])
    rows = (("alpha", plan.alpha), ("sigma", plan.sigma), ("pull", pull[:, 0]), last)
    weights = [] if plan.guidance is None else [f"  guidance {_some(plan.guidance)}"]
    return [_plan_title(plan), *(f"  {name:<6} {_some(x)}" for name, x in rows), *weights]


def _plan_figure(plan: SamplerPlan) -> Figure:
    alpha, sigma = (np.asarray(x, np.float64) for x in (plan.alpha, plan.sigma))
    with np.errstate(divide="ignore"):
        return figures.levels_figure({"calls": 2 * np.log(alpha / sigma)})


def _spectrum_columns(spectrum: Spectrum) -> Columns:
    names = ("eigenvalues", "mean", "weights")
    return {name: np.asarray(getattr(spectrum, name), np.float64) for name in names}


def _spectrum_lines(spectrum: Spectrum) -> list[str]:
    source = spectrum.source or {}
    lam = np.sort(np.asarray(spectrum.eigenvalues, np.float64))[::-1]
    name = f" of {source['name']}" if "name" in source else ""
    noise = [] if spectrum.noise is None else [f"  noise        {spectrum.noise.name}"]
    variance = float(np.asarray(spectrum.weights) @ np.asarray(spectrum.eigenvalues))
    return [
        f"Spectrum{name}: {count(spectrum.dimension, 'eigenvalue')}",
        f"  eigenvalues  {_some(lam)}",
        f"  variance     {variance:.6g}",
        *noise,
    ]


def _learned_title(result: LearnedResult) -> str:
    what = "levels" if result.corrections is None else "a plan"
    state = "converged" if result.converged else "not converged"
    return (
        f"LearnedResult: {what} of {count(result.steps, 'step')}, "
        f"{with_options(result.sampler, result.sampler_options)}, {result.process}, {state}"
    )


def _learned_lines(result: LearnedResult) -> list[str]:
    facts = show.origin(result)
    facts |= {"data": result.source["name"]} if "name" in result.source else {}
    facts["sigma"] = _some(result.schedule.sigmas)
    if facts.get("denoiser") == "ideal":
        del facts["denoiser"]
    names = ("data", "denoiser", "loss", "prior", "guidance", "held out", "sigma")
    kept = [name for name in names if name in facts]
    return [_learned_title(result), *(f"  {name:<9} {facts[name]}" for name in kept)]


def _learned_columns(result: LearnedResult) -> Columns:
    """Put the corrections of the step that leaves a level beside it."""
    columns = dict(_level_columns(result.schedule))
    for name, x in show.steps(result).items():
        columns[name] = [*_numbers(x), float("nan")]
    return columns


def _learned_figure(result: LearnedResult, **options: Any) -> Figure:
    if result.nodes is not None:  # a fit
        task = GaussianTask.resolve(
            result.nodes, sampler=result.method, loss=result.loss, process=result.process,
            alpha_bar_range=result.alpha_bar_range, grid=result.grid,
        )  # fmt: skip
        task = replace(task, origin=result.source)
        others = [
            ComparedSchedule(name, make(result.steps), float("nan"))
            for name, make in heuristics(task).items()
        ]
        rows = (ComparedSchedule("learned", result.schedule, result.value), *others)
        return figures.comparison_figure(Comparison(result, rows, task), **options)
    if result.kept == "given":
        return figures.levels_figure({"levels": result.schedule}, **options)
    return figures.learn_figure([result], **options)


def _comparison_blocks(comparison: Comparison) -> list[Block]:
    spectrum = comparison.task.spectrum
    return fit_blocks(comparison, spectrum or Spectrum(comparison.task.modes.eigenvalues))


def _comparison_columns(comparison: Comparison) -> Columns:
    rows = comparison.rows
    return {
        "schedule": [row.name for row in rows],
        "steps": [row.schedule.steps for row in rows],
        "value": [row.value for row in rows],
        "share": [row.value / comparison.task.unit for row in rows],
        "over_learned": [row.value / comparison.learned.value for row in rows],
        "steps_needed": [row.steps_needed for row in rows],
    }


def _evaluation_columns(rows: Sequence[Evaluation]) -> Columns:
    """List a row for each schedule and measure."""
    every = [(row, name) for row in rows for name in row.values]
    return {
        "samples": [row.name for row, _ in every],
        "measure": [name for _, name in every],
        "value": [row.values[name].value for row, name in every],
        "error": [row.values[name].error for row, name in every],
        "floor": [row.floor[name].value for row, name in every],
        "floor_error": [row.floor[name].error for row, name in every],
        "n": [row.n for row, _ in every],
    }


def _bench_columns(bench: Bench) -> Columns:
    rows = bench.rows
    return {
        "method": [row.method for row in rows],
        "calls": [row.calls for row in rows],
        "schedule": [", ".join(dict.fromkeys(row.schedule)) for row in rows],
        **{name: [row.estimate(name).value for row in rows] for name in bench.measures},
        **{f"{name}_error": [row.estimate(name).error for row in rows] for name in bench.measures},
    }


def _axes(sweep: Sweep) -> Columns:
    names = ("spectra", "steps", "samplers", "losses", "processes", "alpha_bar_ranges", "seeds",
             "noises")  # fmt: skip
    axes = {name: list(getattr(sweep, name)) for name in names}
    texts = [", ".join(str(getattr(x, "name", x)) for x in axis) for axis in axes.values()]
    return {"axis": names, "number": [len(axis) for axis in axes.values()], "values": texts}


def _sweep_axes_blocks(sweep: Sweep) -> list[Block]:
    columns = _axes(sweep)
    heads = [Column("axis"), Column("number", align="right"), Column("values")]
    return [Table(f"Sweep of {count(int(np.prod(columns['number'])), 'fit')}", heads,
                  list(zip(*columns.values(), strict=True)))]  # fmt: skip


def _sweep_columns(result: SweepResult) -> Columns:
    return result.table.to_pandas()


def _verdict_columns(verdicts: Sequence[Verdict]) -> Columns:
    terms = dict.fromkeys(name for one in verdicts for name in one.terms)
    return {
        **{name: [getattr(one, name) for one in verdicts] for name in ("steps", "plan", "on")},
        "value": [one.value for one in verdicts],
        **{name: [one.terms.get(name, float("nan")) for one in verdicts] for name in terms},
    }


def _plans_columns(results: Iterable[LearnedResult]) -> Columns:
    best = [min(one.baselines.values(), default=float("nan")) for one in results]
    return {
        **{name: [getattr(one, name) for one in results] for name in ("steps", "prior", "kept")},
        "value": [one.value for one in results],
        "best_heuristic": best,
        "seconds": [one.seconds for one in results],
    }


def _recommendation_columns(rows: Sequence[Recommendation]) -> Columns:
    names = ("sampler", "reached", "steps", "calls", "value", "converged", "best_heuristic",
             "best_heuristic_value", "amplification", "share")  # fmt: skip
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in names}
    columns["sampler_options"] = [json.dumps(dict(row.sampler_options)) for row in rows]
    return columns


def _probe_columns(probe: Probe) -> Columns:
    """List a row for each level and direction."""
    names = ("gain", "bias", "error", "excess", "residual")
    levels, directions = np.asarray(probe.gain).shape
    return {
        "logsnr": np.repeat(probe.logsnr, directions),
        "eigenvalue": np.tile(np.asarray(probe.spectrum.eigenvalues, np.float64), levels),
        **{name: np.asarray(getattr(probe, name)).ravel() for name in names},
    }


def _trajectory_title(found: TrajectoryGeometry) -> str:
    held = ", ".join(f"{share:.4%}" for share in found.explained.mean(0)[:3])
    return (
        f"{count(len(found.length_ratio), 'trajectory', 'trajectories')}, "
        f"{np.mean(found.length_ratio):.4f} times as long as their chords; variance within 1, 2 "
        f"and 3 components: {held}"
    )


def _trajectory_columns(found: TrajectoryGeometry) -> Columns:
    return {
        "sigma": _numbers(found.schedule.sigmas[1:-1]),
        "deviation": _numbers(found.deviation[:, 1:-1].mean(0)),
        "turning": _numbers(found.turning.mean(0)),
        "bend": _numbers(found.bend),
    }


def _from_columns(title: Callable[[Any], str], columns: Callable[[Any], Columns]) -> View:
    """Make the view of a class, or of a list, whose report is its numbers."""
    return View(lambda x: _table(title(x), columns(x)), columns)


def _heading(what: str) -> Callable[[Any], str]:
    return lambda results: count(len(results), what)


def _show_grid(result: LearnedResult) -> TrainingGrid:
    return result.grid or check_grid("ddpm")


VIEWS: Mapping[type, View] = {
    NoiseSchedule: View(
        lambda x: _table(_schedule_title(x), _level_columns(x)),
        _level_columns,
        lambda x: figures.levels_figure({"levels": x}),
        _schedule_lines,
    ),
    SamplerPlan: View(
        lambda x: _table(_plan_title(x), _plan_columns(x)), _plan_columns, _plan_figure, _plan_lines
    ),
    Spectrum: View(spectrum_blocks, _spectrum_columns, figures.spectrum_figure, _spectrum_lines),
    LearnedResult: View(
        lambda x: [_learned_title(x), *show.show_blocks(x, _show_grid(x))],
        _learned_columns,
        _learned_figure,
        _learned_lines,
    ),
    PlanSet: replace(
        _from_columns(_heading("plan"), _plans_columns),
        figure=lambda x, **options: figures.learn_figure(list(x), **options),
    ),
    Comparison: View(_comparison_blocks, _comparison_columns, figures.comparison_figure),
    Evaluation: View(
        lambda x: evaluation_blocks([x]),
        lambda x: _evaluation_columns([x]),
        lambda x, **options: figures.bands_figure([x], **options),
    ),
    Bench: View(bench_blocks, _bench_columns, figures.bench_figure),
    Probe: View(probe_blocks, _probe_columns, figures.probe_figure),
    Advice: View(advice_blocks, advice_columns),
    PosteriorResult: View(posterior_blocks, posterior_columns, None, posterior_lines),
    TrajectoryGeometry: View(
        lambda x: _table(_trajectory_title(x), _trajectory_columns(x)),
        _trajectory_columns,
        figures.trajectory_figure,
    ),
    Sweep: View(_sweep_axes_blocks, _axes),
    SweepResult: View(sweep_blocks, _sweep_columns, lambda x: figures.sweep_figure(x.table)),
    Recommendation: View(
        lambda x: _table("", _recommendation_columns([x])), lambda x: _recommendation_columns([x])
    ),
}
"""Every class that is :class:`Shown`."""

LISTS: Mapping[type, View] = {
    Evaluation: View(evaluation_blocks, _evaluation_columns, figures.bands_figure),
    LearnedResult: replace(
        _from_columns(_heading("plan"), _plans_columns), figure=figures.learn_figure
    ),
    Recommendation: _from_columns(_heading("recommendation"), _recommendation_columns),
    ScheduleDistance: View(distance_blocks, distance_columns),
    Verdict: _from_columns(_heading("verdict"), _verdict_columns),
}
"""What is shown of a list of results, by the class of its first."""
