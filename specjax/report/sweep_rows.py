"""The rows of a sweep's table that its report and its figure are made of.

A heuristic here is a schedule family that does not look at the data; the closed form of the
spectrum, which a sweep judges too, is none.
"""

from __future__ import annotations

import inspect
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from specjax._core.checks import UserError
from specjax.gaussian.losses import LOSSES
from specjax.noise.families import NOISES
from specjax.report.words import count, loss_title, spread, with_options

if TYPE_CHECKING:
    import pyarrow as pa

MOST_PANELS = 6
"""Panels of losses: with more spectra, a few spread over the exponent of their power law."""

Sampler = tuple[str, str]
"""The name, and the options as JSON."""

_FIT = (
    "spectrum", "steps", "sampler", "sampler_options", "loss", "process", "alpha_bar_noisy",
    "alpha_bar_clean",
)  # fmt: skip
_NOISE = ("noise", "noise_parameters")
_CLOSED_FORM = "heuristic_spectral"


class Selection(NamedTuple):
    """The rows of a sweep that its figure shows, and what it says of the others.

    Attributes:
      rows: of one process and one pair of ends; a spectrum under each of several noises is one.
      samplers, losses: in the order of the table.
      exponents: of the power laws of all spectra, rising, NaN last.
      shown: the spectra that have panels of losses. data: what was fitted, for the title.
      notes: what was chosen and what was left out.
    """

    rows: pa.Table
    samplers: list[Sampler]
    losses: list[str]
    exponents: dict[str, float]
    shown: list[str]
    notes: list[str]
    data: list[str]


def usable(table: pa.Table) -> pa.Table:
    """Select the fits with a finite loss, of each the best seed.

    Returns:
      The rows with two more columns, ``family`` and ``family_value``: the best heuristic and its
      loss (NaN where there is none).

    Raises:
      UserError: if no fit has a finite loss.
    """
    import pyarrow as pa

    rows = table.filter(pa.array(has_finite_loss(table)))
    if not rows.num_rows:
        errors = [str(x) for x in table.column("error").unique().to_pylist() if x]
        why = f": {errors[0]}" if errors else ""
        raise UserError(f"none of the {table.num_rows} fits of the sweep has a finite loss{why}")
    if len(rows.column("seed").unique()) > 1:
        rising = rows.sort_by("value")
        ranked = rising.append_column("rank", pa.array(np.arange(rising.num_rows)))
        best = ranked.group_by([*_FIT, *noise_columns(rows)]).aggregate([("rank", "min")])
        rows = rising.take(np.sort(column(best, "rank_min")))
    names = [x for x in rows.column_names if x.startswith("heuristic_") and x != _CLOSED_FORM]
    losses = np.array([column(rows, x) for x in names])
    losses = np.where(np.isfinite(losses), losses, np.inf)
    best_of_row, least = losses.argmin(0), losses.min(0)
    family = np.array([x.removeprefix("heuristic_") for x in names])[best_of_row]
    return rows.append_column("family", pa.array(family)).append_column(
        "family_value", pa.array(np.where(np.isfinite(least), least, np.nan))
    )


