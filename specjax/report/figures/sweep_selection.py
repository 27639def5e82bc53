"""Which rows of a sweep are drawn, and the words that say which are not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from specjax.report.figures.sweep_rows import (
    Usable,
    by_exponent,
    by_noise,
    column,
    distinct,
    names_of,
    noise_label,
    spread,
    where,
)

if TYPE_CHECKING:
    import pyarrow as pa

MOST_PANELS = 6
"""Panels of losses: with more spectra, a few spread over the exponent of their power law."""

Sampler = tuple[str, str]
"""The name, and the options as JSON."""


class Drawn(NamedTuple):
    """What is drawn of a sweep, and the words that say what is not.

    Attributes:
      rows: of one process and one pair of ends. samplers, losses: in the order of the table.
      exponents: of all spectra, rising, NaN last; a spectrum under each noise is one. shown:
        spectra with panels of losses. data: what they are of, for the title.
      notes: what was chosen. footnote: what was left out.
    """

    rows: pa.Table
    samplers: list[Sampler]
    losses: list[str]
    exponents: dict[str, float]
    shown: list[str]
    notes: list[str]
    footnote: str
    data: list[str]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """A spectrum and a loss for each panel."""
        return [(name, loss) for loss in self.losses for name in self.shown]


def chosen(found: Usable) -> Drawn:
    """The first process and ends, and some of the spectra."""
    notes: list[str] = []
    rows = found.table
    processes = distinct(rows, "process")
    rows = where(rows, process=processes[0][0])
    if len(processes) > 1:
        notes.append(f"process {processes[0][0]}, the first of {len(processes)}")
    ends = distinct(rows, "alpha_bar_noisy", "alpha_bar_clean")
    rows = where(rows, alpha_bar_noisy=ends[0][0], alpha_bar_clean=ends[0][1])
    if len(ends) > 1:
        noisy, clean = ends[0]
        notes.append(f"alpha_bar from {noisy:g} to {clean:g}, the first of {len(ends)} ranges")
    if found.seeds > 1:
        notes.append(f"the best of {found.seeds} seeds")
    data, rows = _data(rows), by_noise(rows)
    losses = [name for (name,) in distinct(rows, "loss")][:MOST_PANELS]
    exponents = by_exponent(rows)
    names = list(exponents)
    shown = [names[i] for i in _spread_over(exponents, max(1, MOST_PANELS // len(losses)))]
    if len(shown) < len(names):
        how = "spread over the exponents of their power laws"
        if len(shown) == 1:
            how = "the middle one by the exponents of their power laws"
        what = "spectra and noises" if data[-1].endswith(" noises") else "spectra"
        notes.insert(0, f"losses of {len(shown)} of {len(names)} {what}, {how}")
    samplers = distinct(rows, "sampler", "sampler_options")
    footnote = _footnote(rows, exponents, found.failed)
    return Drawn(rows, samplers, losses, exponents, shown, notes, footnote, data)


def _data(rows: pa.Table) -> list[str]:
    """``["digits", "3 noises"]``."""
    spectra = [name for (name,) in distinct(rows, "spectrum")]
    said = [f"{len(spectra)} spectra" if len(spectra) > 1 else spectra[0]]
    columns = names_of(rows, ())
    noises = distinct(rows, *columns) if columns else []
    if len(noises) == 1:
        said.append(f"{noise_label(*noises[0])} noise")
    return [*said, f"{len(noises)} noises"] if len(noises) > 1 else said


def _spread_over(exponents: dict[str, float], most: int) -> list[int]:
    """Indices of at most so many spectra: the middle one, or both ends and evenly between them."""
    known = sum(math.isfinite(x) for x in exponents.values())
    number = known if known >= most else len(exponents)
    return [number // 2] if most == 1 else spread(number, most)


def _footnote(rows: pa.Table, exponents: dict[str, float], failed: int) -> str:
    said = []
    if failed:
        said.append(f"{count(failed, 'fit')} failed or not finite: left out")
    zeros = int((column(rows, "value") <= 0).sum())
    if zeros:
        said.append(f"{count(zeros, 'loss', 'losses')} of 0: not on a log axis")
    loose = int((~column(rows, "converged").astype(bool)).sum())
    if loose:
        said.append(f"{count(loose, 'fit')} not converged: drawn as they are")
    grey = sum(math.isnan(x) for x in exponents.values())
    if grey and len(exponents) > 1:
        said.append(f"grey: {count(grey, 'spectrum', 'spectra')} too short for a power law")
    return "; ".join(said)


def count(number: int, one: str, several: str | None = None) -> str:
    """``3 fits``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
