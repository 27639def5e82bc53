"""Learning through any denoiser: black boxes, what they may do wrong, interruptions, conditions."""

import os
import signal
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest
from checks import one_line
from plan_oracles import objectives

import specjax as sx
from specjax.learning import solve, teacher
from specjax.learning.learn import LEARNED

D, S, N = 4, 3, 48
RNG = np.random.default_rng(3)
KERNELS = [(RNG.standard_normal(shape) / 3).astype(np.float32) for shape in ((D, 6), (6, D))]
SETTINGS = {"n": N, "memory": 1}


def bend(x, alpha, sigma, xp=np):
    """A small network around the answer for unit variance."""
    s = sigma / alpha
    y = x / alpha / xp.sqrt(1 + s**2)
    return y / xp.sqrt(1 + s**2) + s / (1 + s) * xp.tanh(y @ KERNELS[0]) @ KERNELS[1]


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(teacher, "_MEMORY", type(teacher._MEMORY)())
    monkeypatch.setattr(solve, "_STATES", type(solve._STATES)())


@pytest.fixture(scope="module")
def whole():
    """A plan learned without interruption."""
    return sx.learn(sx.BlackBox(bend, (D,)), S, **SETTINGS)


class Spoilt:
    """A denoiser that does something else from one batch on, once."""

    def __init__(self, at, what):
        self.at, self.what, self.batches = at, what, 0

    def __call__(self, x, alpha, sigma):
        self.batches += 1
        if self.batches == self.at:
            return self.what(x)
        return bend(x, alpha, sigma)


def batches_before_learning(result):
    """So many batches of 32 and 16 samples, or 16 alone, the teacher and the heuristics had."""
    seen = []

    def count(x, alpha, sigma):
        seen.append(len(x))
        return bend(x, alpha, sigma)

    sx.learn(sx.BlackBox(count, (D,)), S, **SETTINGS)
    samples = np.cumsum(seen)
    before = result.source["calls"]["teacher"] + result.source["calls"]["heuristics"]
    return int(np.searchsorted(samples, before)) + 1, len(seen)


def test_calls_are_those_that_the_black_box_saw():
    box = sx.BlackBox(bend, (D,))
    result = sx.learn(box, S, **SETTINGS)
    assert result.kept == LEARNED
    assert sum(result.source["calls"].values()) == box.answers


@pytest.mark.thorough
@pytest.mark.parametrize("objective", [{"teacher": 1.0}, {"teacher_mean": 1.0}])
def test_a_jax_function_gives_the_same_plan(objective):
    options = {"n": N, "memory": 1, "objective": objective}
    prior = sx.priors.Network(partial(bend, xp=jax.numpy), (D,))
    found, boxed, in_sevens = (
        sx.learn(one, 2, **options)
        for one in (prior, sx.BlackBox(bend, (D,)), sx.BlackBox(bend, (D,), batch=7))
    )
    # Derivatives are differences of float32 in both, and rounded in other places.
    for other in (boxed, in_sevens):
        assert found.value == pytest.approx(other.value, abs=0.01)
        np.testing.assert_allclose(found.plan.keep, other.plan.keep, rtol=0.01, atol=1e-4)


def test_float64_is_taken(whole):
    box = sx.BlackBox(lambda *a: bend(*a).astype(np.float64), (D,))
    assert sx.learn(box, S, **SETTINGS).value == pytest.approx(whole.value, abs=0.01)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (lambda x: x * np.nan, "NaN"),
        (lambda x: x[:, :2], "shape"),
        (lambda x: np.round(x).astype(int), "dtype"),
        (lambda x: x.tolist(), "list"),
    ],
)
def test_answers_of_another_kind_are_named(what, named):
    assert named in one_line(sx.learn, sx.BlackBox(Spoilt(30, what), (D,)), S, **SETTINGS)


def test_torch_tensors_are_named():
    torch = pytest.importorskip("torch")
    box = sx.BlackBox(Spoilt(30, torch.from_numpy), (D,))
    assert "torch.Tensor" in one_line(sx.learn, box, S, **SETTINGS)


