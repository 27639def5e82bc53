"""The bench: rivals' schedules, what is kept in a folder, the command."""

import itertools
import json

import numpy as np
import pytest

import specjax as sx
from specjax.bench import rivals
from specjax.learning.answers import Answers
from specjax.learning.trajectories import Noises, follow

EIGENVALUES = np.array([3.0, 0.2])


def denoise(x, alpha, sigma):
    return alpha * EIGENVALUES / (alpha**2 * EIGENVALUES + sigma**2) * x + 0.05 * np.sin(x)


def box():
    return sx.BlackBox(lambda x, a, s: denoise(x, a, s).astype("f4"), (2,), batch=8)


def test_gits_is_the_best_of_all_choices_of_levels():
    """Every choice of 3 jumps among 7 levels, each jump Euler's from the fine trajectory."""
    fine = sx.plan("dpmpp_2m", sx.family("karras", 6, alpha_bar_range=(1e-3, 1.0)), "ve")
    noises = Noises(np.random.default_rng(0).standard_normal((5, 2)).astype("f4"))
    answers = Answers(box(), network=True)
    path = follow(fine, answers, noises)
    s = np.append(fine.sigma, 0.0)
    y = [one[0].astype(float) for one in path.registers]

    def cost(levels):
        total = 0.0
        for i, j in itertools.pairwise(levels):
            jump = y[i] + (s[j] - s[i]) * (y[i] - path.answers[i]) / s[i]
            total += np.sqrt(((jump - y[j]) ** 2).sum(1).mean())
        return total

    choices = [(0, *one, 6) for one in itertools.combinations(range(1, 6), 2)]
    best = min(choices, key=cost)
    found = rivals.gits(fine, answers, noises)(3)
    np.testing.assert_allclose(found.sigmas, s[list(best)], rtol=1e-6, atol=1e-12)


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
    assert len(list(tmp_path.iterdir())) == 3
    denoiser = box()
    found = sx.bench(denoiser, [2, 3], folder=tmp_path, progress=False, **OPTIONS)
    whole = denoiser.answers
    again = sx.bench(denoiser, [2, 3], folder=tmp_path, progress=False, **OPTIONS)
    assert denoiser.answers - whole == 2 * 6 < whole  # which recognise the denoiser, for each seed
    assert found.rows == again.rows
    assert found.calls == [2, 3]
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
    assert found.methods == ["a weight a step, learned", "learned plan"]
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
