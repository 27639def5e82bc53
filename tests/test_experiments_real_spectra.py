import json

import numpy as np
import pytest

REGIMES = ("ddim, w2, S = 10", "ddpm, w2, S = 50", "ddim, kl, S = 50", "ddpm, kl, S = 10")


pytestmark = pytest.mark.usefixtures("beside_the_package")


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Two folders of noise that is low-pass (AR(1)), instead of the real ones."""
    soundfile = pytest.importorskip("soundfile")
    from scipy.signal import lfilter

    rng = np.random.default_rng(0)
    for name in ("spoken_digits", "piano_notes"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for i in range(4):
            sound = lfilter([1.0], [1.0, -0.9], rng.normal(size=6000))
            soundfile.write(folder / f"{i}.wav", 0.9 * sound / np.abs(sound).max(), 8000)
    monkeypatch.setenv("SPECJAX_DATA", str(tmp_path / "data"))


def smallest(tmp_path, *data):
    from experiments.__main__ import main

    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    main(["run", "real_spectra", "--smallest", "--cases", *data, "cross", *folders])
    return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("results/*.json")}


@pytest.mark.slow
def test_the_smallest_run_goes_on_where_it_was_ended(tmp_path, capsys, recordings, monkeypatch):
    from experiments.__main__ import draw
    from experiments.real_spectra import summary

    first = smallest(tmp_path, "spoken_digits", "piano_notes", "fashion_mnist")
    assert "fashion_mnist is skipped" in capsys.readouterr().out
    assert {"cross", "windows-piano_notes", "units-spoken_digits"} < first.keys()
    assert smallest(tmp_path, "spoken_digits", "piano_notes") == first
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(summary, "SHOWN", "ddim, w2, S = 3")
    assert summary.tables(tmp_path / "results")
    assert summary.more_tables(tmp_path / "results")
    draw(["real_spectra"], tmp_path / "results", tmp_path)
    verdicts = {one.claim: one.verdict for one in summary.claims(tmp_path / "results")}
    assert verdicts["60,000 pieces of clothing, 28x28: its schedules"] == "not yet run"
    assert "2 real spectra, ddim, w2, S = 3: the learned schedule beats every heuristic" in verdicts
    pictures = {"spectra.png", "schedules-3.png", "cross-3.png"}
    assert {x.name for x in tmp_path.glob("*.png")} == pictures


def result(name):
    from experiments.experiment import load

    path = load("real_spectra").results / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} has not been run")
    return json.loads(path.read_text())


def spectrum_of_digits():
    """Positive eigenvalues and coefficients of the mean of the digits in [-1, 1], by NumPy."""
    from sklearn.datasets import load_digits

    x = load_digits().data / 8 - 1
    eigenvalues, vectors = np.linalg.eigh(np.cov(x.T))
    kept = eigenvalues > 1e-12
    return eigenvalues.clip(0), vectors.T @ x.mean(0), kept


def moments(sampler, lam, s, alpha_bar):
    """Variance and error of the mean by the closed forms of DDIM and DDPM, clean end s = 0.

    s: noise levels sigma/alpha from clean (0) to noisy; alpha_bar: of the noisy end.
    """
    column = lam[:, None]
    angles = np.arctan2(s, np.sqrt(column))
    ddim = np.cos(angles[:, -1]) * np.prod(np.cos(np.diff(angles, axis=1)), axis=1)
    if sampler == "ddim":  # D1 of the noise; 1 - D2 = sqrt(alpha_bar) D1
        gain = ddim / np.sqrt(alpha_bar)
        return gain**2, np.sqrt(alpha_bar) * gain
    a, b = s[:-1] ** 2, s[1:] ** 2
    noise = np.sum(a * (b - a) / b / (column + a) ** 2, axis=1)
    start = 1 / (column[:, 0] + b[-1]) ** 2
    return lam**2 * (start / alpha_bar + noise), np.sqrt(alpha_bar) * lam * np.sqrt(
        start / alpha_bar
    )


@pytest.mark.parametrize("regime", REGIMES)
def test_losses_of_the_digits_are_those_of_the_closed_forms(regime):
    one = result("schedules-digits")["regimes"][regime]
    floor = result("schedules-digits")["config"]["floor"]
    lam, mean, kept = spectrum_of_digits()
    sampler, loss, _ = regime.split(", ")
    if loss == "kl":
        lam, kept = np.maximum(lam, floor), np.ones_like(kept)
    logsnr = np.array(one["logsnr"])
    s = np.append(np.exp(-logsnr / 2), 0.0)[::-1]
    variance, miss = moments(sampler, lam[kept], s, 1 / (1 + np.exp(-logsnr[0])))
    if loss == "w2":
        value = np.sum((np.sqrt(lam[kept]) - np.sqrt(variance)) ** 2 + (miss * mean[kept]) ** 2)
    else:
        ratio = lam[kept] / variance
        value = np.sum(ratio - 1 - np.log(ratio) + (miss * mean[kept]) ** 2 / variance) / 2
    assert one["value"] == pytest.approx(value, rel=1e-6)


def test_averaging_over_shifts_keeps_the_variance_and_flattens_the_spectrum():
    """The diagonal in any basis is majorised by the eigenvalues (Schur): no fewer directions."""
    for name in ("digits", "patches", "fashion_mnist", "cifar10", "spoken_digits", "piano_notes"):
        found = result(f"estimates-{name}")["estimates"]
        full = found["full"]
        for method in ("shift-invariant", "low-rank"):
            assert found[method]["variance"] == pytest.approx(full["variance"], rel=1e-6)
        for share, n in found["shift-invariant"]["directions"].items():
            assert n >= full["directions"][share]


def test_nothing_costs_less_than_the_optimum_of_the_spectrum_that_judges():
    for one in result("cross")["regimes"].values():
        assert np.min(one["ratio"]) > 1 - 1e-6
        assert np.min(one["held_out"]) > 1 - 1e-6


def test_the_error_from_halves_is_the_standard_error_of_a_mean():
    from experiments.real_spectra.spectra import half_error, halves_of

    n, splits = 400, 300
    x = np.random.default_rng(1).normal(size=n)
    halves = [halves_of(np.arange(n), seed) for seed in range(splits)]
    assert all((first ^ second).all() and first.sum() == n // 2 for first, second in halves)
    found = half_error(np.array([x[mask].mean() for pair in halves for mask in pair]))
    expected = x.std(ddof=1) / n**0.5
    assert found == pytest.approx(expected, rel=4 / (2 * splits) ** 0.5)  # four standard errors


def test_halves_keep_recordings_together():
    from experiments.real_spectra.spectra import halves_of

    part = np.repeat(np.arange(5), [1, 7, 2, 3, 4])
    first, second = halves_of(part, 0)
    assert not set(part[first]) & set(part[second])
    assert len(set(part[first])) == 3


def test_the_area_tells_convex_from_concave():
    from experiments.real_spectra.schedules import area

    t = np.linspace(0, 1, 51)
    assert area(np.sin(np.pi / 2 * t) ** 2) == pytest.approx(0.5, abs=1e-12)  # cosine
    assert area(t**2) == pytest.approx(1 / 3 + 1 / (6 * 50**2), abs=1e-12)  # trapezoids of t^2
    assert area(np.sqrt(t)) > 0.66
