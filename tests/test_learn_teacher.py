"""Fine solutions: their accuracy, what is kept of them, and answers that are not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import one_line

import specjax as sx
from specjax import files
from specjax.learning import teacher
from specjax.learning.answers import Answers
from specjax.learning.objectives import TRAINING, noises_of
from specjax.learning.settings import LearnSettings
from specjax.learning.teacher import check_answers, teacher_solutions
from specjax.priors import Gaussian, Network

LAM, MU = np.array([4.0, 0.5, 0.02]), np.array([0.5, -1.0, 0.0])
PRIOR = Gaussian(sx.Spectrum(LAM, MU))
NOISY = 4.0358e-5


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(teacher, "_MEMORY", type(teacher._MEMORY)())


def settings_of(prior, n=16, **options):
    return LearnSettings.resolve(n=n, objective={"teacher": 1.0}, **options).for_prior(prior)


def solve(prior, *, progress=None, tolerance=0.05, answers=None, **options):
    settings = settings_of(prior, teacher_tolerance=tolerance, **options)
    noises, answers = noises_of(prior, settings, TRAINING), answers or answers_of(prior)
    return teacher_solutions(prior, noises, answers, settings, progress)


def answers_of(prior):
    return Answers(prior, network=False)


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
    ends = (NOISY, clean)
    options = {"process": process, "alpha_bar_range": ends, "n": 64}
    noise = noises_of(PRIOR, settings_of(PRIOR, **options), TRAINING).start
    expected = exact(noise.astype(np.float64), ends, process)
    spread = np.sqrt(np.mean((expected - expected.mean(0)) ** 2))
    before = np.inf
    for tolerance in (0.03, 0.0002):
        found = solve(PRIOR, tolerance=tolerance, **options)
        gap = found.samples - expected
        assert found.change <= tolerance
        # What twice the steps change, on 16 noises of 64, is 7 / 8 of an error of third order, and
        # half of one of first order: that of the last step to s = 0.
        error = np.sqrt(np.mean(gap**2)) / spread
        assert error / 2 < found.change < 2 * error
        assert 0.2 < found.error / np.median((gap**2).sum(1)) < 2
        assert error < before
        before = error
    assert found.steps > teacher.FEWEST


def test_the_steps_are_doubled_until_little_changes():
    seen = []
    found = solve(PRIOR, progress=lambda *now: seen.append(now), tolerance=1e-3, n=50)
    few = solve(PRIOR, tolerance=10.0)
    assert few.steps == teacher.FEWEST
    assert few.change > 1e-3
    # On 16 noises up to twice the steps, then on all 50.
    assert seen[-1] == (50 * found.steps, 50 * found.steps)
    steps = [done // 16 for done, most in seen if done == most][:-1]
    assert steps == [teacher.COARSE, *(2**k for k in range(4, int(np.log2(found.steps)) + 2))]


def test_other_noises_of_the_prior_need_as_many_steps():
    first, answers = solve(PRIOR, tolerance=1e-3), answers_of(PRIOR)
    settings = settings_of(PRIOR, n=50, teacher_tolerance=1e-3, seed=1)
    noises = noises_of(PRIOR, settings, TRAINING)
    found = teacher_solutions(PRIOR, noises, answers, settings, None, first)
    assert (found.steps, found.error) == (first.steps, first.error)
    assert answers.calls == 50 * first.steps + 16 * teacher.COARSE


def test_a_teacher_that_has_not_converged_is_refused():
    text = one_line(sx.learn, PRIOR, 2, objective={"teacher": 1.0}, n=4, teacher_tolerance=1e-9)
    assert "teacher_tolerance" in text


def towards(variance):
    def denoise(x, alpha, sigma):
        return alpha * variance * x / (alpha**2 * variance + sigma**2)

    return denoise


def test_a_folder_keeps_them(tmp_path):
    first = solve(PRIOR, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    answers = answers_of(PRIOR)
    assert solve(PRIOR, cache=tmp_path, answers=answers) is first  # it is remembered
    teacher._MEMORY.clear()
    again = solve(PRIOR, cache=tmp_path, answers=answers)
    assert answers.calls == 2 * 16 * teacher.COARSE
    np.testing.assert_array_equal(again.samples, first.samples)
    assert (again.steps, again.change) == (first.steps, first.change)
    # Half of the file, another key in it, and no zip at all: it is made anew, and kept.
    whole = file.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"PK"):
        teacher._MEMORY.clear()
        file.write_bytes(broken)
        np.testing.assert_array_equal(solve(PRIOR, cache=tmp_path).samples, first.samples)
        assert files.read(file, {"teacher": 2}).arrays["samples"].shape == first.samples.shape
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
    found = solve(prior, n=4, tolerance=9.0, alpha_bar_range=ends)
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
    prior = Network(towards(1.0), (3,))
    answers, plan = answers_of(prior), sx.plan("ddim", sx.family("cosine", 6))
    check_answers(answers, plan, noises_of(prior, settings_of(prior, n=5), TRAINING))
    assert answers.calls == 6 * 5
