"""One update, with a denoiser of one parameter in the network's place."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx
from specjax.nn import train_step
from specjax.nn.batches import Samples
from specjax.nn.config import OptimiserConfig, TrainConfig
from specjax.nn.train_step import Batch, Task, initial_state, learning_rate, update, validation_loss
from specjax.nn.training import call_sizes

STEADY = OptimiserConfig(
    updates=400,
    batch=64,
    warmup=0,
    decay="constant",
    learning_rate=0.02,
    weight_decay=0.0,
    clip=1e9,
)


class Gain(NamedTuple):
    """D(x) = a x, plus b for a label that is told."""

    params: dict
    sigma_data: float = 0.5
    shape: tuple[int, ...] = (4, 1)

    def __call__(self, x, alpha, sigma, labels=None, *, key=None):
        told = 0.0 if labels is None else jnp.where(labels == 2, 0.0, self.params["b"])[:, None]
        return self.params["a"] * x + told  # alpha is 1


def task(config=STEADY, s=1.0, classes=0, weighting="x0", **changes):
    whole = TrainConfig(optimiser=replace(config, **changes))
    whole = replace(whole, noise=replace(whole.noise, weighting=weighting))
    return Task(Gain, classes, lambda u: jnp.full_like(u, -2 * np.log(s)), whole)


def parameters(a=0.0, b=0.0):
    return {"a": jnp.asarray(a), "b": jnp.asarray(b)}


def drawn(n, std=1.0, seed=0, k=1):
    samples = std * np.random.default_rng(seed).normal(size=(k, n, 4))
    return Batch(jnp.asarray(samples, jnp.float32), None)


def run(task, state, batch, times):
    step = jax.jit(partial(update, task))
    seen = []
    for _ in range(times):
        state, metrics = step(state, batch)
        seen.append((state, metrics))
    return seen


@pytest.mark.slow
def test_a_gain_learns_wieners():
    """E|a y - x0|^2 is least at lambda / (lambda + s^2), here 4 / 5."""
    batch = drawn(4096, std=2.0)
    state, _ = run(task(), initial_state(task(), parameters()), batch, 300)[-1]
    variance = np.var(np.asarray(batch.samples))
    # 300 fresh noises of 4,096 x 4 numbers; Adam goes on by about its rate times the noise.
    assert float(state.ema["a"]) == pytest.approx(variance / (variance + 1), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [2, 8])
def test_a_batch_in_parts_is_the_same_batch(parts):
    whole, split = task(), task(accumulate=parts)
    batch = drawn(64)
    one = run(whole, initial_state(whole, parameters(0.3)), batch, 3)
    many = run(split, initial_state(split, parameters(0.3)), batch, 3)
    for (state, metrics), (other, others) in zip(one, many, strict=True):
        np.testing.assert_allclose(metrics["loss"], others["loss"], rtol=1e-5)
        np.testing.assert_allclose(metrics["gradient_norm"], others["gradient_norm"], rtol=1e-4)
        np.testing.assert_allclose(state.params["a"], other.params["a"], rtol=1e-4)


@pytest.mark.slow
def test_several_updates_in_a_call_are_those_of_several_calls():
    batches = drawn(16, k=3)
    together, metrics = jax.jit(partial(update, task()))(
        initial_state(task(), parameters(0.1)), batches
    )
    state = initial_state(task(), parameters(0.1))
    once = jax.jit(partial(update, task()))
    for k in range(3):
        state, one = once(state, Batch(batches.samples[k : k + 1], None))
        np.testing.assert_allclose(one["loss"][0], metrics["loss"][k], rtol=1e-5)
    np.testing.assert_allclose(state.params["a"], together.params["a"], rtol=1e-5)
    assert int(together.step) == 3


@pytest.mark.slow
def test_the_loop_of_an_accelerator_does_the_same(monkeypatch):
    batches = drawn(16, k=3)
    chosen = task(accumulate=2)
    unrolled, _ = jax.jit(partial(update, chosen))(initial_state(chosen, parameters(0.1)), batches)
    monkeypatch.setattr(train_step, "on_cpu", lambda: False)
    looped, metrics = jax.jit(partial(update, chosen))(
        initial_state(chosen, parameters(0.1)), batches
    )
    assert metrics["loss"].shape == (3,)
    np.testing.assert_allclose(looped.params["a"], unrolled.params["a"], rtol=1e-5)
    np.testing.assert_allclose(looped.ema["a"], unrolled.ema["a"], rtol=1e-5)


@pytest.mark.parametrize("begun", [0, 7])
def test_calls_end_where_something_is_due(begun):
    sizes = call_sizes(begun, 75, [25, 30])
    ends = begun + np.cumsum(sizes)
    assert set(sizes) <= {1, 10}
    assert ends[-1] == 75
    assert {25, 30, 50, 60} <= set(ends.tolist())
    assert call_sizes(0, 20_000, [500, 50]) == [10] * 2000


@pytest.mark.slow
def test_training_and_sampling_draw_different_noise():
    """From one seed: the noise of the first updates is no start of a sample, nor dropout's."""
    seen = []

    class Listening(Gain):
        def __call__(self, x, alpha, sigma, labels=None, *, key=None):
            jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
            return super().__call__(x, alpha, sigma, labels)

    chosen = replace(task(), denoiser=Listening)
    batch = Batch(jnp.zeros((1, 16, 4)), None)
    jax.block_until_ready(update(chosen, initial_state(chosen, parameters()), batch))
    jax.effects_barrier()
    plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([1.0, 0.0]))
    starts = []
    sx.generate(plan, lambda x, a, s: jax.debug.callback(starts.append, x) or x, 16, (4,))
    jax.effects_barrier()
    noise, start = np.ravel(seen[0]), np.ravel(starts[0])
    assert np.abs(noise[:, None] - start[None] / start.std() * noise.std()).min(1).max() > 1e-3


