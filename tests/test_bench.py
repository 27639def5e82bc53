"""The bench: rivals' schedules, what is kept in a folder, the command."""

import itertools
import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import specjax as sx
from specjax.bench import rivals, schedules
from specjax.learning import non_uniform
from specjax.learning.answers import Answers
from specjax.learning.trajectories import Noises, end_of, follow
from specjax.schedules.level_range import LevelRange

EIGENVALUES = np.array([3.0, 0.2])


def denoise(x, alpha, sigma):
    return alpha * EIGENVALUES / (alpha**2 * EIGENVALUES + sigma**2) * x + 0.05 * np.sin(x)


def box():
    return sx.BlackBox(lambda x, a, s: denoise(x, a, s).astype("f4"), (2,), batch=8)


def test_gits_is_the_best_of_all_choices_of_levels():
    """Every choice of 3 jumps among 7 levels, each jump Euler's from the fine trajectory.

    The distance from a line is that to its nearest point, by SciPy's search.
    """
    fine = sx.plan("dpmpp_2m", sx.family("karras", 6, alpha_bar_range=(1e-3, 1.0)), "ve")
    noises = Noises(np.random.default_rng(0).standard_normal((5, 2)).astype("f4"))
    answers = Answers(box(), network=True)
    path = follow(fine, answers, noises)
    s = np.append(fine.sigma, 0.0)
    y = [one[0].astype(float) for one in path.registers]

    def far(points):
        def one(point, start, end):
            def gap(t):
                return ((start + t * (end - start) - point) ** 2).sum()

            return math.sqrt(minimize_scalar(gap, options={"xtol": 1e-12}).fun)

        return np.mean([one(*each) for each in zip(points, y[0], y[-1], strict=True)])

    def cost(levels):
        total = 0.0
        for k, (i, j) in enumerate(itertools.pairwise(levels)):
            jump = y[i] + (s[j] - s[i]) * (y[i] - path.answers[i]) / s[i]
            total += 1.15**k * (far(jump) - far(y[j]))
        return total

    choices = [(0, *one, 6) for one in itertools.combinations(range(1, 6), 2)]
    best = min(choices, key=cost)
    found = schedules.gits(path, s)(3)
    np.testing.assert_allclose(found.sigmas, s[list(best)], rtol=1e-6, atol=1e-12)


def test_optimal_stepsize_is_best_where_it_is_exhaustive():
    """In two steps all levels between are tried, each path Euler's own from where it is."""
    fine = sx.plan("dpmpp_2m", sx.family("karras", 8, alpha_bar_range=(1e-3, 1.0)), "ve")
    noises = Noises(np.random.default_rng(0).standard_normal((5, 2)).astype("f4"))
    answers = Answers(box(), network=True)
    path, s = follow(fine, answers, noises), np.append(fine.sigma, 0.0)

    def outcome(level):
        plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([s[0], level, 0.0]), "ve")
        return ((end_of(plan, answers, noises) - path.samples) ** 2).mean()

    make = schedules.optimal_stepsize(path, s, answers, None)
    levels = s[2:8:2]  # every other one
    assert make(2).sigmas[1] == pytest.approx(min(levels, key=outcome))
    assert make(1).sigmas.tolist() == pytest.approx([s[0], 0.0])
    assert (np.diff(make(4).sigmas) < 0).all()
    assert set(rivals.plans(4, {"few": make}, {"DDIM": "ddim"}, "vp")) == {("DDIM", "few")}
    assert not rivals.plans(6, {"few": make}, {"DDIM": "ddim"}, "vp")  # among 4 levels and 0


def test_the_bound_of_align_your_steps_is_that_of_a_gaussian():
    """x_t = x_s + noise: E |D_t - D_s|^2 is the difference of the variances of their means.

    D_s is the mean of D_t given x_s, so that E D_t D_s = E D_s^2 = lambda^2 / (lambda + s^2).
    """
    variance, s = 0.7, np.append(np.geomspace(20, 0.05, 13), 0.0)
    exact = sx.BlackBox(lambda x, a, t: (variance / (variance + t * t) * x).astype("f4"), (200,))
    clean = np.random.default_rng(1).normal(0, variance**0.5, (400, 200)).astype("f4")
    make = schedules.klub(clean, s, Answers(exact, network=True), None)

    def bound(levels):
        total = 0.0
        for i, j in itertools.pairwise(levels):
            t = np.linspace(np.log(s[i]), np.log(s[min(j, 12)]), 400)
            of = [variance**2 / (variance + x**2) for x in (np.exp(t), s[i])]
            total -= np.trapezoid((of[0] - of[1]) / np.exp(2 * t), t)
        return total

    choices = [(0, *one, 13) for one in itertools.combinations(range(1, 13), 3)]
    ranked = sorted(choices, key=bound)
    found = tuple(int(np.abs(s - x).argmin()) for x in make(4).sigmas)
    assert found in ranked[:3]
    assert bound(found) < 1.02 * bound(ranked[0])  # the trapezoid rule between few levels


