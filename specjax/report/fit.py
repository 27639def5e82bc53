"""The tables and the JSON of ``specjax fit`` and ``specjax compare``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specjax.files import numbers, plain
from specjax.fitting.compare import AMPLIFIED, MOST_STEPS, ComparedSchedule, Comparison
from specjax.fitting.learned import LearnedResult
from specjax.noise.whitening import ObliqueBasis
from specjax.report.table import Block, Column, Styles, Table, print_blocks
from specjax.report.words import (
    MEAN_DECIDES,
    amplification_warning,
    at_step,
    count,
    error_text,
    loss_title,
    mean_warning,
    share_text,
    share_title,
    with_options,
    wrote,
)
from specjax.spectra.few_samples import few_samples
from specjax.spectra.spectrum import Spectrum

if TYPE_CHECKING:
    from specjax.learning.on_network import ScheduleDistance

Judged = tuple[str, "Sequence[ScheduleDistance]"]
"""A network's name, and what it makes of schedules."""

_FOUR = "{:.4g}"
_ALONG = "is taken along the directions of their generalised eigenproblem"
_DISTANCE = ("name", "geometric_mean", "mean")
_FACTS = (
    "steps", "sampler", "sampler_options", "loss", "process", "alpha_bar_range", "converged",
    "iterations", "seconds",
)  # fmt: skip
_IN_BRACKETS = {True: "the share of the data's variance", False: "by direction"}
_METRICS = {
    "w2": "is the cost of coupling data and samples along the directions of their generalised "
    "eigenproblem, which is no less than the squared Wasserstein distance",
    "kl": "is exact all the same",
    "kl_reverse": "is exact all the same",
}
"""What a loss measures where data and noise have no eigenvectors in common; else ``_ALONG``."""


def fit_blocks(
    comparison: Comparison,
    spectrum: Spectrum,
    written: Sequence[str] = (),
    noise: dict[str, Any] | None = None,
    judged: Judged | None = None,
) -> list[Block]:
    """Report a fit: the table of ``specjax fit``, the state of the fit, and what was written.

    Args:
      noise: of :func:`noise_facts`, where the noise is not isotropic.
      judged: what a network makes of the schedules, with its name.
    """
    fit, loss, unit = comparison.learned, comparison.task.loss, comparison.task.unit
    table = Table(
        _title(comparison, spectrum),
        [
            "schedule",
            Column(f"loss at S = {fit.steps}", "{:.5g}", "right"),
            Column(share_title(loss), lambda share: share_text(share, loss), "right"),
            Column("over learned", "{:.4g}x", "right"),
            Column("S for the learned loss", align="right"),
        ],
        [
            [one.name, one.value, one.value / unit, one.value / fit.value if fit.value > 0
             else math.nan, _needed(one)]
            for one in comparison.rows
        ],
        [*_noise_lines(noise), fit_state(fit), *_warning(comparison), *few_samples(spectrum),
         *wrote(written), *(() if judged else _doubt(comparison, spectrum))],
        _bold(comparison),
    )  # fmt: skip
    return [table] if judged is None else [table, *distance_blocks(judged[1], judged[0])]


def _doubt(comparison: Comparison, spectrum: Spectrum) -> list[str]:
    """Say in a line where a family may be better on a network than what was fitted."""
    why = []
    if comparison.amplification > AMPLIFIED:
        why.append("errors of a denoiser add up along the learned one")
    source = spectrum.source or {}
    n, d = source.get("samples", math.inf), int(source.get("dimension", spectrum.dimension))
    if n <= d and comparison.mean_share > MEAN_DECIDES:
        why.append(f"the fit rests on {n:,} samples of {d:,} numbers, and on their mean")
    if not why:
        return []
    return [f"a family may be better on a network ({'; '.join(why)}): --against NETWORK judges it"]


