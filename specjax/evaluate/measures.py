"""The table of measures: what each needs and gives. Adding one touches its file and this table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax.evaluate.energy_mmd import energy_distance, polynomial_mmd
from specjax.evaluate.frechet import frechet
from specjax.evaluate.power_spectrum import band_power
from specjax.evaluate.precision_recall import density_coverage, precision_recall
from specjax.evaluate.sliced_wasserstein import sliced_wasserstein

Found = Mapping[str, Any]
"""What a measure gives: a number for each of its columns, and what else it knows."""


class Measure(NamedTuple):
    """A row of the table.

    Attributes:
      summary: one line for help and tables.
      function: (generated, data, seed) to a number for each column, and maybe more.
      columns: what it gives, by name. better: whether "lower" or "higher" is better, for each.
      grid: needs samples in their own shape, not as vectors.
      features: also of use on features.
      least: samples that it needs.
      unbiased: 0 on average between samples of one distribution, so that no ratio to it says much.
    """

    summary: str
    function: Callable[[np.ndarray, np.ndarray, int], Found]
    columns: tuple[str, ...]
    better: tuple[str, ...] = ("lower",)
    grid: bool = False
    features: bool = False
    least: int = 2
    unbiased: bool = False


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
        ("higher", "higher"),
        features=True,
        least=4,
    ),
    "density_coverage": Measure(
        "balls to the data's 5th neighbours: how full, how many",
        lambda a, b, seed: density_coverage(a, b)._asdict(),
        ("density", "coverage"),
        ("higher", "higher"),
        features=True,
        least=6,
    ),
}

DEFAULT = ("frechet", "spectrum", "sliced", "energy", "mmd", "precision_recall")


def check_measures(names: Iterable[str]) -> tuple[str, ...]:
    """The names, if the table has them.

    Raises:
      ValueError: for a name that is unknown, or none.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise ValueError(f"measures = (): choose from {', '.join(MEASURES)}")
    return tuple(dict.fromkeys(checks.one_of("measures", name, MEASURES) for name in names))


def higher_is_better(column: str) -> bool:
    """Whether a larger number is better, also on features (whose columns have a prefix)."""
    return any(
        column.endswith(name) and better == "higher"
        for row in MEASURES.values()
        for name, better in zip(row.columns, row.better, strict=True)
    )


def is_unbiased(column: str) -> bool:
    """Whether the floor of a column is 0 but for chance, also on features."""
    return any(
        column.endswith(name) for row in MEASURES.values() if row.unbiased for name in row.columns
    )


def _spectrum(a: np.ndarray, b: np.ndarray) -> Found:
    found = band_power(a, b)
    return {"spectrum_db": found.rms, "bands": np.stack(found[:4])}