def test_the_bound_of_non_uniform_steps_is_made_of_lagranges_integrals():
    """Four steps, of order 1, 2, 2 and 1: the last begins at the fourth answer."""
    from scipy.integrate import quad

    rising = np.array([-3.0, -1.2, 0.1, 1.5, 2.5])

    def error(x):
        alpha_bar = 1 / (1 + np.exp(-2 * x))
        return (1 - alpha_bar) / np.sqrt(alpha_bar)

    def weights(n, order):
        nodes = rising[n : n - order if n >= order else None : -1] if order > 1 else rising[[n]]

        def lagrange(x, j):
            others = np.delete(nodes, j)
            return np.exp(x) * np.prod((x - others) / (nodes[j] - others))

        return [quad(lagrange, *rising[n : n + 2], args=(j,))[0] * error(nodes[j])
                for j in range(order)]  # fmt: skip

    expected = sum(np.hypot.reduce(weights(n, order)) for n, order in enumerate((1, 2, 2, 1)))
    assert non_uniform.error_bound(rising) == pytest.approx(expected, rel=1e-9)


def test_non_uniform_steps_are_better_than_all_of_others():
    """Beside families, and beside small changes of each level."""
    ends = (4.0358e-5, 1 - 1e-4)
    for steps in (2, 5, 9):
        found = non_uniform.non_uniform(steps, ends).logsnr / 2
        least = non_uniform.error_bound(found)
        for name in ("uniform_logsnr", "linear", "karras", "cosine"):
            other = sx.family(name, steps, alpha_bar_range=ends).logsnr / 2
            assert least < non_uniform.error_bound(other)
        for k, change in itertools.product(range(1, steps), (-0.02, 0.02)):
            moved = found + change * (np.arange(steps + 1) == k)
            assert non_uniform.error_bound(moved) > least * (1 - 1e-6)
    assert non_uniform.non_uniform(3, (1e-3, 1.0)).ends_clean


def test_a_rival_of_two_calls_a_step_has_no_more_calls():
    makers = {"karras": lambda steps: sx.family("karras", steps, alpha_bar_range=(1e-3, 1.0))}
    for calls in (2, 3, 4, 5):
        found = rivals.plans(calls, makers, rivals.RIVALS, "vp")
        assert {name for name, _ in found} == set(rivals.RIVALS)
        assert found["Heun", "karras"].calls == calls - (calls % 2 == 0)
        assert {one.calls for (name, _), one in found.items() if name != "Heun"} == {calls}


OPTIONS = {
    "judging": 8, "n": 8, "seeds": 2, "rivals": ["DDIM", "UniPC-2"], "fine": 32, "max_calls": 600,
    "alpha_bar_range": (1e-3, 1.0),
}  # fmt: skip


def test_a_bench_goes_on_from_its_folder(tmp_path):
    asked = []

    def progress(done, total):
        asked.append((done, total))
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sx.bench(box(), [2, 3], folder=tmp_path, progress=progress, **OPTIONS)
    assert asked[-1] == (9, 12)
    assert len(list(tmp_path.glob("*.npz"))) == 3
    denoiser = box()
    found = sx.bench(denoiser, [2, 3], folder=tmp_path, progress=False, **OPTIONS)
    whole = denoiser.answers
    again = sx.bench(denoiser, [2, 3], folder=tmp_path, progress=False, **OPTIONS)
    assert denoiser.answers - whole == 2 * 6 < whole  # which recognise the denoiser, for each seed
    assert found.rows == again.rows
    assert found.calls == [2, 3]
    plan = sx.load(tmp_path / "seed-0-calls-3-plan.json")
    assert plan.steps == 3
    assert plan.source["calls"]["learning"] == found.row("learned plan", 3).learning[0]["learning"]
    assert found.methods == ["learned plan", "DDIM", "UniPC-2"]
    learned = found.row("learned plan", 3)
    assert len(learned.values["mean"]) == len(learned.learning) == 2
    assert max(one["learning"] for one in learned.learning) <= 600 + 8  # the last batch
    assert learned.estimate("geometric_mean").value < found.best_rival(3).estimate("mean").value
    assert found.samples[3]["fine solution"].shape == (8, 2)
    other = sx.BlackBox(lambda x, a, s: denoise(x, a, s).astype("f4") * 1.01, (2,), batch=8)
    for asked in ((box(), {**OPTIONS, "judging": 9}), (other, OPTIONS)):
        with pytest.raises(sx.UserError, match="folder"):
            sx.bench(asked[0], [2, 3], folder=tmp_path, **asked[1])