def test_the_loss_is_the_weighted_error():
    """With a = 0: E w |x0|^2, here w = 1 / s^2."""
    chosen = task(weighting="eps", s=2.0)
    batch = drawn(64)
    _, metrics = run(chosen, initial_state(chosen, parameters()), batch, 1)[0]
    expected = np.mean(np.asarray(batch.samples) ** 2) / 4
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


def test_pure_noise_holds_nothing_of_the_data():
    """With D = a x and alpha = 0: a z - x0, whose square is a^2 + E x0^2 in the mean."""
    chosen = replace(task(weighting="v"), quantile=lambda u: jnp.full_like(u, -jnp.inf))
    batch = drawn(20_000, std=2.0)
    _, metrics = run(chosen, initial_state(chosen, parameters(a=0.5)), batch, 1)[0]
    expected = 0.25 + np.mean(np.asarray(batch.samples) ** 2)  # a weight of 1: v = -x0
    np.testing.assert_allclose(metrics["loss"], expected, rtol=0.01)


@pytest.mark.thorough
def test_the_average_forgets_how_it_began():
    state = initial_state(task(ema=0.9), parameters(5.0))
    average = 5.0
    for step, (after, _) in enumerate(run(task(ema=0.9), state, drawn(16), 30)):
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * float(after.params["a"])
        assert float(after.ema["a"]) == pytest.approx(average, rel=1e-5)


def test_the_gradient_is_clipped():
    chosen = task(clip=1e-3)
    (state, metrics), *_ = run(chosen, initial_state(chosen, parameters(9.0)), drawn(16), 1)
    assert metrics["gradient_norm"][0] > 1
    moment = jax.tree.leaves(state.optimiser, is_leaf=lambda x: hasattr(x, "mu"))
    mu = next(x.mu for x in moment if hasattr(x, "mu"))
    assert float(jnp.hypot(mu["a"], mu["b"])) == pytest.approx(0.1 * 1e-3, rel=1e-4)


@pytest.mark.thorough
def test_the_first_step_that_is_not_finite_is_remembered():
    state = initial_state(task(), parameters(0.0))
    good, bad = drawn(16), Batch(drawn(16).samples.at[0, 3, 2].set(jnp.inf), None)
    (state, _), *_ = run(task(), state, good, 1)
    assert int(state.failed) == -1
    (state, _), (later, _) = run(task(), state, bad, 2)
    assert (int(state.failed), int(later.failed)) == (1, 1)


