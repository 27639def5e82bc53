"""The results of an evaluation: numbers with error bars, beside the floor.

An error bar is one of two:

- of several sets of samples (one a seed), the standard error of their mean;
- of a single set, the delete-half jackknife's (Shao and Wu 1989): the standard deviation of how
  much a random half of the set differs from all of it beside the same reference. A half differs
  from the whole as much as a new set does from another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from specjax import files
from specjax._core.shown import Shown
from specjax.evaluate.measures import is_unbiased


def mean_and_error(
    values: np.ndarray, halves: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of values [k, ...] and its error bar, which is NaN for a single value.

    Args:
      values: of k independent sets, or of one set beside k references.
      halves: [k, ...], of a random half of that one set beside each reference.
    """
    mean = values.mean(0)
    if len(values) < 2:
        return mean, np.full_like(mean, np.nan)
    if halves is not None:
        return mean, (halves - values).std(0, ddof=1)
    return mean, values.std(0, ddof=1) / np.sqrt(len(values))


class Estimate(NamedTuple):
    """A number with its standard error.

    Attributes:
      value: the mean.
      error: its standard error.
      each: the numbers that it is the mean of.
    """

    value: float
    error: float
    each: tuple[float, ...]

    @classmethod
    def of(cls, each: Sequence[float], halves: Sequence[float] | None = None) -> Estimate:
        """Average numbers, with the error bar of :func:`mean_and_error`.

        Args:
          each: the numbers.
          halves: those of random halves of a single set; None for several sets.

        Example:
          >>> Estimate.of([1.0, 2.0, 3.0])[:2]
          (2.0, 0.5773502691896258)
        """
        values = np.asarray(each, np.float64)
        mean, error = mean_and_error(values, None if halves is None else np.asarray(halves))
        return cls(float(mean), float(error), tuple(values.tolist()))


@dataclass(frozen=True, eq=False)
class Bands:
    """Power per band of frequencies: [bands] each, the constant first.

    Attributes:
      frequency: cycles per sample.
      generated: mean power of a frequency of the band in generated samples.
      real: the same in data.
      decibel: generated over real, the mean over seeds.
      error: its error bar.
      floor: root mean square of real over real in decibel, which is due to finite n alone.
    """

    frequency: np.ndarray
    generated: np.ndarray
    real: np.ndarray
    decibel: np.ndarray
    error: np.ndarray
    floor: np.ndarray

    @classmethod
    def of(cls, bands: np.ndarray, halves: np.ndarray | None, floors: np.ndarray) -> Bands:
        """Average the bands of sets, as in :func:`mean_and_error`.

        Args:
          bands: [k, 4, bands], of k sets.
          halves: [k, 4, bands], of half of a single set; None for several sets.
          floors: [splits, 4, bands], of real against real.
        """
        (frequency, generated, real, decibel), error = mean_and_error(bands, halves)
        floor = np.sqrt((floors[:, 3] ** 2).mean(0))
        return cls(frequency, generated, real, decibel, error[3], floor)


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Shown):
    """How far samples are from data, by several measures.

    Attributes:
      name: of the schedule or the samples.
      values: by column: "frechet", "precision", ...; on features "feature_frechet" and so on,
        on Inception's "fid", "inception_precision", ...
      floor: the same columns of real against real, at the same n.
      titles: of the columns, in words.
      bands: the power per band, if the spectrum was measured.
      n: samples on either side of each comparison.
      seeds: sets of generated samples.
      splits: random splits of the data.
      space: the space in which vectors were compared, in words.
      error: what the error bars are taken over, in words.
      seed: of the splits, and of all else that is random in the measures.
      variance: of the data, summed over the numbers of a sample; None where it is not known.
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
    variance: float | None = None

    def over_floor(self, column: str) -> float:
        """Return value over floor of a ``column``.

        It is NaN for unbiased measures, whose floor is 0 but for chance.
        """
        floor = self.floor[column].value
        if not floor or is_unbiased(column):
            return float("nan")
        return self.values[column].value / floor

    def as_json(self) -> dict[str, Any]:
        """Return the evaluation as numbers and words for JSON; None for what is not finite."""
        known: dict[str, Any] = files.plain(
            {
                **vars(self),
                "values": {column: one._asdict() for column, one in self.values.items()},
                "floor": {column: one._asdict() for column, one in self.floor.items()},
                "over_floor": {column: self.over_floor(column) for column in self.values},
                "bands": self.bands and vars(self.bands),
            }
        )
        return known
