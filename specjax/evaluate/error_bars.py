"""What an evaluation says: numbers with error bars, beside the floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from specjax.evaluate.measures import is_unbiased


class Estimate(NamedTuple):
    """A number, its standard error, and the numbers that it is the mean of."""

    value: float
    error: float
    each: tuple[float, ...]

    @classmethod
    def of(cls, each: Sequence[float]) -> Estimate:
        """The mean and its standard error over independent numbers; NaN of a single one.

        Example:
          >>> Estimate.of([1.0, 2.0, 3.0])[:2]
          (2.0, 0.5773502691896258)
        """
        found = np.asarray(each, np.float64)
        error = found.std(ddof=1) / np.sqrt(found.size) if found.size > 1 else np.nan
        return cls(float(found.mean()), float(error), tuple(found.tolist()))


@dataclass(frozen=True, eq=False)
class Bands:
    """Power per band of frequencies: [bands] each, the constant first.

    Attributes:
      frequency: cycles per sample. generated, real: mean power of a frequency of the band.
      decibel, error: of generated over real: mean over seeds and its standard error.
      floor: root mean square of real over real, in decibel: what is nothing but finite n.
    """

    frequency: np.ndarray
    generated: np.ndarray
    real: np.ndarray
    decibel: np.ndarray
    error: np.ndarray
    floor: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How far samples are from data, by several measures.

    Attributes:
      name: of the schedule or the samples.
      values: by column: "frechet", "precision", ...; on features "feature_frechet" and so on,
        on Inception's "fid", "inception_precision", ...
      floor: the same columns of real against real, at the same n.
      titles: of the columns, in words.
      bands: the power per band, if the spectrum was measured.
      n: samples on either side of each comparison.
      seeds: sets of generated samples. splits: random splits of the data.
      space: what the measures of vectors compared, in words.
      error: what the error bars are of, in words.
      seed: of the splits, and of all else that is random in the measures.
    """

    name: str
    values: Mapping[str, Estimate]
    floor: Mapping[str, Estimate]
    titles: Mapping[str, str]
    bands: Bands | None
    n: int
    seeds: int
    splits: int
    space: str
    error: str
    seed: int

    def over_floor(self, column: str) -> float:
        """The value over the floor; NaN of unbiased measures, whose floor is 0 but for chance."""
        floor = self.floor[column].value
        known = floor and not is_unbiased(column)
        return self.values[column].value / floor if known else float("nan")

    def _ratios(self) -> np.ndarray:
        return np.array([self.over_floor(column) for column in self.values])

    def as_json(self) -> dict[str, Any]:
        """The evaluation as plain numbers and words; None for what is not known."""
        known = {
            name: getattr(self, name)
            for name in ("name", "n", "seeds", "splits", "space", "error", "seed")
        }
        bands = self.bands and {k: _listed(v) for k, v in vars(self.bands).items()}
        return {
            **known,
            "titles": dict(self.titles),
            "values": {column: _plain(one) for column, one in self.values.items()},
            "floor": {column: _plain(one) for column, one in self.floor.items()},
            "over_floor": dict(zip(self.values, _listed(self._ratios()), strict=True)),
            "bands": bands,
        }


def _plain(one: Estimate) -> dict[str, Any]:
    value, error = _listed(np.array(one[:2]))
    return {"value": value, "error": error, "each": _listed(np.array(one.each))}


def _listed(numbers: np.ndarray) -> list[float | None]:
    return [float(x) if np.isfinite(x) else None for x in numbers]
