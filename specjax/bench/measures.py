"""What a bench measures of samples as a whole, beside each one's distance to its fine solution.

All but the user's own measures are taken in the first principal components of a reference: data,
or fine solutions of other noise. They depend on how many samples there are; :meth:`Reference.floor`
is what samples of the reference itself reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.evaluate.feature_spaces import Principal, principal
from specjax.evaluate.frechet import frechet
from specjax.evaluate.precision_recall import precision_recall
from specjax.evaluate.sliced_wasserstein import sliced_wasserstein

DISTANCES = {
    "geometric_mean": "geometric mean of the squared distances to the fine solutions",
    "mean": "mean of the squared distances to the fine solutions",
    "median": "median of the squared distances to the fine solutions",
}
"""Distances from the same noise."""

DISTRIBUTIONS = {
    "frechet": "Fréchet distance (squared) in principal components",
    "sliced": "sliced Wasserstein distance (squared) in principal components",
    "precision": "precision: the share of samples within the reference's neighbourhoods",
    "recall": "recall: the share of the reference within the samples' neighbourhoods",
    "spectrum": "relative error of the variance, RMS over octaves of principal components",
}
"""Comparisons with a reference."""

MEASURES = {**DISTANCES, **DISTRIBUTIONS}
"""What is measured, by name."""

HIGHER = ("precision", "recall")
"""The measures of which more is better."""

Measure = Callable[[np.ndarray, np.ndarray], float]
"""A measure of one's own: (samples [n, *shape], reference [m, *shape]) to a number, the less the
better."""

_PROJECTIONS = 128
_NEIGHBOURS = 3
_NO_VARIANCE = 1e-9  # of all variance


def check_measures(given: Mapping[str, Measure] | None) -> dict[str, Measure]:
    """Check a user's measures by name.

    Raises:
      UserError: for a name of the bench's own, and what is no function.
    """
    known = dict(given or {})
    for name, function in known.items():
        if name in MEASURES or not callable(function):
            raise UserError(
                f"measures[{name!r}]: give functions (samples, reference) -> number, by names "
                f"other than {', '.join(MEASURES)}"
            )
    return known


def worst_of(name: str) -> float:
    """Return what samples that are not finite get."""
    return 0.0 if name in HIGHER else math.inf


class Reference(NamedTuple):
    """Samples that others are compared with, and their principal components.

    Attributes:
      samples: [m, *shape].
      components: their first k principal components.
      coordinates: [m, k], of the samples in them.
    """

    samples: np.ndarray
    components: Principal
    coordinates: np.ndarray

    @classmethod
    def of(cls, samples: Any, components: int) -> Reference:
        """Find the principal components of samples."""
        samples = np.asarray(samples)
        most = min(len(samples), math.prod(samples.shape[1:]))
        found = principal(samples, min(checks.whole_number("components", components), most))
        return cls(samples, found, found.project(samples))

    def compare(self, samples: np.ndarray, more: Mapping[str, Measure]) -> dict[str, Any]:
        """Measure samples [n, *shape]: numbers by name, and "bands" of :meth:`band_errors`."""
        if not np.isfinite(samples).all():
            return {**{name: worst_of(name) for name in (*DISTRIBUTIONS, *more)}, "bands": []}
        y = self.components.project(samples)
        bands = self.band_errors(y, samples)
        return {
            "frechet": frechet(y, self.coordinates),
            "sliced": sliced_wasserstein(y, self.coordinates, projections=_PROJECTIONS),
            **precision_recall(y, self.coordinates, k=_NEIGHBOURS)._asdict(),
            "spectrum": float(np.sqrt(np.mean(bands**2))),
            **{name: float(function(samples, self.samples)) for name, function in more.items()},
            "bands": bands.tolist(),
        }

    def floor(self, n: int, more: Mapping[str, Measure]) -> dict[str, Any]:
        """Measure n samples of the reference, or half of it, beside the others.

        Principal components are those of the others, so that the n are as new to them as samples
        are to the reference's.
        """
        order = np.random.default_rng(0).permutation(len(self.samples))
        mine, others = np.split(self.samples[order], [min(n, len(order) // 2)])
        return Reference.of(others, self.coordinates.shape[1]).compare(mine, more)

    def band_errors(self, y: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Compute the relative error of the variance in octaves of components, and in all others.

        Args:
          y: [n, k], the coordinates of the samples [n, *shape].

        Returns:
          [bands], of the components 1, 2, 3 to 4, 5 to 8, ... and the rest; those alone in which
          the reference varies.
        """
        ours, theirs = _variances(y, samples), _variances(self.coordinates, self.samples)
        varies = theirs > _NO_VARIANCE * theirs.sum()
        return ours[varies] / theirs[varies] - 1


def _variances(y: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the variance [bands] of coordinates y [n, k] in octaves, and the samples' others."""
    k = y.shape[1]
    first = [0, *(2**i for i in range(k.bit_length()) if 2**i < k)]
    octaves = np.add.reduceat(y.var(0), first)
    return np.append(octaves, samples.var(0, dtype=np.float64).sum() - octaves.sum())
