"""Sweeps over noises, their tables, files and pictures."""

import json

import numpy as np
import pytest

import specjax as sx
from specjax._core.checks import UserError
from specjax.report.figures import sweep_figure
from specjax.spectra.basis import DenseBasis
from specjax.sweep.noises import noises_of

pytestmark = pytest.mark.thorough

NOISY = 4.0358e-5


def waves(length=8, seed=0):
    """A shift-invariant spectrum of signals: its eigenvectors are Fourier modes."""
    x = np.random.default_rng(seed).normal(size=(200, length)).cumsum(1)
    return sx.Spectrum.from_samples(x - x.mean(0), method="shift-invariant")


def diagonal(eigenvalues):
    d = len(eigenvalues)
    return sx.Spectrum(eigenvalues, basis=DenseBasis(np.eye(d), (d,)))


@pytest.fixture(scope="module")
def found():
    noises = [None, {"family": "power-law", "exponent": [-0.5, 0.5]}]
    return sx.sweep({"waves": waves()}, [3], losses=["w2", "kl"], noises=noises)


@pytest.mark.slow
def test_rows_are_the_fits_under_each_noise(found):
    rows = found.table.to_pylist()
    assert len(rows) == 6
    for row in rows:
        known = json.loads(row["noise_parameters"])
        noise = None
        if row["noise"] != "isotropic":
            assert (row["noise"], known["r0"]) == ("power-law", 0.01)
            noise = sx.noise_spectrum("power_law", (8,), exponent=known["exponent"])
        fit = sx.fit(waves(), 3, loss=row["loss"], noise=noise)
        assert row["value"] == pytest.approx(fit.value, rel=1e-6)
        assert row["fingerprint"] == fit.source["fingerprint"]
        np.testing.assert_allclose(row["logsnr"], fit.schedule.logsnr, atol=1e-3)
    assert {json.loads(row["noise_parameters"]).get("exponent") for row in rows} == {
        None, -0.5, 0.5,
    }  # fmt: skip


def test_noise_of_the_datas_own_spectrum_in_closed_form():
    """Effective eigenvalues of 1: S steps of DDIM keep cos(phi / S)^S (DESIGN, section 3)."""
    lam = np.array([4.0, 1.0, 0.25])
    noise = sx.NoiseSpectrum(np.sqrt(lam), (3,), basis="data")
    made = sx.sweep({"d": diagonal(lam)}, [2, 4], losses=["w2", "kl"], noises=[noise])
    phi = np.arccos(np.sqrt(NOISY))
    for row in made.table.to_pylist():
        gain = np.cos(phi / row["steps"]) ** row["steps"]
        kl = len(lam) / 2 * (gain**-2 - 1 + 2 * np.log(gain))
        want = lam.sum() * (1 - gain) ** 2 if row["loss"] == "w2" else kl
        assert row["value"] == pytest.approx(want, rel=1e-7)
        angles = np.arctan(np.exp(-np.array(row["logsnr"]) / 2))
        np.testing.assert_allclose(angles, np.linspace(phi, 0, row["steps"] + 1), atol=1e-6)
        assert row["noise"] == "weights"
        assert row["dimension"] == 3


def test_columns_of_noise_are_in_tables_of_noises_alone():
    spectrum = waves()
    plain = sx.Sweep({"waves": spectrum}, [3])
    for noises in (["isotropic"], [sx.noise_spectrum("isotropic", (8,))]):
        assert sx.Sweep({"waves": spectrum}, [3], noises=noises).fingerprint == plain.fingerprint
    assert sx.Sweep({"waves": spectrum}, [3], noises=["power-law"]).fingerprint != plain.fingerprint
    table = sx.sweep(plain).table
    assert not {"noise", "noise_parameters"} & set(table.column_names)
    assert table.column("fingerprint").to_pylist() == [spectrum.fingerprint]


def test_a_folder_is_of_its_noises(tmp_path):
    law = {"family": "power-law", "exponent": -0.5}
    axes = {"spectra": {"waves": waves()}, "steps": [3], "out": tmp_path / "s"}
    assert sx.sweep(**axes, noises=[law]).fits == 1
    assert sx.sweep(**axes, noises=[law]).fits == 0
    for other in ([None], ["power-law"]):
        with pytest.raises(UserError, match=r"its noises"):
            sx.sweep(**axes, noises=other)


def test_listed_options_are_axes():
    table = {"family": "two-band", "gains": [[0.2, 0.8], (0.5, 0.5)], "offset": [0, 0.1]}
    gains = [[0.2, 0.8], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]]
    assert [dict(one.options)["gains"] for one in noises_of(table)] == gains
    one = noises_of({"family": "power-law", "omit": [0.5, 1.0]})
    assert [dict(noise.options) for noise in one] == [{"omit": [0.5, 1.0]}]
    channels = noises_of({"family": "power-law", "exponent": [[-0.1, 0.0, 0.1]]})
    assert [dict(noise.options) for noise in channels] == [{"exponent": [-0.1, 0.0, 0.1]}]


