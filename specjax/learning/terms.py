"""The terms of an objective, and their weights.

An objective is a weighted sum of the logarithms of positive terms, so that units do not matter and
a weight is a power: ``log transfer + 0.1 log teacher``. By default the distances to the teacher
count by their geometric mean, in which samples from the tails of the data, which are far off, weigh
as much as any other.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace
from specjax._core.checks import UserError
from specjax.priors.prior import Prior

TERMS = {
    "transfer": "the loss of the closed-form transfer on the prior's spectrum",
    "teacher": "geometric mean of the squared distances to fine solutions from the same noise",
    "teacher_mean": "their arithmetic mean, which a few samples in the tails can carry",
    "energy": "energy distance to data (to fine solutions of other noise, where none are given)",
}

TAUGHT = ("teacher", "teacher_mean")
"""The terms that need the teacher's solutions of the same noise."""

MEDIAN = "teacher_median"
"""What is reported beside the terms of the teacher."""

TRANSFER_SHARE = 0.1
"""The weight of the transfer loss beside the distance to an exact denoiser's teacher. It costs
nothing on such denoisers, and a plan learned on them alone does not carry over to a network: on the
digits, 5 calls, the Frechet distance is 0.389 without it, 0.188 with it, 0.292 by the best
heuristic (experiments/learned_plans)."""

Weights = tuple[tuple[str, float], ...]
"""(Term, weight), in the order of :data:`TERMS`."""


def check_weights(given: Mapping[str, float]) -> Weights:
    """Check the weights of terms by name."""
    if not isinstance(given, Mapping):
        raise UserError(f"objective = {given!r}: give weights by name, as in {{'teacher': 1}}")
    for name, weight in given.items():
        checks.one_of("objective", name, TERMS)
        checks.positive(f"objective[{name!r}]", weight)
    if not given:
        raise UserError(f"objective = {{}}: give a weight for one of {', '.join(TERMS)}")
    return tuple((name, float(given[name])) for name in TERMS if name in given)


def default_weights(prior: Prior, stochastic: bool) -> Weights:
    """Choose what suits a prior, and plans with noise or without."""
    if prior.kind in ("gaussian", "probed"):  # linear: the transfer says all
        return (("transfer", 1.0),)
    if stochastic:
        return (("energy", 1.0),)
    if prior.kind in ("scale_mixture", "mixture", "empirical") and prior.spectrum is not None:
        return ("transfer", TRANSFER_SHARE), ("teacher", 1.0)
    return (("teacher", 1.0),)


def weighted_sum(weights: Weights, terms: Mapping[str, Any]) -> float:
    """Compute the objective of known terms."""
    tiny = np.finfo(np.float64).tiny
    return float(sum(weight * np.log(max(terms[name], tiny)) for name, weight in weights))


@functools.partial(jax.jit, static_argnames="weights")
def weighted_logarithms(weights: Weights, terms: Mapping[str, Array]) -> jax.Array:
    """Compute the objective [] of the terms."""
    logs = (weight * jnp.log(_positive(terms[name])) for name, weight in weights)
    return jnp.stack(list(logs)).sum()


def _positive(x: Array) -> jax.Array:
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny)


class Distances(NamedTuple):
    """Squared distances of samples to the teacher's solutions, summed over a sample.

    Attributes:
      squared: e [n]. error: c, that of the teacher's own solutions: what is below tells nothing.
    """

    squared: Array
    error: Array | float

    @classmethod
    def between(cls, samples: Array, target: Array, error: Array | float) -> Distances:
        """Measure samples [n, *shape] against the teacher's."""
        xp = namespace(samples, target)
        gap = (samples - target).reshape(len(target), -1)
        if xp is np:  # JAX computes in the dtype of the samples
            gap = gap.astype(np.float64)
        return cls((gap**2).sum(1), error)

    @property
    def report(self) -> dict[str, Any]:
        """The terms [] by name, with the median: geometric means are of ``e_i + c``."""
        xp = namespace(self.squared)
        return {
            "teacher": xp.exp(xp.log(self.squared + self.error).mean()),
            "teacher_mean": self.squared.mean(),
            MEDIAN: xp.median(self.squared),
        }

    def reweighted(self, weights: Mapping[str, float]) -> np.ndarray:
        """Compute what each square is multiplied by [n], see :mod:`specjax.learning.least_squares`.

        The sum then has the gradient of the weighted logarithms of the terms, halved.
        """
        by = weights.get("teacher", 0) / (len(self.squared) * (self.squared + self.error))
        mean = weights.get("teacher_mean", 0) / max(self.squared.sum(), np.finfo(float).tiny)
        return np.asarray(by + mean)
