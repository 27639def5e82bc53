"""fit, compare, show, recommend and export with --noise, as a user runs them."""

import json
import re

import numpy as np
import pytest

import specjax as sx
from specjax.report.figures import fit_figure
from specjax.spectra.basis import DenseBasis

NOISY = 4.0358e-5
LAM = np.array([4.0, 1.0, 0.25])
PHI = np.arccos(np.sqrt(NOISY))


@pytest.fixture
def files(tmp_path):
    """Data of a known spectrum, signals, and weights that make all effective eigenvalues 1."""
    sx.save(tmp_path / "known.npz", sx.Spectrum(LAM, basis=DenseBasis(np.eye(3), (3,))))
    np.save(tmp_path / "nu.npy", np.sqrt(LAM))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(200, 8)).cumsum(1))


OWN = ("--noise", "nu.npy", "--noise-basis", "data", "--noise-as-is")


def gain(steps):
    """Of DDIM on the cosine schedule where lambda = 1 (DESIGN, section 3)."""
    return np.cos(PHI / steps) ** steps


@pytest.mark.slow
def test_fit_where_the_noise_has_the_spectrum_of_the_data(run, tmp_path, files):
    args = ("fit", "known.npz", "--steps", 4, *OWN)
    code, out, err = run(*args, "--plot", "None")
    assert (code, err) == (0, "")
    assert "noise: weights of its own in the data basis" in out
    assert "omitted" not in out
    assert "generalised eigenproblem" not in out
    found = sx.load(tmp_path / "schedule.json")
    assert found.value == pytest.approx(LAM.sum() * (1 - gain(4)) ** 2, rel=1e-7)
    np.testing.assert_allclose(np.arctan(found.schedule.sigmas), np.linspace(PHI, 0, 5), atol=1e-6)
    np.testing.assert_array_equal(found.noise.weights, np.sqrt(LAM))
    code, out, _ = run("show", "schedule.json")
    assert code == 0
    assert "noise: weights of its own in the data basis" in out
    code, out, _ = run(*args, "--plot", "None", "--loss", "kl", "--json", "--force")
    row = json.loads(out)["schedules"][0]
    assert row["value"] == pytest.approx(
        3 / 2 * (gain(4) ** -2 - 1 + 2 * np.log(gain(4))), rel=1e-7
    )


@pytest.mark.slow
def test_compare_takes_schedules_of_its_noise_alone(run, tmp_path, files):
    sx.save(tmp_path / "white.json", sx.fit(sx.Spectrum(LAM), 4))
    noise = sx.NoiseSpectrum(np.sqrt(LAM), (3,), basis="data")
    sx.save(tmp_path / "own.json", sx.fit(sx.Spectrum(LAM), 4, noise=noise))
    args = ("compare", "known.npz", "--steps", 4, "--json")
    code, out, err = run(*args, *OWN, "--schedule", "own.json", "14.6,1,0")
    assert (code, err) == (0, "")
    (one,) = json.loads(out)["comparisons"]
    values = {row["name"]: row["value"] for row in one["schedules"]}
    assert values["own.json"] == pytest.approx(LAM.sum() * (1 - gain(4)) ** 2, rel=1e-7)
    kept = np.prod(np.cos(np.diff(np.arctan([14.6, 1.0, 0.0]))))  # lambda = 1: nothing else
    assert values["14.6,1,0"] == pytest.approx(LAM.sum() * (1 - kept) ** 2, rel=1e-7)
    for more, made, used in (
        ((*OWN, "--schedule", "white.json"), "isotropic", "weights of its own"),
        (("--schedule", "own.json"), "weights of its own", "isotropic"),
    ):
        code, out, err = run(*args, *more)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert re.search(f"json was made for {made}.* noise, the comparison has {used}", err)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "apart"), [("exact", True), ("shift-invariant", False)])
def test_omitted_directions_and_the_metric_are_said(run, tmp_path, files, method, apart):
    """|f| / f_Nyquist of 8 numbers: 0, 1/4, 1/2, 3/4, 1, 3/4, 1/2, 1/4; three are in the band."""
    args = ("fit", "x.npy", "--method", method, "--steps", 3, "--noise", "power-law",
            "--noise-omit", 0.7, 1, "--plot", "None")  # fmt: skip
    code, out, err = run(*args)
    assert (code, err) == (0, "")
    assert "3 of 8 directions" in out
    assert ("no less than the squared Wasserstein distance" in out) == apart
    code, out, _ = run(*args, "--json", "--loss", "kl", "--force")
    noise = json.loads(out)["noise"]
    assert (noise["omitted"], noise["dimension"], noise["omit"]) == (3, 8, [0.7, 1.0])
    assert (noise["metric"] is not None) == apart
    if apart:
        assert "kl is exact all the same" in noise["metric"]


@pytest.mark.slow
def test_recommend_and_export(run, tmp_path, files):
    args = ("recommend", "known.npz", "--target-loss", 1.0, "--sampler", "ddim", *OWN)
    code, out, err = run(*args, "--max-steps", 3, "-o", "best.json")
    assert (code, err) == (0, "")
    assert out.startswith("ddim reaches w2 = 1 with 3 steps")  # .636; 2 steps have 1.296
    best = sx.load(tmp_path / "best.json")
    assert best.value == pytest.approx(LAM.sum() * (1 - gain(3)) ** 2, rel=1e-7)
    assert best.noise is not None
    code, out, err = run("export", "best.json", "--to", "csv")
    assert code == 0
    assert "note: learned for weights of its own in the data basis noise" in err
    code, out, err = run("export", "best.json", "--to", "comfyui", "-o", "sigmas.txt")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "sigmas.txt").exists()


def test_a_probe_of_another_noise_is_refused(run, tmp_path, files):
    white = sx.Spectrum(LAM)
    x = np.random.default_rng(0).normal(size=(20, 3)) * np.sqrt(LAM)
    sx.save(tmp_path / "p.npz", sx.probe(sx.wiener(white), x, white, levels=[-1.0, 1.0], n=20))
    code, out, err = run("fit", "known.npz", "--steps", 3, "--denoiser", "p.npz", *OWN)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the probe was made for isotropic noise" in err


def test_the_picture_names_the_noise():
    noise = sx.noise_spectrum("power_law", (3,), exponent=-0.5, basis="data")
    under = sx.effective(sx.Spectrum(LAM), noise)
    schedule = sx.family("cosine", 3)
    figure = fit_figure(under, {"cosine": schedule}, learned="cosine")
    assert "noise: power-law (exponent -0.5, r0 0.01) in the data basis" in figure.get_suptitle()
    assert "variance of data over noise" in figure.axes[2].get_xlabel()
    (line,) = [one for one in figure.axes[2].lines if one.get_label() == "cosine"]
    np.testing.assert_allclose(line.get_xdata(), np.sort(LAM / noise.weights**2))