def test_each_spectrum_has_noise_of_its_own_shape():
    wanted = sx.Sweep({"a": waves(8), "b": waves(9)}, [3], noises=[None, "power-law"])
    assert wanted.size == 4
    noises = [(one.name, one.spectrum.noise) for one in wanted.effective_spectra]
    shapes = [(name, noise and noise.shape) for name, noise in noises]
    assert shapes == [("a", None), ("a", (8,)), ("b", None), ("b", (9,))]


def test_mistakes_in_noises(tmp_path):
    for noises, name in [
        (["powerlaw"], "'power_law'"),
        ([{"family": "power-law", "decay": 1.0}], "power_law = 'decay'"),
        ([{"exponent": 1.0}], "noises"),
        ([3], "noises has 3"),
        ([], "noises"),
        (["power-law", {"family": "power_law"}], "noises has .*power_law"),
        ([{"family": "two-band", "low": [0, 0.6]}], "two_band on waves"),
        ([sx.noise_spectrum("power_law", (9,))], "on waves"),
        ([{"family": "power-law", "exponent": float("nan")}], "exponent"),
    ]:
        with pytest.raises(UserError, match=name) as found:
            sx.sweep({"waves": waves()}, [3], noises=noises, out=tmp_path / "s")
        assert "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_spectra_without_a_basis_take_noise_in_the_basis_data_alone():
    law = {"law": sx.Spectrum.power_law(8, 1.0)}
    with pytest.raises(UserError, match="power_law on law"):
        sx.Sweep(law, [3], noises=["power-law"])
    wanted = sx.Sweep(law, [3], noises=[{"family": "power-law", "basis": "data"}])
    assert [one.spectrum.noise.basis for one in wanted.effective_spectra] == ["data"]


def test_a_sweep_file(run, tmp_path):
    sx.save(tmp_path / "waves.npz", waves())
    sx.save(tmp_path / "kept.json", sx.noise_spectrum("exponential", (8,), decay=2.0))
    (tmp_path / "s.toml").write_text(
        'spectra = ["waves.npz"]\nsteps = [3]\n'
        'noises = ["isotropic", "kept.json", { family = "power-law", exponent = [-0.5, 0.5] }]\n'
    )
    code, out, err = run("sweep", "s.toml")
    assert code == 0, err
    assert "x 4 noises" in out
    for label in ("ddim, isotropic", "exponential (decay = 2)", "power-law (exponent = -0.5)"):
        assert label in out
    code, out, _ = run("sweep", "s.toml", "--json")
    found = json.loads(out)
    assert found["axes"]["noises"] == 4
    (loss,) = found["losses"]
    rows = loss["samplers"]
    assert [row["noise"] for row in rows] == ["isotropic", "exponential", "power-law", "power-law"]
    assert rows[2]["noise_parameters"] == {"exponent": -0.5, "r0": 0.01}


def test_mistakes_in_a_sweep_file(run, tmp_path):
    sx.save(tmp_path / "waves.npz", waves())
    for noises, name in [
        ('["none.json"]', "none.json"),
        ('[{ family = "power-law", exponents = [1] }]', "'exponent'"),
        ('"power-law"', "noises = 'power-law'"),
    ]:
        (tmp_path / "s.toml").write_text(f'spectra=["waves.npz"]\nsteps=[3]\nnoises={noises}\n')
        code, out, err = run("sweep", "s.toml")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert name in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.toml", "waves.npz"]


def test_the_picture_has_a_panel_for_each_noise(found):
    figure = sweep_figure(found.table)
    titles = [axes.get_title("left") for axes in figure.axes]
    for name in ("isotropic", "power-law -0.5", "power-law 0.5"):
        assert sum(title.startswith(name) for title in titles) == 2  # losses
    assert any(title.startswith("Learned levels by spectrum and noise") for title in titles)
    assert figure.get_suptitle().startswith("Sweep: waves, 3 noises, ddim")


def test_recommend_under_a_noise():
    lam = np.array([4.0, 1.0, 0.25])
    noise = sx.NoiseSpectrum(np.sqrt(lam), (3,), basis="data")
    phi = np.arccos(np.sqrt(NOISY))
    losses = [lam.sum() * (1 - np.cos(phi / s) ** s) ** 2 for s in (1, 2, 3)]
    assert losses[1] > 1.0 > losses[2]
    best = sx.recommend(diagonal(lam), 1.0, samplers=["ddim"], noise=noise, max_steps=3)[0]
    assert (best.reached, best.steps) == (True, 3)
    assert best.value == pytest.approx(losses[2], rel=1e-7)
