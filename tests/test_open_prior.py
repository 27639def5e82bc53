"""A prior of somebody else's, in their own file: data that are -1 or 1 in every number."""

import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx

SHAPE = (3,)


class Signs:
    """Every number is -1 or 1 with probability 1/2, so ``E[x0 | x] = tanh(alpha x / sigma^2)``."""

    kind, shape, held_out = "signs", SHAPE, None
    source, fingerprint = {"name": "three signs"}, "three independent signs"
    spectrum = sx.Spectrum(np.ones(SHAPE))

    def __call__(self, x, alpha, sigma):
        return jnp.tanh(alpha * x / sigma**2)

    def project(self, x):
        return x

    lift = project


OPTIONS = {"n": 64, "alpha_bar_range": (1e-3, 1.0)}


@pytest.fixture(scope="module")
def learned():
    return sx.learn(Signs(), 3, **OPTIONS)


@pytest.mark.thorough
def test_the_denoiser_is_that_of_the_mixture_of_two_points():
    points = np.array([[-1.0], [1.0]])
    known = sx.priors.Empirical.from_samples(points, 0.0, held_out=0)
    x = np.linspace(-2, 2, 9)[:, None]
    np.testing.assert_allclose(Signs()(x, 0.8, 0.6), known(x, 0.8, 0.6), rtol=1e-5, atol=1e-6)


def test_a_plan_is_learned_through_it(learned):
    assert (learned.prior, learned.source["name"]) == ("signs", "three signs")
    assert set(learned.objective) == {"teacher"}
    # Held out, it is at least as good as the best heuristic, from which it starts.
    assert learned.value <= min(learned.baselines.values())


def test_what_is_sampled_is_of_the_data(learned):
    samples = sx.generate(learned.plan, Signs(), 500, SHAPE, seed=1)
    # The last call returns a posterior mean, which for most starts is close to one of the points.
    assert np.mean(np.abs(np.abs(samples) - 1) < 0.1) > 0.9
    assert abs(np.sign(samples).mean()) < 4 / np.sqrt(samples.size)