def test_all_that_is_learned_and_measured():
    """Parts have no more numbers than the plan; a measure of the user's sees samples of both."""
    seen = []

    def widths(samples, reference):
        seen.append((samples.shape, reference.shape))
        return abs(samples.std() / reference.std() - 1)

    options = {**OPTIONS, "seeds": 1, "rivals": [], "measures": {"width": widths}}
    found = sx.bench(box(), [3], learned=["plan", "pas"], progress=False, **options)
    assert set(seen) == {((8, 2), (16, 2)), ((8, 2), (8, 2))}
    assert found.methods == ["learned plan", "a weight a step, learned"]
    row = found.row("learned plan", 3)
    assert row.values.keys() == set(found.measures) > found.fine.keys() == found.floor.keys()
    assert len(row.bands[0]) == 2  # two numbers, two components
    with pytest.raises(sx.UserError, match="rivals"):
        found.best_rival(3)
    for bad in ({"mean": widths}, {"width": 3}):
        with pytest.raises(sx.UserError, match="measures"):
            sx.bench(box(), [2], measures=bad)


def test_variances_are_compared_band_by_band():
    """A reference of 6 directions of known variance, and samples that are 1.1 times as wide."""
    from specjax.bench.measures import Reference

    rng = np.random.default_rng(0)
    white = np.linalg.qr(rng.normal(size=(40, 7)))[0]
    white = np.linalg.qr(white - white.mean(0))[0][:, :6]  # orthonormal, and of zero mean
    white -= white.mean(0)
    scales = np.array([6.0, 5, 4, 3, 2, 1])
    wider = np.array([1.1, 1.0, 0.9, 0.9, 1.3, 1.0])
    reference = Reference.of(white * scales, 4)
    bands = reference.compare(white * scales * wider, {})["bands"]
    expected = [0.21, 0.0, -0.19, (1.69 * 4 + 1) / 5 - 1]
    np.testing.assert_allclose(bands, expected, atol=1e-6)
    copies = reference.compare(white * scales, {})
    assert (copies["precision"], copies["recall"]) == (1, 1)
    assert (
        copies["frechet"] == pytest.approx(copies["sliced"], abs=1e-9) == pytest.approx(0, abs=1e-9)
    )
    broken = reference.compare(np.full((5, 6), np.nan), {"own": lambda a, b: 0.0})
    assert broken["own"] == broken["sliced"] == np.inf > broken["recall"] == 0


def test_from_pure_noise_in_flow_matching():
    options = {**OPTIONS, "seeds": 1, "process": "flow", "alpha_bar_range": (0.0, 1.0)}
    found = sx.bench(box(), [3], progress=False, **options)
    assert found.methods == ["learned plan", "DDIM", "UniPC-2"]
    assert all(np.isfinite(row.values["mean"]).all() for row in found.rows)


def test_what_does_not_exist_is_refused():
    for options in ({"rivals": ["Euler"]}, {"learned": ["all"]}, {"measure": "median"}):
        with pytest.raises(sx.UserError, match=next(iter(options))):
            sx.bench(box(), [2], **options)


@pytest.mark.thorough
def test_the_command_writes_numbers_and_a_picture(tmp_path, monkeypatch, capsys):
    from specjax.cli import main

    monkeypatch.chdir(tmp_path)
    np.save("data.npy", np.random.default_rng(0).normal(size=(64, 4)).astype("f4"))
    argv = ["bench", "data.npy", "--calls", "3", "--rivals", "DDIM", "UniPC-2", "--n", "16"]
    main([*argv, "--judging", "16", "--seeds", "2", "--html", "bench.html"])
    text = capsys.readouterr().out
    assert "UniPC-2" in text
    document = json.loads((tmp_path / "bench.json").read_text())
    assert {row["method"] for row in document["rows"]} == {"learned plan", "DDIM", "UniPC-2"}
    assert (tmp_path / "bench.png").stat().st_size > 1000
    assert (tmp_path / "bench.html").exists()
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2  # bench.json exists


def test_non_uniform_levels_do_not_hang_on_rounding():
    ends = (math.exp(-10), 1.0)
    last = -math.log(0.01)
    moved = []
    for change in (0.0, 1e-9, -1e-9):
        levels = non_uniform.non_uniform(10, (math.exp(-10 + change), ends[1])).logsnr[:-1] / 2
        moved.append(non_uniform.error_bound(np.append(levels, last)))
    # One run of the search, to SciPy's own tolerance, ended anywhere between 10.8 and 18.6.
    assert max(moved) < 1.02 * min(moved)
    assert max(moved) < 11


def test_equal_steps_go_down_to_a_level_and_then_to_the_clean_end():
    levels = LevelRange((math.exp(-10), 1.0))
    found = schedules.equal_steps(levels, 0.1, 5)
    np.testing.assert_allclose(np.diff(found.logsnr[:-1]), np.log(found.sigmas[0] / 0.1) / 2)
    assert found.sigmas[-2:] == pytest.approx([0.1, 0.0])
    assert schedules.equal_steps(LevelRange((0.0, 1.0)), 0.1, 4).starts_pure
