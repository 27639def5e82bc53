import json

import numpy as np
import pytest

import specjax as sx

pytestmark = pytest.mark.usefixtures("beside_the_package")


def smallest(tmp_path, *rows):
    from experiments.high_frequencies.run import main

    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    main(["--smallest", "--rows", *rows, *folders])
    return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("results/*.json")}


@pytest.mark.thorough
def test_the_smallest_run_goes_on_where_it_was_ended_and_is_told(tmp_path, capsys):
    from experiments.high_frequencies import claims, plot, tables
    from experiments.high_frequencies.config import BANDS, EVERY, W2

    first = smallest(tmp_path, "digits")
    found = first["digits"]["samplers"]["ddim"]["3"]
    assert found[W2]["w2"] == min(one["w2"] for one in found.values())
    assert found[EVERY]["relative"] == min(one["relative"] for one in found.values())
    assert found[BANDS]["rms"] < found[W2]["rms"]
    capsys.readouterr()
    assert smallest(tmp_path, "digits") == first
    assert capsys.readouterr().out == ""
    results = tmp_path / "results"
    readme = tmp_path / "README.md"
    readme.write_text("\n".join(tables.MARKS))
    tables.main(results, readme)
    assert f"| {EVERY} | {found[EVERY]['rms']:.2f} (" in readme.read_text()
    gap = f"S = 3: {abs(found[EVERY]['decibel'][-1]):.2f} against"
    assert any("digits" in line and gap.replace(": ", ": -") in line
               for line in claims.lines_of(results))  # fmt: skip
    plot.main(results, tmp_path)
    assert {x.name for x in tmp_path.glob("*.png")} == {"bands.png", "shapes.png"}


@pytest.mark.slow
def test_the_network_is_measured_and_told(tmp_path):
    from experiments.high_frequencies import claims, plot, tables

    found = smallest(tmp_path, "network")
    assert found.keys() == {"network-0", "network-1"}
    results = tmp_path / "results"
    assert "seeds of the noise" in "\n".join(tables.lines_of(results))
    assert "UNet on digits, ddim, S = 3" in "\n".join(claims.lines_of(results))
    plot.main(results, tmp_path)
    assert (tmp_path / "network.png").exists()


def test_a_set_that_is_not_there_is_left_out_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPECJAX_DATA", str(tmp_path))
    assert smallest(tmp_path, "tfds:cifar10") == {}
    assert "left out: no tfds:cifar10 in" in capsys.readouterr().out


def test_weights_of_p_1_are_the_relative_loss(monkeypatch):
    """lambda^-1 (sqrt lambda - sqrt V)^2 = (1 - sqrt(V / lambda))^2, at any schedule."""
    from experiments.high_frequencies.spectra import stationary, weighted

    spectrum = stationary("digits", 300)
    for sampler in ("ddim", "ddpm"):
        schedule = sx.family("cosine", 6)
        ours = sx.loss(weighted(spectrum, 1.0), schedule, sampler=sampler, loss="w2")
        assert ours == pytest.approx(
            sx.loss(spectrum, schedule, sampler=sampler, loss="relative"), rel=1e-12
        )


def test_every_band_weighs_the_same():
    from experiments.high_frequencies.spectra import bands_of, stationary, weighted

    spectrum = stationary("digits", 300)
    members = bands_of(spectrum).members
    weight = np.asarray(weighted(spectrum, None).weights * spectrum.eigenvalues)
    assert np.bincount(members, weight) == pytest.approx(1.0, rel=1e-12)


def test_predicted_bands_are_those_of_samples_of_the_gaussian():
    """200,000 draws of what a plan makes of a Gaussian: five standard errors, 2 / n per square."""
    from experiments.high_frequencies.network import predicted
    from specjax.evaluate.power_spectrum import band_power

    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 4, 4)).cumsum(1).cumsum(2)
    spectrum = sx.Spectrum.from_samples(data)
    plan = sx.plan("ddim", sx.family("cosine", 4, alpha_bar_range=(1e-3, 1.0)))
    moments, n = sx.transfer(plan, spectrum), 50_000
    white = rng.normal(size=(n, 16))
    made = spectrum.lift(moments.mean_gain * spectrum.mean + np.sqrt(moments.variance) * white)
    ideal = spectrum.lift(spectrum.mean + np.sqrt(spectrum.eigenvalues) * rng.normal(size=(n, 16)))
    ideal += data.mean(0) - ideal.mean(0)  # powers are around the data's mean
    decibel = band_power(made, ideal).decibel
    error = 10 / np.log(10) * np.sqrt(2 * 2 / n)
    assert np.abs(predicted(plan, spectrum) - decibel).max() < 5 * error


def test_results_are_what_theory_says_of_their_levels():
    """DDIM to a noise-free end: D1 = sqrt(1/A) cos(phi_0) prod cos(phi_k - phi_k+1) (DESIGN.md)."""
    from experiments.high_frequencies.spectra import bands_of, stationary
    from experiments.high_frequencies.tables import found_of

    found = found_of("digits")["samplers"]["ddim"]
    spectrum = stationary("digits", None)
    lam = spectrum.eigenvalues
    for name, one in found["5"].items():
        s = np.append(np.exp(-np.array(one["logsnr"]) / 2), 0.0)
        angle = np.arctan(s[:, None] / np.sqrt(lam))
        noisy = 1 / (1 + s[0] ** 2)
        gain = np.cos(angle[0]) / np.sqrt(noisy) * np.cos(angle[:-1] - angle[1:]).prod(0)
        members = bands_of(spectrum).members
        decibel = 10 * np.log10(np.bincount(members, gain**2) / np.bincount(members, lam))
        assert one["decibel"] == pytest.approx(decibel, abs=2e-4), name


def test_results_of_equal_steps_are_the_same_error_for_every_band():
    """DESIGN.md: log std errs by -E / (2 S); for u' constant E = u' / 2, whatever lambda is."""
    from experiments.high_frequencies.tables import found_of

    one = found_of("digits")["samplers"]["ddim"]["50"]["uniform_logsnr"]
    span, steps = (one["logsnr"][-1] - one["logsnr"][0]) / 2, 49
    ideal = -20 / np.log(10) * span / (4 * steps)
    assert one["decibel"] == pytest.approx(np.full(len(one["decibel"]), ideal), rel=0.02)
