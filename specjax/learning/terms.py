"""The terms of an objective, and their weights.

An objective is a weighted sum of the logarithms of positive terms, so that units do not matter and
a weight is a power: ``log transfer + 0.1 log teacher``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from specjax._core import checks
from specjax._core.arrays import Array
from specjax._core.checks import UserError
from specjax.priors.prior import Prior

TERMS = {
    "transfer": "the loss of the closed-form transfer on the prior's spectrum",
    "teacher": "mean squared distance to a fine solution from the same noise",
    "energy": "energy distance to data (to fine solutions of other noise, where none are given)",
}

MEDIAN = "median of teacher"
"""What is reported beside the term "teacher", a mean that a few samples can carry."""

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


@functools.partial(jax.jit, static_argnames="weights")
def weighted_logarithms(weights: Weights, terms: Mapping[str, Array]) -> jax.Array:
    """Compute the objective [] of the terms."""
    logs = (weight * jnp.log(_positive(terms[name])) for name, weight in weights)
    return jnp.stack(list(logs)).sum()


def _positive(x: Array) -> jax.Array:
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny)


@jax.jit
def mean_squared_distance(a: jax.Array, b: Array) -> jax.Array:
    """Average over samples the squared distance, summed over a sample."""
    return ((a - b) ** 2).sum() / len(a)


@jax.jit
def median_squared_distance(a: jax.Array, b: Array) -> jax.Array:
    """Return the median over samples of the squared distance, summed over a sample."""
    return jnp.median(((a - b) ** 2).reshape(len(a), -1).sum(1))