def test_the_first_update_learns():
    chosen = task(warmup=10)
    (state, _), *_ = run(chosen, initial_state(chosen, parameters()), drawn(16), 1)
    assert float(state.params["a"]) == pytest.approx(0.02 / 11, rel=1e-3)  # Adam's first step


@pytest.mark.slow
def test_half_of_the_images_are_flipped():
    """x0 = (1, -1) from left to right, a = 0 and b told for no one: the loss is that of x0."""
    pictures = np.zeros((1, 512, 1, 2, 1), np.float32)
    pictures[:, :, 0, 0] = 1.0

    class Left(NamedTuple):
        params: dict
        sigma_data: float = 0.5
        shape: tuple[int, ...] = (1, 2, 1)

        def __call__(self, x, alpha, sigma, labels=None, *, key=None):
            left = jnp.zeros_like(x).at[:, :, 0].set(1.0)
            return self.params["a"] * left

    chosen = replace(task(flip=True, learning_rate=0.05), denoiser=Left)
    state, _ = run(
        chosen, initial_state(chosen, parameters()), Batch(jnp.asarray(pictures), None), 200
    )[-1]
    assert float(state.ema["a"]) == pytest.approx(
        0.5, abs=0.05
    )  # the left pixel is 1 half of the time


@pytest.mark.slow
def test_some_labels_are_not_told():
    """b is learned where it is told: its gradient is (1 - drop_label) of the whole one."""
    samples = jnp.ones((1, 4096, 4))
    batch = Batch(samples, jnp.ones((1, 4096), jnp.int32))
    norms = {}
    for drop in (0.0, 0.25):
        chosen = replace(task(drop_label=drop), classes=2)
        _, metrics = run(chosen, initial_state(chosen, parameters()), batch, 1)[0]
        norms[drop] = float(metrics["loss"][0])
    assert norms[0.0] == pytest.approx(norms[0.25], rel=1e-6)  # b = 0: no difference yet
    chosen = replace(task(drop_label=0.25), classes=2)
    _, metrics = run(chosen, initial_state(chosen, parameters(b=1.0)), batch, 1)[0]
    # Told, the error is 0; not told, 1.
    assert float(metrics["loss"][0]) == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4096))


@pytest.mark.thorough
def test_validation_is_the_same_every_time():
    batch = Batch(drawn(64).samples[0], None)
    found = [validation_loss(task(), parameters(0.3), batch) for _ in range(2)]
    assert float(found[0]) == float(found[1])
    expected = (0.3 - 1) ** 2 + 0.09  # E|(a - 1) x0 + a eps|^2
    assert float(found[0]) == pytest.approx(expected, abs=0.15)


def test_learning_rates():
    config = OptimiserConfig(updates=100, warmup=10, learning_rate=1.0)
    rate = learning_rate(config)
    assert [float(rate(i)) for i in (0, 5, 10)] == pytest.approx([1 / 11, 6 / 11, 1])
    assert float(rate(55)) == pytest.approx(0.5, abs=1e-6)  # half of the cosine
    assert float(rate(100)) == pytest.approx(0, abs=1e-6)
    constant = learning_rate(replace(config, decay="constant"))
    assert float(constant(99)) == 1


SAMPLES = Samples(np.arange(50.0).reshape(25, 2), np.arange(25), np.arange(5, 25), None, 8, 3)


def test_every_sample_once_in_a_pass():
    taken = np.concatenate([SAMPLES.indices(step) for step in range(5)])
    for each in range(2):
        np.testing.assert_array_equal(np.sort(taken[20 * each : 20 * (each + 1)]), np.arange(5, 25))
    assert (taken[:20] != taken[20:]).any()
    np.testing.assert_array_equal(SAMPLES.indices(3), SAMPLES.indices(3))


def test_rows_come_with_their_labels():
    rows = SAMPLES.rows(np.array([7, 3, 24]))
    np.testing.assert_array_equal(rows.samples, [[14, 15], [6, 7], [48, 49]])
    np.testing.assert_array_equal(rows.labels, [7, 3, 24])