def fall(error):
    def raise_it(x):
        raise error

    return raise_it


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("error", "cached"),
    [(ConnectionError("the server is gone"), False), (KeyboardInterrupt(), True)],
)
def test_what_was_interrupted_goes_on(error, cached, whole, tmp_path):
    first, last = batches_before_learning(whole)
    settings = {**SETTINGS, "cache": tmp_path} if cached else SETTINGS
    teacher._MEMORY.clear()
    spoilt = Spoilt((first + last) // 2 + 20, fall(error))
    with pytest.raises(type(error)) as caught:
        sx.learn(sx.BlackBox(spoilt, (D,)), S, **settings)
    assert any("kept" in note for note in caught.value.__notes__)
    if cached:  # as in another process
        assert len(list(tmp_path.glob("learning-*"))) == 1
        solve._STATES.clear()
        teacher._MEMORY.clear()
    result = sx.learn(sx.BlackBox(bend, (D,)), S, **settings)
    assert result.value == whole.value
    np.testing.assert_array_equal(result.schedule.logsnr, whole.schedule.logsnr)
    np.testing.assert_array_equal(result.history, whole.history)
    assert result.source["calls"]["learning"] < whole.source["calls"]["learning"]
    assert not solve._STATES
    assert not list(tmp_path.glob("learning-*"))


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_learn_any_denoiser import *

batches = 0

def denoise(x, alpha, sigma):
    global batches
    batches += 1
    if batches == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return bend(x, alpha, sigma)

sx.learn(sx.BlackBox(denoise, (D,)), S, **SETTINGS, cache={cache!r})
"""


@pytest.mark.thorough
def test_what_was_killed_goes_on(whole, tmp_path):
    first, last = batches_before_learning(whole)
    program = KILLED.format(
        tests=os.path.dirname(__file__), at=(first + last) // 2 + 20, cache=str(tmp_path)
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    solve._STATES.clear()
    teacher._MEMORY.clear()
    (file,) = tmp_path.glob("learning-*")
    result = sx.learn(sx.BlackBox(bend, (D,)), S, **SETTINGS, cache=tmp_path)
    assert result.value == whole.value
    assert result.source["calls"]["learning"] < whole.source["calls"]["learning"]
    assert not file.exists()


@pytest.mark.thorough
def test_a_damaged_state_is_learned_anew(whole, tmp_path):
    first, last = batches_before_learning(whole)
    spoilt = Spoilt((first + last) // 2 + 20, fall(KeyboardInterrupt()))
    teacher._MEMORY.clear()
    with pytest.raises(KeyboardInterrupt):
        sx.learn(sx.BlackBox(spoilt, (D,)), S, **SETTINGS, cache=tmp_path)
    (file,) = tmp_path.glob("learning-*")
    file.write_bytes(file.read_bytes()[:100])
    solve._STATES.clear()
    result = sx.learn(sx.BlackBox(bend, (D,)), S, **SETTINGS, cache=tmp_path)
    assert result.value == whole.value
    assert result.source["calls"]["learning"] == whole.source["calls"]["learning"]


@pytest.mark.parametrize("part", [0.15, 0.7])
def test_so_many_calls_and_the_best_so_far(whole, part):
    most = int(part * whole.source["calls"]["learning"])
    result = sx.learn(sx.BlackBox(bend, (D,), batch=16), S, **SETTINGS, max_calls=most)
    spent = result.source["calls"]["learning"]
    assert most <= spent < most + 16
    assert min(whole.baselines.values()) > result.value
    # Asked again it is the same: a bound is no interruption.
    again = sx.learn(sx.BlackBox(bend, (D,), batch=16), S, **SETTINGS, max_calls=most)
    assert (again.value, again.source["calls"]["learning"]) == (result.value, spent)


@pytest.mark.thorough
def test_a_bound_holds_over_an_interruption(whole):
    first, last = batches_before_learning(whole)
    most = whole.source["calls"]["learning"] - 100
    bounded = sx.learn(sx.BlackBox(bend, (D,)), S, **SETTINGS, max_calls=most)
    spoilt = Spoilt((first + last) // 2, fall(KeyboardInterrupt()))
    teacher._MEMORY.clear()
    with pytest.raises(KeyboardInterrupt):
        sx.learn(sx.BlackBox(spoilt, (D,)), S, **SETTINGS, max_calls=most)
    result = sx.learn(sx.BlackBox(bend, (D,)), S, **SETTINGS, max_calls=most)
    assert result.value == bounded.value


MEANS = np.array([[2.0, 0, 0, 0], [-2.0, 0, 0, 0], [0, 3.0, 0, 0]], np.float32)


def towards(mean, x, alpha, sigma):
    """Data of variance 1/4 around a mean, whose flow keeps y - mean's direction."""
    gain = alpha * 0.25 / (alpha**2 * 0.25 + sigma**2)
    return mean + gain * (x - alpha * mean)


def by_label(x, alpha, sigma, labels):
    return towards(MEANS[labels], x, alpha, sigma)


def test_labels_are_shared_out_among_all_noises():
    box, options = sx.BlackBox(by_label, (D,)), {"n": 20, "labels": [0, 1, 2]}
    for part in objectives(box, **options)[:3]:
        np.testing.assert_array_equal(part.taught.noises.conditions, np.arange(20) % 3)
        # The flow brings start / s_0, of variance 1, to mean + start / s_0 / 2.
        expected = MEANS[np.arange(20) % 3] + part.taught.noises.start / 2
        np.testing.assert_allclose(part.taught.target, expected, atol=0.05)
    result = sx.learn(box, 2, **options)
    assert result.source["labels"] == [0, 1, 2]
    assert result.value < min(result.baselines.values())


def test_conditions_are_any_tree():
    def by_tree(x, alpha, sigma, tree):
        return tree["scale"][:, None] * towards(tree["means"][0], x, alpha, sigma)

    tree = {"means": [MEANS], "scale": np.ones(3, np.float32)}
    found = sx.learn(sx.BlackBox(by_tree, (D,)), 2, n=20, conditions=tree)
    labelled = sx.learn(sx.BlackBox(by_label, (D,)), 2, n=20, labels=[0, 1, 2])
    assert found.value == labelled.value
    assert found.source["conditions"] == 3
    jitted = sx.priors.Network(by_tree, (D,))
    assert sx.learn(jitted, 2, n=20, conditions=tree).value == pytest.approx(found.value, abs=0.05)


def populations(x, alpha, sigma):
    """The exact denoiser of two scales: one sample in ten is twenty times as wide."""
    variances, parts = np.array([0.04, 16.0]), np.array([0.9, 0.1])
    total = alpha**2 * variances + sigma**2
    log = -0.5 * (x**2).sum(1)[:, None] / total - D / 2 * np.log(total) + np.log(parts)
    share = np.exp(log - log.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    return (share @ (alpha * variances / total))[:, None] * x


@pytest.mark.thorough
def test_the_default_objective_is_not_carried_by_the_tails():
    robust, mean = (
        sx.learn(sx.BlackBox(populations, (D,)), S, n=128, objective=objective)
        for objective in (None, {"teacher_mean": 1.0})
    )
    assert robust.objective == {"teacher": 1.0}
    assert robust.terms["teacher"] < 0.7 * mean.terms["teacher"]
    assert robust.terms["teacher_median"] < 0.7 * mean.terms["teacher_median"]


@pytest.mark.parametrize("steps", [2, 4])
def test_a_start_that_is_stationary_in_its_levels_is_left(steps):
    """As is the closed form, the best start, on data of one variance: then nothing is left."""
    spectrum = sx.Spectrum(np.full(D, 4.0))
    box = sx.BlackBox(lambda x, alpha, sigma: 4 * alpha * x / (4 * alpha**2 + sigma**2), (D,))
    result = sx.learn(sx.priors.Network(box, (D,), spectrum), steps, n=32)
    # Next to the teacher's own error.
    error = result.source["teacher"]["judging noise"]["error"]
    assert result.terms["teacher"] < 3 * error
    assert min(result.baselines.values()) > np.log(100 * error)
