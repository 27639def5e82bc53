"""What learning keeps alive: nothing, once the last reference to a prior is gone."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import by_default
from plan_oracles import objectives

import specjax as sx
from specjax.priors import Empirical, Gaussian, Network

QUICK = {"n": 8, "max_iterations": 2}
POINTS = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)


def shrink(weights, x, alpha, sigma):
    return alpha * (x @ weights) / (alpha**2 + sigma**2)


def closure(weights):
    return lambda x, alpha, sigma: shrink(weights, x, alpha, sigma)


class Mine:
    """A prior that is no pytree."""

    kind, shape, spectrum, held_out = "mine", (3,), None, None
    source, fingerprint = None, "mine"

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, x, alpha, sigma):
        return shrink(self.weights, x, alpha, sigma)

    def project(self, x):
        return x

    lift = project


PRIORS = {
    "closure": lambda weights: Network(closure(weights), (3,)),
    "pytree": lambda weights: Network(jax.tree_util.Partial(shrink, weights), (3,)),
    "adapted": lambda weights: Network(sx.from_eps(lambda x, level: x @ weights), (3,)),
    "mine": Mine,
    "empirical": lambda weights: Empirical.from_samples(POINTS, 0.3),
}


def parts_of(prior):
    """A prior, its denoiser and its arrays, as what can be referred to weakly."""
    leaves = [getattr(prior, "denoise", prior), *jax.tree.leaves(prior)]
    return [weakref.ref(x) for x in (prior, *leaves)]


@pytest.mark.parametrize(
    ("name", "sampler"),
    by_default([(name, s) for name in PRIORS for s in ("ddim", "ddpm")], 2, 6),
)
def test_nothing_is_kept_alive(name, sampler):
    weights = 0.9 * jnp.eye(3)
    prior = PRIORS[name](weights)
    alive = [weakref.ref(weights), *parts_of(prior)]
    sx.learn(prior, 2, sampler=sampler, **QUICK)
    del prior, weights
    gc.collect()
    assert [one() for one in alive] == [None] * len(alive)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["closure", "mine"])
def test_the_second_call_compiles_nothing(name, caplog):
    prior = PRIORS[name](0.8 * jnp.eye(3))
    sx.learn(prior, 2, sampler="ddim", **QUICK)
    with caplog.at_level("WARNING", "jax"), jax.log_compiles():
        sx.learn(prior, 2, sampler="ddim", seed=1, **QUICK)
    assert not [text for text in caplog.messages if text.startswith("Finished XLA compilation")]


def test_the_training_objective_has_none_of_the_arrays_held_out():
    gaussian = Gaussian.from_samples(POINTS)
    for prior in (Empirical.from_samples(POINTS, 0.3), gaussian):
        both = objectives(prior, n=8, objective={"energy": 1.0}, data=POINTS)
        for objective, own in ((both.training, prior), (both.held_out, prior.held_out)):
            bare = sum(np.size(x) for x in jax.tree.leaves(own))
            if own.held_out is not None:
                bare -= sum(np.size(x) for x in jax.tree.leaves(own.held_out))
            assert sum(np.size(x) for x in jax.tree.leaves(objective.denoise)) == bare