def print_fit(
    comparison: Comparison, spectrum: Spectrum, written: Sequence[str],
    noise: dict[str, Any] | None = None, judged: Judged | None = None,
) -> None:  # fmt: skip
    """Print :func:`fit_blocks`."""
    print_blocks(fit_blocks(comparison, spectrum, written, noise, judged))


def print_comparisons(
    comparisons: Sequence[Comparison], spectrum: Spectrum, noise: dict[str, Any] | None = None
) -> None:
    """Print the table of ``specjax compare``: a row a schedule, a column a number of steps."""
    first = comparisons[0]
    columns = [Column(f"S = {one.learned.steps}", align="right") for one in comparisons]
    loss = first.task.loss
    values = [
        {row.name: f"{row.value:.5g} ({share_text(row.value / one.task.unit, loss)})"
         for row in one.rows}
        for one in comparisons
    ]  # fmt: skip
    rows = []
    for row in first.rows:
        steps = row.schedule.steps
        name = row.name if steps == first.learned.steps else f"{row.name} (S = {steps})"
        rows.append([name, *(column[row.name] for column in values)])
    notes = [*_noise_lines(noise), f"in brackets: {_IN_BRACKETS[loss.in_data_units]}"]
    for one in comparisons:
        state = [] if one.learned.converged else [fit_state(one.learned)]
        notes += [f"S = {one.learned.steps}: {line}" for line in (*state, *_warning(one))]
    notes += few_samples(spectrum)
    Table(_title(first, spectrum), ["schedule", *columns], rows, notes, _bold(first)).print()


