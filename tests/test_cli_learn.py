"""``specjax learn`` as it is typed."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from checks import by_default
from plan_oracles import transfer_loss

import specjax as sx
from specjax.fitting.compare import heuristics
from specjax.gaussian.task import GaussianTask
from specjax.noise.families import noise_spectrum
from specjax.noise.noise_spectrum import same_noise
from specjax.noise.whitening import effective

QUICK = ("--n", 64, "--max-iterations", 20)


@pytest.fixture
def refused(run, tmp_path):
    """What is refused, in one line, with nothing left behind."""

    def command(*args):
        before = sorted(tmp_path.iterdir())
        code, out, err = run("learn", *args)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert sorted(tmp_path.iterdir()) == before
        return err

    return command


@pytest.mark.slow
@pytest.mark.parametrize("steps", by_default([((2, 3),), ((2,),)], 1))
def test_plans_up_the_ladder_and_again(run, tmp_path, steps):
    args = ("learn", "digits", "--steps", *steps, *QUICK, "--plot", "None", "--json")
    code, out, _ = run(*args)
    assert code == 0
    found = json.loads(out)
    files = ["plan.json"] if len(steps) == 1 else ["plan-2.json", "plan-3.json"]
    assert found["files"] == files
    values = {(v["steps"], v["plan"], v["on"]): v["value"] for v in found["verdicts"]}
    half = sx.priors.prior_of("empirical", sx.data.open("digits")).held_out
    key = jax.random.key(0)
    noise = np.random.default_rng(5).normal(size=(400, 8, 8)).astype(np.float32)
    fine = sx.plan("dpmpp_2m", sx.spectral(half.spectrum, 128))
    for plan, file in zip(found["plans"], files, strict=True):
        count = plan["steps"]
        result = sx.load(tmp_path / file)
        assert (
            result.value
            == plan["value"]
            == pytest.approx(values[count, "empirical", "empirical"], abs=1e-3)
        )
        assert plan["value"] < min(plan["baselines"].values())
        # On each rung its own plan is the better one.
        assert values[count, "gaussian", "gaussian"] < values[count, "empirical", "gaussian"]
        # And so it is for the other half of the data, from other noise.
        best = min(plan["baselines"], key=plan["baselines"].get)
        sampler, family = best.split()
        levels = heuristics(GaussianTask.resolve(half.spectrum))[family](count)
        ends = [
            np.asarray(sx.sample(one, half, key, noise.shape, start=noise))
            for one in (result.plan, sx.plan(sampler, levels), fine)
        ]
        learned, heuristic = (((x - ends[2]) ** 2).sum((1, 2)).mean() for x in ends[:2])
        assert learned < heuristic
        assert learned == pytest.approx(
            plan["terms"]["teacher_mean"], rel=0.3
        )  # 64 noises, 400 noises
    code, out, err = run(*args)
    assert json.loads(out)["plans"] == found["plans"]
    assert f"{files[0]} is there, learned in the same way: kept" in err


@pytest.mark.thorough
def test_the_table_and_the_picture(run, tmp_path):
    code, out, _ = run("learn", "digits", "--steps", 2, "--prior", "gaussian", "-o", "g.json")
    assert code == 0
    assert "learned on gaussian" in out
    assert "wrote g.json, g.png" in out
    assert (tmp_path / "g.png").read_bytes()[:4] == b"\x89PNG"
    result = sx.load(tmp_path / "g.json")
    noisy = float(result.schedule.alpha_bar[0])
    held_out = sx.priors.prior_of("gaussian", sx.data.open("digits")).held_out.spectrum
    limit = sx.limits.gaussian(held_out, 2, noisy=noisy)
    assert limit < np.exp(result.value) < 1.2 * limit


@pytest.mark.thorough
@pytest.mark.parametrize("basis", by_default(["fourier", "data"], 0))
def test_plans_of_data_under_a_noise(run, tmp_path, basis):
    args = ("--noise", "power-law", "--noise-exponent", -0.3, "--noise-basis", basis)
    code, out, _ = run("learn", "digits", "--steps", 2, "--prior", "gaussian", *args)
    assert code == 0
    place = "" if basis == "fourier" else " in the data basis"
    assert f"power-law (exponent -0.3, r0 0.01){place}" in out
    assert "0 of 64 directions" in out
    result, digits = sx.load(tmp_path / "plan.json"), sx.data.open("digits")
    own = digits.spectrum().basis if basis == "data" else None
    noise = noise_spectrum("power_law", (8, 8), exponent=-0.3, basis=basis, own=own)
    assert same_noise(result.noise, noise)
    # The half of the data that is held out, in dense matrices: whitened, decomposed, brought back.
    half = sx.priors.prior_of("empirical", digits, kernel_width=0.0).held_out.samples
    whitened = sx.Spectrum.from_samples(noise.whiten(half))
    units = whitened.lift(np.eye(64)).reshape(64, 8, 8)
    counts = (noise.color(units) ** 2).sum((1, 2))
    spectrum = sx.Spectrum(whitened.eigenvalues, whitened.mean, weights=counts)
    assert transfer_loss(result.plan, spectrum) == pytest.approx(np.exp(result.value), rel=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("exponent", by_default([None, -0.3], 1))
def test_through_the_network_of_a_run(run, tmp_path, monkeypatch, exponent):
    """Whose network is the ideal denoiser of digits, under the noise of the run."""
    opened = sx.data.open("digits")
    noise = None if exponent is None else noise_spectrum("power_law", (8, 8), exponent=exponent)
    spectrum = opened.spectrum()
    under = effective(spectrum, noise)
    made = SimpleNamespace(
        step=7, shape=(8, 8), classes=0, spectrum=spectrum, source=dict(opened.source),
        denoiser=lambda: sx.wiener(under), noise=noise, effective=under,
    )  # fmt: skip
    monkeypatch.setattr("specjax.nn.run.open_run", lambda path, step: made)
    monkeypatch.setattr("specjax.cli.learn_priors.is_run_folder", lambda name: name == "r")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    args = ("learn", "r", "--steps", 2, *QUICK, "--prior", "probed", "network", "--samples", 4)
    code, out, _ = run(*args)
    assert code == 0
    assert "learned on probed" in out
    assert "learned on network" in out
    result = sx.load(tmp_path / "plan.json")
    assert result.prior == "network"
    assert result.value < min(result.baselines.values())
    assert len(list((tmp_path / "cache" / "specjax" / "teachers").iterdir())) == 3
    assert same_noise(result.noise, noise)
    code, out, err = run("learn", "r", "--steps", 2, "--noise", "power-law", "-o", "other.json")
    assert (code, err.count("\n")) == (2, 1)
    assert "noise: r is a run" in err


@pytest.mark.thorough
def test_one_line_for_each_mistake(refused, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    levels = tmp_path / "levels.json"
    sx.save(levels, sx.family("karras", 3))
    for words, *args in (
        ("nowhere", "nowhere", "--steps", 3),
        ("steps", "digits", "--steps", 0),
        ("prior", "digits", "--steps", 3, "--prior", "guess"),
        ("prior", "digits", "--steps", 3, "--prior", "network"),
        ("prior", "digits", "--steps", 3, "--prior", "mixture", "mixture"),
        ("data", "digits", "--steps", 3, "--data", "patches"),
        ("held_out", "digits", "--steps", 3, "--held-out", 1),
        ("sampler", "digits", "--steps", 3, "--sampler", "heun"),
        ("groups", "digits", "--steps", 3, "--groups", "colours"),
        ("memory", "digits", "--steps", 3, "--memory", -1),
        ("objective", "digits", "--steps", 3, "--objective", "beauty=1"),
        ("objective", "digits", "--steps", 3, "--objective", "teacher=-1"),
        ("nowhere.json", "digits", "--steps", 3, "--start", "nowhere.json"),
        ("levels.json", "digits", "--steps", 3, "--start", "levels.json"),
        ("nowhere/plan.json", "digits", "--steps", 3, "--out", "nowhere/plan.json"),
        ("plot", "digits", "--steps", 3, "--out", "p.png", "--plot", "p.png"),
        ("plan.mp3", "digits", "--steps", 3, "--plot", "plan.mp3"),
        ("max_calls", "digits", "--steps", 3, "--max-calls", 0),
        ("alpha_bar_range", "digits", "--steps", 3, "--alpha-bar-range", 1, 0.5),
        ("objective", "digits", "--steps", 3, "--sampler", "ddpm", "--objective", "teacher=1"),
        ("noise", "digits", "--steps", 3, "--noise", "pink"),
        ("noise", "digits", "--steps", 3, "--noise-exponent", -1),
        ("nowhere.npy", "digits", "--steps", 3, "--noise", "nowhere.npy"),
    ):
        assert words in refused(*args), args


@pytest.mark.thorough
def test_a_teacher_that_does_not_converge(refused):
    args = ("digits", "--steps", 2, "--n", 4, "--prior", "empirical", "--teacher-tolerance", 1e-9)
    assert "teacher_tolerance" in refused(*args)


@pytest.mark.thorough
def test_the_limit_in_the_picture_is_that_of_the_loss():
    from specjax.cli.learn import _limit

    spectrum = sx.Spectrum.power_law(16, 2.0)
    result = sx.learn(spectrum, 2, loss="kl", max_iterations=200)
    limit = _limit(result, SimpleNamespace(last=SimpleNamespace(spectrum=spectrum)))
    assert limit * (1 - 1e-6) < np.exp(result.value) < 1.01 * limit  # W2's is nine times less
