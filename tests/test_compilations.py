"""How many programs calls compile: none on the host, one a bucket of steps in a fit.

To add a call, add a row. Counted are XLA's compilations, also those of single operations.
"""

import jax
import numpy as np
import pytest

import specjax as sx

EVENT = "/jax/core/compile/backend_compile_duration"
SPECTRA = [sx.Spectrum.power_law(d, 1.5) for d in (20, 64, 300)]
MEAN = sx.Spectrum(np.geomspace(1, 1e-3, 50), mean=np.full(50, 0.1))


@pytest.fixture
def compiled():
    """The number of compilations so far, of a process that has compiled nothing."""
    counts = []

    def count(event, seconds, **_):
        counts.extend([event] * (event == EVENT))

    jax.clear_caches()
    was = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    jax.monitoring.register_event_duration_secs_listener(count)
    yield lambda: len(counts)
    jax.monitoring.unregister_event_duration_listener(count)
    jax.config.update("jax_enable_compilation_cache", was)


def on_the_host():
    levels = sx.family("cosine", 7)
    for spectrum in (*SPECTRA, MEAN):
        for sampler in sx.SAMPLERS:
            sx.transfer(sx.plan(sampler, levels), spectrum)
            for loss in sx.LOSSES:
                sx.loss(spectrum, levels, sampler=sampler, loss=loss)
        sx.spectral(spectrum, 5)


def denoise(x, alpha, sigma):
    return alpha * x / (alpha**2 + sigma**2) * (1 + 0.1 * np.tanh(1.0))


NETWORK = sx.priors.Network(denoise, (5,))
POINTS = sx.priors.Empirical.from_samples(np.random.default_rng(0).normal(size=(40, 3)), 0.3)

# What is called, and how many programs it compiles at most, in this order.
CALLS = [
    (on_the_host, 0),
    (lambda: sx.fit(SPECTRA[1], 10), 1),
    (lambda: sx.fit(SPECTRA[1], 3), 0),
    (lambda: sx.fit(SPECTRA[1], 16), 0),
    (lambda: sx.fit(SPECTRA[1], 5, loss="kl"), 0),
    (lambda: sx.fit(SPECTRA[0], 5, loss="l1"), 0),
    (lambda: sx.fit(SPECTRA[2], 4, loss="relative"), 0),
    (lambda: sx.fit(MEAN, 4, loss="kl_reverse"), 0),
    (lambda: sx.fit(SPECTRA[1], 5, restarts=5, seed=3, tolerance=1e-3, max_iterations=7), 0),
    (lambda: sx.fit(SPECTRA[1], 5, alpha_bar_range=(1e-3, 1.0)), 0),
    (lambda: sx.compare(SPECTRA[1], 6), 0),
    (lambda: sx.fit(SPECTRA[1], 17), 1),
    (lambda: sx.fit(SPECTRA[1], 64, loss="kl"), 0),
    (lambda: sx.fit(SPECTRA[1], 5, alpha_bar_range=(1e-3, 0.99)), 1),
    (lambda: sx.fit(SPECTRA[1], 5, sampler="ddpm"), 1),
    (lambda: sx.fit(SPECTRA[1], 5, denoiser_error=0.1), 1),
    (lambda: sx.fit(SPECTRA[1], 6, denoiser_error=0.2), 0),
    (lambda: sx.learn(NETWORK, 3, n=40), 1),
    (lambda: sx.learn(NETWORK, 5, n=70, seed=1, objective={"teacher_mean": 1.0}), 0),
    (lambda: sx.learn(POINTS, 3, n=40), 5),  # the denoiser, and arrays of four shapes put in place
    (lambda: sx.learn(POINTS, 4, n=70, memory=2), 0),
]


def test_calls_compile_no_more_than_this(compiled):
    for number, (call, most) in enumerate(CALLS):
        before = compiled()
        call()
        assert compiled() - before <= most, number


@pytest.mark.thorough
def test_a_sweep_compiles_by_sampler_and_bucket(compiled):
    options = {"samplers": ["ddim", "ddpm"], "families": ["cosine"]}
    spectra = dict(enumerate(SPECTRA))
    sx.sweep({str(k): x for k, x in spectra.items()}, [3, 5, 8], losses=["w2", "kl"], **options)
    first = compiled()
    assert first <= 8  # descent and values of each sampler, the closed form, four small ones
    sx.sweep({str(k): x for k, x in spectra.items()}, [4, 6, 8], losses=["l1", "kl"], **options)
    assert compiled() <= first + 1
