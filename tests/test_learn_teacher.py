"""Fine solutions: their accuracy, what is kept of them, and answers that are not finite."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line
from plan_oracles import objectives

import specjax as sx
from specjax import files
from specjax.learning import teacher
from specjax.learning.settings import LearnSettings
from specjax.learning.teacher import check_answers, teacher_solutions
from specjax.priors import Gaussian, Network

LAM, MU = np.array([4.0, 0.5, 0.02]), np.array([0.5, -1.0, 0.0])
PRIOR = Gaussian(sx.Spectrum(LAM, MU))
NOISY = 4.0358e-5


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(teacher, "_MEMORY", type(teacher._MEMORY)())


def objective_of(prior, n=16, **options):
    """An objective whose noise is solved from; it asks for no teacher itself."""
    return objectives(prior, objective={"energy": 1.0}, n=n, data=np.eye(4, 3), **options).training


def solve(prior, objective=None, progress=None, tolerance=0.05, **options):
    settings = LearnSettings.resolve(teacher_tolerance=tolerance, **options)
    return teacher_solutions(prior, objective or objective_of(prior), settings, progress)


def exact(noise, ends, process):
    """The flow of a Gaussian: y - mu shrinks with its standard deviation sqrt(lambda + s^2)."""
    s = [np.sqrt((1 - a) / a) for a in ends]
    begun = noise * (np.hypot(1, s[0]) if process == "vp" else s[0])
    ratio = np.sqrt((LAM + s[1] ** 2) / (LAM + s[0] ** 2))
    y = MU + ratio * (begun - MU)
    return y * np.sqrt(ends[1]) if process == "vp" else y


@pytest.mark.thorough
@pytest.mark.parametrize("process", ["vp", "ve"])
@pytest.mark.parametrize("clean", [1.0, 0.99])
def test_solutions_are_as_accurate_as_they_say(clean, process):
    objective, ends = objective_of(PRIOR, process=process), (NOISY, clean)
    expected = exact(np.asarray(objective.noise, np.float64), ends, process)
    spread = np.sqrt(np.mean((expected - expected.mean(0)) ** 2))
    before = np.inf
    for tolerance in (0.03, 0.002):
        found = solve(PRIOR, objective, tolerance=tolerance, process=process, alpha_bar_range=ends)
        error = np.sqrt(np.mean((found.samples - expected) ** 2)) / spread
        assert found.change <= tolerance
        assert error < found.change  # of second order: about a third of it
        assert found.steps > teacher.FEWEST
        assert error < before
        before = error


def test_the_steps_are_doubled_until_little_changes():
    seen = []
    found = solve(PRIOR, progress=lambda *now: seen.append(now), tolerance=0.002)
    few = solve(PRIOR, tolerance=10.0)
    assert few.steps == 2 * teacher.FEWEST
    assert few.change > 0.002
    assert seen[-1] == (found.steps, found.steps)
    assert [most for _, most in seen[::2]] == [64 * 2**k for k in range(len(seen) // 2)]


def test_a_teacher_that_has_not_converged_is_refused():
    text = one_line(sx.learn, PRIOR, 2, objective={"teacher": 1.0}, n=4, teacher_tolerance=1e-9)
    assert "teacher_tolerance" in text


class Counted:
    """A denoiser that counts how often it is traced or called, and answers as `answer`."""

    def __init__(self, answer):
        self.answer, self.calls = answer, 0

    def __call__(self, x, alpha, sigma):
        self.calls += 1
        return self.answer(x, alpha, sigma)


def towards(variance):
    def denoise(x, alpha, sigma):
        return alpha * variance * x / (alpha**2 * variance + sigma**2)

    return denoise


def test_a_folder_keeps_them(tmp_path, monkeypatch):
    first = solve(PRIOR, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    made, solved = teacher._solve, []
    monkeypatch.setattr(teacher, "_solve", lambda *a: (solved.append(a[-1]), made(*a))[1])
    assert solve(PRIOR, cache=tmp_path) is first  # it is remembered
    teacher._MEMORY.clear()
    again = solve(PRIOR, cache=tmp_path)
    assert solved == [teacher.COARSE] * 2
    np.testing.assert_array_equal(again.samples, first.samples)
    assert (again.steps, again.change) == (first.steps, first.change)
    # Half of the file, another key in it, and no zip at all: it is made anew, and kept.
    whole = file.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"PK"):
        teacher._MEMORY.clear()
        file.write_bytes(broken)
        np.testing.assert_array_equal(solve(PRIOR, cache=tmp_path).samples, first.samples)
        assert files.read(file, {"teacher": 1}).arrays["samples"].shape == first.samples.shape
    other = Gaussian(sx.Spectrum(2 * LAM, MU))
    teacher._MEMORY.clear()
    assert np.abs(solve(other, cache=tmp_path).samples - first.samples).max() > 0.1
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_remembered_is_bounded_by_its_bytes(monkeypatch):
    first = solve(PRIOR)
    monkeypatch.setattr(teacher, "_MOST_BYTES", 2 * first.bytes)
    others = [Gaussian(sx.Spectrum(k * LAM, MU)) for k in (2, 3)]
    second, third = (solve(prior) for prior in others)
    assert list(teacher._MEMORY.values()) == [second, third]
    assert solve(PRIOR) is not first
    monkeypatch.setattr(teacher, "_MOST_BYTES", first.bytes - 1)  # the next is too large by itself
    solve(others[0])
    assert not teacher._MEMORY


def test_functions_of_one_name_are_told_apart(tmp_path):
    # Both are `towards.<locals>.denoise`, without arrays: only their answers differ.
    one, two = (Network(towards(variance), (3,)) for variance in (1.0, 4.0))
    assert one.fingerprint == two.fingerprint
    first, second = (solve(prior, cache=tmp_path) for prior in (one, two))
    np.testing.assert_allclose(second.samples, 2 * first.samples, rtol=0.1, atol=0.05)


def test_modules_of_other_formulas_are_told_apart(tmp_path):
    # The same arrays, read as eps and as v.
    kernel = jnp.asarray(np.diag([0.1, 0.2, 0.3]), jnp.float32)
    network = jax.tree_util.Partial(lambda k, x, level: x @ k, kernel)
    first, second = (
        solve(prior, cache=tmp_path)
        for prior in (Network(make(network), (3,)) for make in (sx.from_eps, sx.from_v))
    )
    assert np.abs(first.samples - second.samples).max() > 1e-2


def broken_below(least):
    def denoise(x, alpha, sigma):
        return jnp.where(sigma / alpha < least, jnp.nan, 1.0) * towards(1.0)(x, alpha, sigma)

    return denoise


def test_a_level_where_answers_are_not_finite_is_named():
    prior = Network(broken_below(0.1), (3,))
    text = one_line(sx.learn, prior, 4, n=4)
    assert "alpha_bar_range" in text
    sigma = float(text.split("sigma = ")[1].split(" ")[0])
    logsnr = float(text.split("logsnr ")[1].split(")")[0])
    assert 0 < sigma < 0.1
    assert logsnr == pytest.approx(-2 * np.log(sigma), abs=1e-2)
    # The remedy: an end before it.
    ends = (NOISY, 1 / (1 + 0.11**2))
    found = solve(prior, objective_of(prior, 4), tolerance=9.0, alpha_bar_range=ends)
    assert np.isfinite(found.samples).all()


def test_one_bad_level_of_a_heuristic_is_named_too():
    levels = np.asarray(sx.family("cosine", 4, alpha_bar_range=(NOISY, 1.0)).logsnr)
    bad = float(np.exp(-levels[2] / 2))

    def denoise(x, alpha, sigma):
        here = jnp.abs(sigma / alpha / bad - 1) < 1e-4
        return jnp.where(here, jnp.inf, 1.0) * towards(1.0)(x, alpha, sigma)

    text = one_line(sx.learn, Network(denoise, (3,)), 4, n=4, data=np.eye(8, 3),
                    objective={"energy": 1.0})  # fmt: skip
    assert f"at sigma = {bad:.4g}" in text
    assert "call 3 of 4" in text


def test_answers_are_checked_in_as_many_calls_as_the_plan_has():
    counted = Counted(towards(1.0))
    prior = Network(counted, (3,))
    objective, plan = objective_of(prior), sx.plan("ddim", sx.family("cosine", 6))
    with jax.disable_jit():
        check_answers(replace(objective, call_by_call=True), plan)
    assert counted.calls == 6
