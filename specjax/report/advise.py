"""The page of ``specjax advise``, its JSON, and the tables of ``specjax shift``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from specjax.advise.advice import DECIDED, FRAMEWORKS, QUANTILES, Advice, Advised
from specjax.advise.by_steps import SHARES, Calls
from specjax.advise.shift import BestShift
from specjax.files import numbers, plain
from specjax.report.table import Block, Column, Table
from specjax.report.words import count, percent
from specjax.spectra.few_samples import few_samples
from specjax.spectra.spectrum import Spectrum

_OF_FRAMEWORK: Mapping[str, tuple[str, ...]] = {
    "edm": ("sigma_data", "sigma_min", "sigma_max", "P_mean", "P_std"),
    "vp": ("sigma_min", "sigma_max", "beta_min", "beta_max"),
    "flow": ("P_mean", "P_std"),
}
_BY_STEPS: Mapping[str, tuple[str, ...]] = {
    "edm": ("rho",), "vp": ("cosine_tau", "sigmoid_tau"), "flow": ("shift",),
}  # fmt: skip
_SHOWN_QUANTILES = (0, 8, 16, 24, 32)


def advice_blocks(advice: Advice, frameworks: Sequence[str] = FRAMEWORKS) -> list[Block]:
    """Report an advice: a table of numbers with their reasons, one by steps, and remarks."""
    return [
        _numbers_table(advice, frameworks),
        _steps_table(advice, frameworks),
        _calls_table(advice),
        *_channel_blocks(advice),
        *advice.remarks,
    ]


def advice_json(advice: Advice, frameworks: Sequence[str] = FRAMEWORKS) -> dict[str, Any]:
    """Give an advice for machines: numbers with errors, and each framework's configuration."""
    source = advice.spectrum.source or {}
    return {
        "data": plain(source.get("name")),
        "samples": plain(source.get("samples")),
        "dimension": int(source.get("dimension", advice.spectrum.dimension)),
        "method": source.get("method"),
        "configuration": {one: plain(advice.configuration(one)) for one in frameworks},
        "numbers": {
            name: {"value": plain(one.value), "standard_error": plain(one.error),
                   "equation": one.equation, "reason": one.reason, "gaussian": one.gaussian}
            for name, one in advice.numbers.items()
        },
        "by_steps": [
            {
                "steps": one.steps, "alpha_bar_range": list(one.alpha_bar_range),
                "sigma_last": one.sigma_last, "share": plain(one.share),
                "share_standard_error": plain(one.errors["share"]),
                "mean_share": plain(one.mean_share),
                "parameters": {
                    name: {"value": value, "standard_error": plain(one.errors[name]),
                           "over_closed_form": plain(ratio)}
                    for name, (value, ratio) in one.parameters.items()
                },
            }
            for one in advice.by_steps
        ],
        "training_levels": {
            "probability": numbers(QUANTILES), "sigma": numbers(advice.quantiles),
            "standard_error": plain(advice.quantile_errors),
        },
        "decided": {
            "directions": list(DECIDED), "sigma": numbers(advice.decided),
            "standard_error": plain(advice.decided_errors),
        },
        "calls": {
            sampler: {
                f"{share:g}": {"calls": one.calls, "standard_error": plain(one.error)}
                for share, one in row.items()
            }
            for sampler, row in advice.calls.items()
        },
        "power_law": None if advice.law is None else
            {**advice.law._asdict(), "departs_at": advice.departs_at},
        "channels": None if advice.channels is None else
            {name: numbers(x) for name, x in advice.channels._asdict().items()},
        "remarks": list(advice.remarks),
    }  # fmt: skip


def advice_columns(advice: Advice) -> dict[str, Any]:
    """Give the numbers of an advice as columns."""
    every = advice.numbers.values()
    names = ("name", "value", "error", "equation", "reason", "gaussian")
    return {name: [getattr(one, name) for one in every] for name in names}


def _numbers_table(advice: Advice, frameworks: Sequence[str]) -> Table:
    """Make the table of the numbers: a line each, with its reason and its equation."""
    source = advice.spectrum.source or {}
    samples = f", {source['samples']:,} samples" if "samples" in source else ""
    dimension = int(source.get("dimension", advice.spectrum.dimension))
    wanted = dict.fromkeys(
        name for one in frameworks for name in _OF_FRAMEWORK[one] if name in advice.numbers
    )
    rows = [_row(advice.numbers[name], frameworks) for name in (*wanted, "exponent")
            if name in advice.numbers]  # fmt: skip
    (low, *_, high), (low_error, *_, high_error) = advice.decided, advice.decided_errors
    shown = [f"{advice.quantiles[k]:.3g}{_plus_minus(advice.quantile_errors[k])}"
             for k in _SHOWN_QUANTILES]  # fmt: skip
    return Table(
        f"{source.get('name', 'spectrum')} (d = {dimension:,}{samples})",
        ["", Column("", "{:.4g}", "right"), Column("+-", _error, "right"), "because", "equation"],
        rows,
        [
            "* rests on the Gaussian alone",
            f"levels to train on: 1, 25, 50, 75 and 99 % are below sigma = {', '.join(shown)}",
            f"the spectrum is decided, where lambda = sigma^2, between sigma = {high:.3g}"
            f"{_plus_minus(high_error)} (1 % of directions) and {low:.3g}{_plus_minus(low_error)} "
            "(99 %)",
            *_law_lines(advice),
        ],
    )