def comparison_json(comparison: Comparison, noise: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give a comparison for machines; ``noise`` is null where it is isotropic."""
    fit = comparison.learned
    error, ratio = fit.nodes.denoiser_error, comparison.amplification
    return {
        **{name: plain(getattr(fit, name)) for name in _FACTS},
        "grid": fit.grid and fit.grid.name,
        "data": {k: v for k, v in fit.source.items() if isinstance(v, str | int | float | None)},
        "denoiser": plain(fit.source.get("denoiser")),
        "amplification": plain(ratio),
        "mean_share": plain(comparison.mean_share),
        "denoiser_error": None if error is None else float(error),
        "noise": noise,
        "schedules": [
            {
                "name": row.name,
                "value": plain(row.value),
                "share": plain(row.value / comparison.task.unit),
                "steps": row.schedule.steps,
                "steps_needed": row.steps_needed,
                "logsnr": numbers(row.schedule.logsnr),
            }
            for row in comparison.rows
        ],
    }


def distance_blocks(found: Sequence[ScheduleDistance], network: str = "the network") -> list[Block]:
    """Report what a network makes of schedules (:func:`specjax.compare_on`), and which is best."""
    noises = count(len(found[0].squared), "noise")
    table = Table(
        f"{network}: squared distance to its fine solutions, {noises}",
        ["schedule", Column("geometric mean", _FOUR, "right"), Column("mean", _FOUR, "right")],
        [[one.name, one.geometric_mean, one.mean] for one in found],
        [_winner(found, network)],
        {i: "bold" for i, one in enumerate(found) if one.name == "learned"},
    )
    return [table]


def _winner(found: Sequence[ScheduleDistance], network: str) -> str:
    """Say which of the learned schedule and the best other one is nearer, and how surely."""
    learned = next(one for one in found if one.name == "learned")
    other = next(one for one in found if one.name != "learned")
    best, second = (learned, other) if found[0] is learned else (other, learned)
    ratio, error = second.over(best)
    if not ratio > 2 * error:
        return f"on {network} the learned schedule and {other.name} are alike"
    first, last = ("the learned schedule", other.name)[:: 1 if best is learned else -1]
    return f"on {network} {first} is nearer than {last}, by a factor of {math.exp(ratio):.3g}"


def distances_json(judged: Judged | None) -> dict[str, Any]:
    """Give what a network makes of schedules for machines; nothing without a network."""
    if judged is None:
        return {}
    network, found = judged
    rows = [{name: plain(getattr(one, name)) for name in _DISTANCE} for one in found]
    return {"against": {"network": network, "noises": len(found[0].squared), "schedules": rows}}


def distance_columns(found: Sequence[ScheduleDistance]) -> dict[str, Any]:
    """Give the numbers of :func:`distance_blocks`."""
    return {name: [getattr(one, name) for one in found] for name in _DISTANCE}


def noise_facts(spectrum: Spectrum, loss: str) -> dict[str, Any] | None:
    """Describe the forward noise of a spectrum for machines; None where it is isotropic.

    ``metric`` says what a loss measures where data and noise have different bases, else it is None
    (:mod:`specjax.noise.whitening`).
    """
    noise = spectrum.noise
    if noise is None:
        return None
    document = {k: v for k, v in plain(noise.document()).items() if k != "weights"}
    metric = None
    if isinstance(spectrum.basis, ObliqueBasis):
        metric = f"data and noise have different eigenvectors: {loss} {_METRICS.get(loss, _ALONG)}"
    size = {"dimension": math.prod(noise.shape), "omitted": noise.omitted}
    return {"name": noise.name, **document, **size, "metric": metric}


def fit_state(fit: LearnedResult) -> str:
    """Say how a fit ended."""
    if not fit.finite:
        return "the loss is not finite: the schedule is the one that the fit started from"
    if fit.converged:
        return f"converged in {fit.iterations} iterations"
    return (
        f"NOT converged after {fit.iterations} iterations: the best schedule so far is kept; "
        "try more --restarts"
    )


def denoiser_name(fit: LearnedResult) -> str:
    """Name the denoiser that a schedule was fitted to."""
    probed = fit.source.get("denoiser")
    name = "ideal" if probed is None else "probed"
    if probed is not None and "run" in probed:
        name = f"probed, {probed['run']}{at_step(probed['step'])}"
    text = error_text(fit.nodes)
    return f"{name},{text}" if text else name


def _title(comparison: Comparison, spectrum: Spectrum) -> str:
    fit, source = comparison.learned, spectrum.source or {}
    samples = f", {source['samples']:,} samples" if "samples" in source else ""
    dimension = source.get("dimension", spectrum.dimension)
    if spectrum.noise is not None:
        dimension = math.prod(spectrum.noise.shape)  # with the directions that it omits
    denoiser = denoiser_name(fit)
    words = [
        f"{source.get('name', 'spectrum')} (d = {dimension:,}{samples})",
        with_options(fit.sampler, fit.sampler_options),
        fit.process,
        loss_title(comparison.task.loss),
        *([] if denoiser == "ideal" else [f"denoiser: {denoiser}"]),
        *([] if spectrum.noise is None else [f"noise: {spectrum.noise.name}"]),
    ]
    return ", ".join(words)


def _bold(comparison: Comparison) -> Styles:
    return {i: "bold" for i, row in enumerate(comparison.rows) if row.name == "learned"}


def _needed(row: ComparedSchedule) -> str:
    if row.name == "learned":
        return str(row.schedule.steps)
    return f"> {MOST_STEPS}" if row.steps_needed is None else str(row.steps_needed)


def _warning(comparison: Comparison) -> list[str]:
    error = comparison.learned.nodes.denoiser_error
    return [
        *amplification_warning(comparison.amplification, comparison.task.loss, error),
        *mean_warning(comparison.mean_share),
    ]


def _noise_lines(facts: dict[str, Any] | None) -> list[str]:
    """Say what eigenvalues and losses are under a noise that is not isotropic."""
    if facts is None:
        return []
    lines = ["eigenvalues are those of the data over the noise's; losses are in units of the data"]
    if facts["omitted"]:
        omitted = f"{facts['omitted']:,} of {facts['dimension']:,} directions"
        lines.append(f"{omitted} have no noise and are left out")
    return [*lines, *([facts["metric"]] if facts["metric"] else [])]
