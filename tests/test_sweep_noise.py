"""Sweeps over noises, their tables, files and pictures."""

import hashlib
import json
import re

import numpy as np
import pytest

import specjax as sx
from specjax.report.figures import sweep_figure
from specjax.spectra.basis import DenseBasis
from specjax.sweep.noises import expanded_noise

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


def test_without_noises_a_sweep_is_the_one_that_it_was():
    spectrum = waves()
    asked = {"spectra": [["waves", spectrum.fingerprint]], "steps": [3],
             "samplers": [{"name": "ddim"}], "losses": ["w2"], "processes": ["vp"],
             "alpha_bar_ranges": [[NOISY, 1.0]], "seeds": [0], "restarts": None, "nodes": 40,
             "max_iterations": 500, "tolerance": None}  # fmt: skip
    before = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    for noises in ([None], ["isotropic"], [sx.noise_spectrum("isotropic", (8,))]):
        assert sx.Sweep({"waves": spectrum}, [3], noises=noises).fingerprint == before
    assert sx.Sweep({"waves": spectrum}, [3], noises=["power-law"]).fingerprint != before
    plain = sx.sweep({"waves": spectrum}, [3])
    assert not {"noise", "noise_parameters"} & set(plain.table.column_names)
    assert plain.table.column("fingerprint").to_pylist() == [spectrum.fingerprint]


def test_a_folder_is_of_its_noises(tmp_path):
    law = {"family": "power-law", "exponent": -0.5}
    axes = {"spectra": {"waves": waves()}, "steps": [3], "out": tmp_path / "s"}
    assert sx.sweep(**axes, noises=[law]).fits == 1
    assert sx.sweep(**axes, noises=[law]).fits == 0
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["format_version"] == 2
    with pytest.raises(ValueError, match=r"holds another sweep .its noises: .*isotropic"):
        sx.sweep(**axes)
    with pytest.raises(ValueError, match=r"holds another sweep .its noises"):
        sx.sweep(**axes, noises=["power-law"])


def test_listed_options_are_axes():
    table = {"family": "two-band", "gains": [[0.2, 0.8], (0.5, 0.5)], "offset": [0, 0.1]}
    gains = [[0.2, 0.8], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]]
    assert [dict(one.options)["gains"] for one in expanded_noise(table)] == gains
    one = expanded_noise({"family": "power-law", "omit": [0.5, 1.0]})
    assert [dict(noise.options) for noise in one] == [{"omit": [0.5, 1.0]}]
    channels = expanded_noise({"family": "power-law", "exponent": [[-0.1, 0.0, 0.1]]})
    assert [dict(noise.options) for noise in channels] == [{"exponent": [-0.1, 0.0, 0.1]}]


def test_each_spectrum_has_noise_of_its_own_shape():
    wanted = sx.Sweep({"a": waves(8), "b": waves(9)}, [3], noises=[None, "power-law"])
    assert wanted.size == 4
    for (name, place), spectrum in wanted.under.items():
        shape = {"a": (8,), "b": (9,)}[name]
        assert spectrum.noise is None if place == 0 else spectrum.noise.shape == shape


@pytest.mark.parametrize(
    ("noises", "said"),
    [
        (["powerlaw"], "did you mean 'power_law'"),
        ([{"family": "power-law", "decay": 1.0}], "noises: option of power_law = 'decay'"),
        ([{"exponent": 1.0}], "give a family, a table with family and options, or a noise"),
        ([3], "noises has 3"),
        ([], "noises = .*at least one"),
        (["power-law", {"family": "power_law"}], "noises has .* twice"),
        ([{"family": "two-band", "low": [0, 0.6]}], "two_band on waves: the bands .* overlap"),
        ([sx.noise_spectrum("power_law", (9,))], r"on waves: the noise is of samples of shape"),
        ([{"family": "power-law", "exponent": float("nan")}], "give finite numbers"),
    ],
)
def test_mistakes_in_noises(tmp_path, noises, said):
    with pytest.raises(ValueError, match=said) as found:
        sx.sweep({"waves": waves()}, [3], noises=noises, out=tmp_path / "s")
    assert "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_spectra_without_a_basis_take_noise_in_the_basis_data_alone():
    law = {"law": sx.Spectrum.power_law(8, 1.0)}
    with pytest.raises(ValueError, match="on law: the spectrum has no basis"):
        sx.Sweep(law, [3], noises=["power-law"])
    under = sx.Sweep(law, [3], noises=[{"family": "power-law", "basis": "data"}]).under
    assert [spectrum.noise.basis for spectrum in under.values()] == ["data"]


def test_a_sweep_file(run, tmp_path):
    sx.save(tmp_path / "waves.npz", waves())
    sx.save(tmp_path / "kept.json", sx.noise_spectrum("exponential", (8,), decay=2.0))
    (tmp_path / "s.toml").write_text(
        'spectra = ["waves.npz"]\nsteps = [3]\n'
        'noises = ["isotropic", "kept.json", { family = "power-law", exponent = [-0.5, 0.5] }]\n'
    )
    code, out, err = run("sweep", "s.toml")
    assert (code, err) == (0, "")
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


@pytest.mark.parametrize(
    ("noises", "said"),
    [
        ('["none.json"]', "cannot read .*none.json"),
        ('["waves.toml.json"]', "cannot read"),
        ('[{ family = "power-law", exponents = [1] }]', "did you mean 'exponent'"),
        ('"power-law"', "noises = 'power-law': give a list"),
    ],
)
def test_mistakes_in_a_sweep_file(run, tmp_path, noises, said):
    sx.save(tmp_path / "waves.npz", waves())
    (tmp_path / "s.toml").write_text(f'spectra=["waves.npz"]\nsteps=[3]\nnoises={noises}\n')
    code, out, err = run("sweep", "s.toml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(said, err)
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
    best = sx.recommend(diagonal(lam), 1.0, samplers=["ddim"], noise=noise, most_steps=3)[0]
    assert (best.reached, best.steps) == (True, 3)
    assert best.value == pytest.approx(losses[2], rel=1e-7)