def _row(one: Advised, frameworks: Sequence[str]) -> list[Any]:
    also = {"P_mean": "logit mean", "P_std": "logit std"}.get(one.name, "")
    name = one.name
    if "flow" in frameworks and also:
        name = also if list(frameworks) == ["flow"] else f"{name}, {also}"
    star = " *" if one.gaussian else ""
    return [name + star, one.value, one.error, one.reason, one.equation]


def _error(value: float) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.1g}"


def _law_lines(advice: Advice) -> list[str]:
    if advice.law is None:
        return []
    where = (
        "within a factor of 2 everywhere" if advice.departs_at is None
        else f"by more than a factor of 2 from rank {advice.departs_at:,} on"
    )  # fmt: skip
    kept = "it is" if advice.departs_at is None else "the spectrum departs from it"
    return [f"power law rank^-{advice.law.exponent:.3f}: {kept} {where}"]


def _steps_table(advice: Advice, frameworks: Sequence[str]) -> Table:
    """Make the table of what is best by steps."""
    names = [name for one in frameworks for name in _BY_STEPS[one]]
    columns = [
        Column("steps", "{}", "right"),
        Column("sigma_max", align="right"),
        Column("last sigma", "{:.3g}", "right"),
        Column("loss", align="right"),
        *(Column(name, align="right") for name in names),
    ]
    rows = []
    for one in advice.by_steps:
        cells = [
            f"{value:.3g}{_plus_minus(one.errors[name])} ({ratio:.3g}x)"
            for name, (value, ratio) in ((name, one.parameters[name]) for name in names)
        ]
        end = f"{one.sigma_max:.4g}{_plus_minus(one.errors['sigma_max'])}"
        error = one.errors["share"]
        share = percent(one.share) + ("" if math.isnan(error) else f" +- {100 * error:.1g}")
        rows.append([one.steps, end, one.sigma_last, share, *cells])
    return Table(
        "by steps: DDIM with the levels in closed form, ends of its own, and the best parameter of "
        "usual families",
        columns,
        rows,
        ["loss: a share of the data's variance (of a loss without unit: by direction); in brackets "
         "the loss of the family over it; all of it rests on the Gaussian alone"],
    )  # fmt: skip


def _plus_minus(error: float) -> str:
    return "" if math.isnan(error) else f" +- {error:.1g}"


def _calls_table(advice: Advice) -> Table:
    columns = [Column(percent(share), align="right") for share in SHARES]
    rows = [
        [sampler, *(_calls(row[share]) for share in SHARES)]
        for sampler, row in advice.calls.items()
    ]
    title = "calls of the network until the loss is this share of the data's variance *"
    return Table(title, ["sampler", *columns], rows)


def _calls(one: Calls) -> str:
    return "> 1000 steps" if one.calls is None else f"{one.calls}{_plus_minus(one.error)}"


def _channel_blocks(advice: Advice) -> list[Block]:
    if advice.channels is None:
        return []
    pairs = zip(*advice.channels, strict=True)
    words = ", ".join(f"{mean:.4g} and {std:.4g}" for mean, std in list(pairs)[:16])
    more = "" if len(advice.channels.mean) <= 16 else ", ..."
    return [f"mean and standard deviation of {count(len(advice.channels.mean), 'channel')}: "
            f"{words}{more}"]  # fmt: skip


def shift_json(rows: Sequence[tuple[Spectrum, Sequence[BestShift], Sequence[float]]]) -> Any:
    """Give the best shifts of spectra for machines."""
    return {
        "shifts": [
            {"data": plain((spectrum.source or {}).get("name")), "dimension": _dimension(spectrum),
             "steps": [{**one._asdict(), "standard_error": plain(error)}
                       for one, error in zip(found, errors, strict=True)],
             "remarks": few_samples(spectrum)}
            for spectrum, found, errors in rows
        ]
    }  # fmt: skip


def shift_blocks(
    rows: Sequence[tuple[Spectrum, Sequence[BestShift], Sequence[float]]], title: str
) -> list[Block]:
    """Report the best shifts of spectra: a row a spectrum, a column a number of steps."""
    steps = [one.steps for one in rows[0][1]]
    columns: list[Column | str] = [
        "data", Column("numbers", "{:,}", "right"),
        *(Column(f"S = {one}", align="right") for one in steps),
        Column("many steps", "{:.4g}", "right"),
        Column(f"loss without, S = {steps[-1]}", "{:.3g}x", "right"),
    ]  # fmt: skip
    table = [
        [
            (spectrum.source or {}).get("name", "spectrum"), _dimension(spectrum),
            *(f"{one.shift:.4g}{_plus_minus(error)}"
              for one, error in zip(found, errors, strict=True)),
            found[-1].many_steps, found[-1].unshifted / found[-1].value,
        ]
        for spectrum, found, errors in rows
    ]  # fmt: skip
    note = "many steps: the root of the quartic (docs/concepts/shift.md); mu = log shift"
    remarks = [line for spectrum, *_ in rows for line in few_samples(spectrum)]
    return [Table(title, columns, table, [note, *remarks])]


def _dimension(spectrum: Spectrum) -> int:
    source = spectrum.source or {}
    return int(source.get("dimension", spectrum.dimension))
