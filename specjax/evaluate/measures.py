"""The table of measures, and what each of them is taken on.

A new measure touches its own file and this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.evaluate.energy_mmd import energy_distance, polynomial_mmd
from specjax.evaluate.feature_spaces import Features
from specjax.evaluate.frechet import frechet
from specjax.evaluate.power_spectrum import band_power
from specjax.evaluate.precision_recall import density_coverage, precision_recall
from specjax.evaluate.sliced_wasserstein import sliced_wasserstein

Measured = Mapping[str, Any]
"""What a measure returns: a number for each of its columns, and :data:`BANDS` of the spectrum."""

BANDS = "bands"
"""The entry of power per band: [4, bands] of frequency, generated, real and decibel."""


class Measure(NamedTuple):
    """A row of the table.

    Attributes:
      summary: one line for help and tables.
      function: maps (generated, data, seed) to a number for each column, and maybe more.
      columns: the names of its numbers.
      better: whether they should be "lower" or "higher".
      grid: it needs samples in their own shape, not as vectors.
      features: it is also of use on features.
      least: samples that it needs.
      unbiased: it is 0 on average between samples of one distribution, so that its ratio to the
        floor says nothing.
    """

    summary: str
    function: Callable[[np.ndarray, np.ndarray, int], Measured]
    columns: tuple[str, ...]
    better: str = "lower"
    grid: bool = False
    features: bool = False
    least: int = 2
    unbiased: bool = False


def _spectrum(a: np.ndarray, b: np.ndarray) -> Measured:
    power = band_power(a, b)
    return {"spectrum_db": power.rms, BANDS: np.stack(power[:4])}


MEASURES: dict[str, Measure] = {
    "frechet": Measure(
        "squared W2 of fitted Gaussians (of the means and covariances)",
        lambda a, b, seed: {"frechet": frechet(a, b)},
        ("frechet",),
        features=True,
    ),
    "spectrum": Measure(
        "power per band of frequencies: RMS of the ratio in dB",
        lambda a, b, seed: _spectrum(a, b),
        ("spectrum_db",),
        grid=True,
    ),
    "sliced": Measure(
        "squared sliced W2: the mean over random lines",
        lambda a, b, seed: {"sliced": sliced_wasserstein(a, b, seed=seed)},
        ("sliced",),
    ),
    "energy": Measure(
        "energy distance, unbiased",
        lambda a, b, seed: {"energy": energy_distance(a, b)},
        ("energy",),
        unbiased=True,
    ),
    "mmd": Measure(
        "squared MMD of a cubic kernel, unbiased, as in the KID",
        lambda a, b, seed: {"mmd": polynomial_mmd(a, b)},
        ("mmd",),
        features=True,
        unbiased=True,
    ),
    "precision_recall": Measure(
        "shares within the other's balls to the 3rd neighbour",
        lambda a, b, seed: precision_recall(a, b)._asdict(),
        ("precision", "recall"),
        better="higher",
        features=True,
        least=4,
    ),
    "density_coverage": Measure(
        "balls to the data's 5th neighbours: how full, how many",
        lambda a, b, seed: density_coverage(a, b)._asdict(),
        ("density", "coverage"),
        better="higher",
        features=True,
        least=6,
    ),
}
"""The measures by name."""

DEFAULT = ("frechet", "spectrum", "sliced", "energy", "mmd", "precision_recall")


def check_measures(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, each once, if the table has them.

    Raises:
      UserError: for a name that is unknown, or none.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise UserError(f"measures = (): choose from {', '.join(MEASURES)}")
    return tuple(dict.fromkeys(checks.one_of("measures", name, MEASURES) for name in names))


def higher_is_better(column: str) -> bool:
    """Return whether a larger number is better, also on features."""
    row = _measure_of(column)
    return row is not None and row.better == "higher"


def is_unbiased(column: str) -> bool:
    """Return whether the floor of a column is 0 but for chance, also on features."""
    row = _measure_of(column)
    return row is not None and row.unbiased


def _measure_of(column: str) -> Measure | None:
    """Find the measure of a column, which has a prefix on features; None for the FID."""
    rows = (row for row in MEASURES.values() if any(map(column.endswith, row.columns)))
    return next(rows, None)


class SpaceMeasure(NamedTuple):
    """A measure in one space (see :func:`specjax.evaluate.feature_spaces.spaces_for`).

    Attributes:
      columns: what each of the measure's columns is called there. titles: those names in words.
    """

    measure: Measure
    space: str
    columns: Mapping[str, str]
    titles: Mapping[str, str]

    def __call__(self, a: np.ndarray, b: np.ndarray, seed: int) -> dict[str, Any]:
        """Measure a against b: the numbers by column, and the bands where there are any."""
        measured = self.measure.function(a, b, seed)
        named = {column: float(measured[own]) for own, column in self.columns.items()}
        return named | {BANDS: measured[BANDS]} if BANDS in measured else named


def in_spaces(names: Sequence[str], features: Mapping[str, Features]) -> tuple[SpaceMeasure, ...]:
    """Place each measure on the samples, and those of use on features on each of these, too.

    On features the names of columns begin with the features' prefix; only the Fréchet distance of
    Inception's is "fid".
    """
    rows, applied = [MEASURES[name] for name in names], []
    for row in rows:
        titles = {column: column.replace("_db", " (dB)") for column in row.columns}
        space = "grid" if row.grid else "vectors"
        applied.append(SpaceMeasure(row, space, dict(zip(titles, titles, strict=True)), titles))
    for prefix, one in features.items():
        for row in (row for row in rows if row.features):
            columns = {column: f"{prefix}_{column}" for column in row.columns}
            titles = {columns[column]: f"{column} ({one.name})" for column in row.columns}
            if row.columns == ("frechet",):
                columns = {"frechet": "fid"} if prefix == "inception" else columns
                titles = {columns["frechet"]: one.distance_name}
            applied.append(SpaceMeasure(row, prefix, columns, titles))
    return tuple(applied)