def select(table: pa.Table) -> Selection:
    """Select the first process and ends, the best seeds, and some of the spectra.

    Raises:
      UserError: if no fit has a finite loss.
    """
    every, known = usable(table), has_finite_loss(table)
    notes: list[str] = []
    processes = distinct(every, "process")
    ends = distinct(where(every, process=processes[0][0]), "alpha_bar_noisy", "alpha_bar_clean")
    noisy, clean = ends[0]
    rows = where(every, process=processes[0][0], alpha_bar_noisy=noisy, alpha_bar_clean=clean)
    if len(processes) > 1:
        notes.append(f"process {processes[0][0]}, the first of {len(processes)}")
    if len(ends) > 1:
        notes.append(f"alpha_bar from {noisy:g} to {clean:g}, the first of {len(ends)} ranges")
    seeds = np.unique(column(table, "seed")[known]).size
    if seeds > 1:
        notes.append(f"the best of {seeds} seeds")
    data, rows = _data(rows), _named_by_noise(rows)
    losses = [name for (name,) in distinct(rows, "loss")][:MOST_PANELS]
    exponents = _rising_exponents(rows)
    names = list(exponents)
    shown = [names[i] for i in _spread_over(exponents, max(1, MOST_PANELS // len(losses)))]
    if len(shown) < len(names):
        what = "spectra and noises" if data[-1].endswith(" noises") else "spectra"
        how = "spread over" if len(shown) > 1 else "the middle one by"
        panels = f"losses of {len(shown)} of {len(names)} {what}"
        notes.insert(0, f"{panels}, {how} the exponents of their power laws")
    notes += _left_out(rows, exponents, int((~known).sum()))
    samplers = distinct(rows, "sampler", "sampler_options")
    return Selection(rows, samplers, losses, exponents, shown, notes, data)


def has_finite_loss(table: pa.Table) -> np.ndarray:
    """Say of each row whether its fit has a finite loss."""
    return np.isfinite(column(table, "value"))


def column(table: pa.Table, name: str) -> np.ndarray:
    """Read a column as an array."""
    return np.asarray(table.column(name).to_numpy())


def distinct(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    """List the combinations of some columns, in the order of the table."""
    columns = [table.column(name).to_pylist() for name in names]
    return list(dict.fromkeys(zip(*columns, strict=True)))


def where(table: pa.Table, **values: Any) -> pa.Table:
    """Select the rows with these values in these columns."""
    import pyarrow as pa

    chosen = np.ones(table.num_rows, bool)
    for name, value in values.items():
        chosen &= column(table, name) == value
    return table.filter(pa.array(chosen))


def noise_columns(table: pa.Table) -> list[str]:
    """Name the columns of the noise, where the sweep has noises."""
    return [name for name in _NOISE if name in table.column_names]


def loss_heading(loss: str) -> str:
    """Write the name and what it stands for; a loss of one's own has its name alone."""
    return loss_title(LOSSES[loss]) if loss in LOSSES else loss


def pareto_front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Find the points to which no other is as cheap and better: their indices by rising cost."""
    order = np.lexsort((value, cost))
    least = np.minimum.accumulate(value[order])
    before = np.append(np.inf, least[:-1])[: order.size]
    return order[least < before]


def row_label(sampler: str, options: str, *noise: str) -> str:
    """Name a sampler (with its options as JSON), and the noise where the sweep has noises."""
    label = with_options(sampler, json.loads(options))
    return f"{label}, {noise_label(*noise)}" if noise else label


def noise_label(noise: str, parameters: str, *, short: bool = False) -> str:
    """Write ``power-law (exponent = -0.06)``, from the name and the parameters as JSON.

    Parameters that are the family's defaults are left out; where all are, the first is written.

    Args:
      short: write ``power-law -0.06``, for panels.
    """
    family = NOISES.get(noise.replace("-", "_"))
    defaults = {} if family is None else inspect.signature(family.weights).parameters
    given = json.loads(parameters)
    own = {
        name: value
        for name, value in given.items()
        if name not in defaults or np.any(value != np.asarray(defaults[name].default))
    }
    written = {k: _brief(v) for k, v in (own or dict(list(given.items())[:1])).items()}
    if short:
        return f"{noise} {', '.join(written.values())}".rstrip()
    return with_options(noise, written)


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_brief, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _data(rows: pa.Table) -> list[str]:
    """Say what was fitted, such as ``["digits", "3 noises"]``."""
    spectra = [name for (name,) in distinct(rows, "spectrum")]
    words = [f"{len(spectra)} spectra" if len(spectra) > 1 else spectra[0]]
    columns = noise_columns(rows)
    noises = distinct(rows, *columns) if columns else []
    if len(noises) == 1:
        words.append(f"{noise_label(*noises[0])} noise")
    return [*words, f"{len(noises)} noises"] if len(noises) > 1 else words


def _named_by_noise(table: pa.Table) -> pa.Table:
    """Put the noise into the names of spectra, where there are several noises."""
    columns = noise_columns(table)
    if not columns or len(distinct(table, *columns)) == 1:
        return table
    one = len(distinct(table, "spectrum")) == 1
    values = (table.column(name).to_pylist() for name in ("spectrum", *columns))
    names = [
        noise_label(*noise, short=True) if one else f"{spectrum}, {noise_label(*noise, short=True)}"
        for spectrum, *noise in zip(*values, strict=True)
    ]
    return table.set_column(table.column_names.index("spectrum"), "spectrum", [names])


def _rising_exponents(table: pa.Table) -> dict[str, float]:
    """Give the power-law exponents of the spectra, rising; those without one (NaN) last."""
    exponents: dict[str, float] = {}
    for name, exponent in distinct(table, "spectrum", "exponent"):
        exponents.setdefault(name, exponent)
    return dict(sorted(exponents.items(), key=lambda item: (np.isnan(item[1]), item[1])))


def _spread_over(exponents: dict[str, float], most: int) -> list[int]:
    """Choose the middle spectrum, or both ends and evenly between them, by number."""
    known = sum(math.isfinite(x) for x in exponents.values())
    number = known if known >= most else len(exponents)
    return [number // 2] if most == 1 else spread(number, most)


def _left_out(rows: pa.Table, exponents: dict[str, float], failed: int) -> list[str]:
    """Say in at most one line what is not drawn, or not as the rest is."""
    zeros = int((column(rows, "value") <= 0).sum())
    loose = int((~column(rows, "converged").astype(bool)).sum())
    short = sum(math.isnan(x) for x in exponents.values()) if len(exponents) > 1 else 0
    words = "; ".join(
        words
        for number, words in (
            (failed, f"{count(failed, 'fit')} failed or not finite: left out"),
            (zeros, f"{count(zeros, 'loss', 'losses')} of 0: not on a log axis"),
            (loose, f"{count(loose, 'fit')} not converged: drawn as they are"),
            (short, f"grey: {count(short, 'spectrum', 'spectra')} too short for a power law"),
        )
        if number
    )
    return [words] if words else []
