"""Which measure is taken on what, and what its columns are called there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from specjax.evaluate.feature_spaces import Features
from specjax.evaluate.measures import MEASURES, Measure

BANDS = "bands"


class Task(NamedTuple):
    """A measure in a space, and what its columns are called there."""

    measure: Measure
    space: str
    columns: tuple[str, ...]
    features: Features | None = None

    def title(self, column: str) -> str:
        """A column's name in words."""
        own = self.measure.columns[self.columns.index(column)]
        if self.features is None:
            return own.replace("_db", " (dB)")
        if own == "frechet":
            return self.features.distance_name
        return f"{own} ({self.features.name})"

    def run(self, a: np.ndarray, b: np.ndarray, seed: int) -> dict[str, Any]:
        """The numbers by column, and the bands where the measure has them."""
        found = self.measure.function(a, b, seed)
        named = zip(self.columns, self.measure.columns, strict=True)
        more = {BANDS: found[BANDS]} if BANDS in found else {}
        return {**{column: float(found[own]) for column, own in named}, **more}


def tasks_for(measures: Sequence[str], features: Mapping[str, Features]) -> tuple[Task, ...]:
    """Every measure on the samples, and those of use on features on each of these, too."""
    rows = [MEASURES[name] for name in measures]
    tasks = [Task(row, "grid" if row.grid else "vectors", row.columns) for row in rows]
    for prefix, one in features.items():
        tasks += [
            Task(row, prefix, tuple(_called(column, prefix) for column in row.columns), one)
            for row in rows
            if row.features
        ]
    return tuple(tasks)


def prefixed(features: Sequence[Features]) -> dict[str, Features]:
    """Features by what their columns begin with."""
    found: dict[str, Features] = {}
    for one in features:
        prefix = "inception" if one.is_inception else "feature"
        repeated = sum(name.startswith(prefix) for name in found)
        found[prefix + (str(repeated + 1) if repeated else "")] = one
    return found


def _called(column: str, prefix: str) -> str:
    """Only the Fréchet distance of Inception's own features is ever called FID."""
    return "fid" if (column, prefix) == ("frechet", "inception") else f"{prefix}_{column}"
