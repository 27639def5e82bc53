"""Noises in files, in exports, and as the option --noise; limits under a noise."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import specjax as sx
from specjax.files import checksum
from specjax.files.forward_noise import ForwardNoise
from specjax.gaussian.probe import MEASURED
from specjax.noise.noise_spectrum import same_noise
from specjax.spectra.basis import DenseBasis

EIGENVALUES = np.array([4.0, 1.0, 0.25, 0.04])
OWN = sx.NoiseSpectrum(np.sqrt(EIGENVALUES), (4,), basis="data")


def spectrum(eigenvalues=EIGENVALUES):
    d = len(eigenvalues)
    return sx.Spectrum(eigenvalues, basis=DenseBasis(np.eye(d), (d,)))


@pytest.fixture(scope="module")
def learned():
    return sx.fit(spectrum(), 3, noise=OWN)


def rewritten(path, change):
    """A file whose content was changed by someone who knows how its checksum is made."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps({**document, "checksum": checksum(document)}))
    return path


@pytest.mark.parametrize(
    "noise",
    [
        sx.noise_spectrum("power_law", (6, 5, 3), exponent=-0.3),
        sx.noise_spectrum("power_law", (6, 5, 2), exponent=[-0.3, 0.1], omit=(0.9, 1.0)),
        sx.noise_spectrum("two_band", (8,), gains=(0.2, 0.8), basis="cosine", normalise=False),
        sx.noise_spectrum("exponential", (7, 2), spatial=1, offset=0.3),
        sx.noise_spectrum("power_law", (32, 32), exponent=jnp.float32(-0.3123)),
        sx.noise_spectrum("two_band", (32, 32), gains=jnp.asarray([0.31, 0.72], jnp.float32)),
        sx.NoiseSpectrum([2.0, 1.0, 0.0, 1.0], (4,)),
        OWN,
    ],
    ids=lambda noise: noise.name,
)
def test_a_noise_file_has_the_same_noise(tmp_path, noise):
    path = sx.save(tmp_path / "noise.json", noise)
    back = sx.load(path)
    np.testing.assert_allclose(back.weights, noise.weights, rtol=1e-15)
    assert (back.shape, back.basis, back.spatial) == (noise.shape, noise.basis, noise.spatial)
    assert back.name == noise.name
    assert json.loads(path.read_text())["format"] == "specjax.noise"


def test_a_noise_file_can_be_read_without_specjax(tmp_path):
    path = sx.save(tmp_path / "noise.json", sx.NoiseSpectrum([2.0, 1.0, 0.0, 1.0], (4,)))
    found = json.loads(path.read_text())
    assert found["format_version"] == 1
    assert found["noise"]["weights"] == [2.0, 1.0, 0.0, 1.0]
    assert (found["noise"]["shape"], found["noise"]["basis"]) == ([4], "fourier")
    law = sx.noise_spectrum("power_law", (4,), exponent=-0.5)
    found = json.loads(sx.save(path, law).read_text())["noise"]
    assert (found["family"], found["parameters"]) == ("power_law", {"exponent": -0.5, "r0": 0.01})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["noise"]["weights"].__setitem__(0, 3.0), "other weights than this version"),
        (lambda d: d["noise"]["weights"].__setitem__(0, -1.0), r"1 negative value"),
        (lambda d: d["noise"].update(weights=[1.0]), r"weights has shape \(1,\)"),
        (lambda d: d["noise"].update(basis="walsh"), "basis = 'walsh' is unknown"),
        (lambda d: d["noise"].pop("shape"), "shape"),
        (lambda d: d.pop("noise"), "noise"),
        (lambda d: d.update(noise=None), "noise file"),
    ],
)
def test_a_changed_noise_file_is_refused(tmp_path, change, said):
    path = sx.save(tmp_path / "n.json", sx.NoiseSpectrum([2.0, 1.0, 0.0, 1.0], (4,)))
    with pytest.raises(ValueError, match=said) as found:
        sx.load(rewritten(path, change))
    assert str(path) in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.thorough
def test_a_schedule_file_keeps_its_noise(tmp_path, learned):
    path = sx.save(tmp_path / "s.json", learned)
    back = sx.load(path)
    assert same_noise(back.noise, OWN)
    assert back.noise.name == learned.noise.name
    # The nodes are folded: any schedule can be judged without the data, in its units.
    assert sx.loss(back.nodes, back.schedule) == pytest.approx(learned.value, rel=1e-12)
    damaged = rewritten(path, lambda d: d["noise"]["weights"].__setitem__(0, 5.0))
    with pytest.raises(ValueError, match=r"s\.json: the noise in the file .*make the file again"):
        sx.load(damaged)


@pytest.mark.thorough
def test_without_a_noise_files_name_none(tmp_path):
    for noise in (None, sx.noise_spectrum("isotropic", (4,))):
        path = sx.save(tmp_path / "s.json", sx.fit(spectrum(), 3, noise=noise))
        document = json.loads(path.read_text())
        assert "noise" not in document
        assert sx.load(path).noise is None


@pytest.mark.parametrize("noise", [None, OWN], ids=["isotropic", "data"])
def test_a_probe_file_keeps_its_noise(tmp_path, noise):
    under = sx.effective(spectrum(), noise)
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=(2, 4)) for name in MEASURED}
    probe = sx.Probe(under, np.array([-1.0, 1.0]), **values, standard_errors=values)
    back = sx.load(sx.save(tmp_path / "p.npz", probe))
    assert back.fingerprint == probe.fingerprint
    assert same_noise(back.spectrum.noise, noise)
    if noise is None:
        assert back.spectrum.whitening is None
    else:
        np.testing.assert_allclose(back.spectrum.whitening.variance, EIGENVALUES, rtol=1e-15)


def test_the_option_takes_files(tmp_path, learned):
    law = sx.noise_spectrum("power_law", (4,), exponent=-0.5)
    path = str(sx.save(tmp_path / "n.json", law))
    choice = ForwardNoise(noise=path)
    choice.check()
    assert same_noise(choice.on(spectrum()), law)
    schedule = ForwardNoise(noise=str(sx.save(tmp_path / "s.json", learned)))
    given = schedule.on(spectrum())
    assert same_noise(given, OWN)
    assert given.own is not None  # that of the spectrum: files do not hold it
    with pytest.raises(ValueError, match=r"of shape \(4,\), these are of \(5,\)"):
        choice.on(spectrum(np.ones(5)))
    for more, said in (
        ({"noise_basis": "cosine"}, "leave out noise_basis"),
        ({"noise_exponent": -1.0}, "exponent of power-law noise"),
        ({"noise_omit": (0.5, 1.0)}, "has weights of its own"),
    ):
        with pytest.raises(ValueError, match=said):
            ForwardNoise(noise=path, **more).check()
    with pytest.raises(ValueError, match=r"cannot read .*No such file"):
        ForwardNoise(noise="none.json").check()
    white = sx.save(tmp_path / "w.json", sx.fit(spectrum(), 3))
    with pytest.raises(ValueError, match="of isotropic noise; leave it out"):
        ForwardNoise(noise=str(white)).check()


@pytest.mark.parametrize(
    "options",
    [
        {"noise_omit": (0.001, 0.01)},  # 8 to 80 Hz of sound at 16 kHz
        {"noise": "two-band", "noise_bands": (0.001, 0.01, 0.012, 0.02)},
        {"noise": "two-band", "noise_bands": (0.01, 0.05, 0.06, 0.1), "noise_basis": "data"},
        {"noise_omit": (0.01, 0.05), "noise_basis": "data"},
    ],
)
def test_narrow_bands_are_for_the_samples_to_refuse(options):
    option = ForwardNoise(**options)
    option.check()
    noise = option.spectrum((16000,))
    assert 0 < noise.omitted < 16000
    with pytest.raises(ValueError, match=r"no frequency|all zero"):
        option.spectrum((8,))


def test_isotropic_noise_asks_nothing_of_the_samples():
    video = sx.Spectrum(np.ones(16), basis=DenseBasis(np.eye(16), (2, 2, 2, 2)))
    assert ForwardNoise().on(video) is None


@pytest.mark.parametrize("target", ["diffusers", "k-diffusion", "json", "csv", "npz"])
def test_exports_say_which_noise(learned, target):
    made = sx.export(learned, target)
    said = [note for note in made.notes if "weights of its own in the data basis noise" in note]
    assert len(said) == 1
    assert "noise.color(white)" in said[0]
    if target in ("diffusers", "k-diffusion", "json"):
        document = json.loads(made.content)
        assert document["noise"]["weights"] == pytest.approx([2.0, 1.0, 0.5, 0.2])
        assert said[0] in document["notes"]


def test_exports_without_a_noise_do_not_name_one(learned):
    white = replace(learned, noise=None)
    for target in ("json", "diffusers", "k-diffusion"):
        document = json.loads(sx.export(white, target).content)
        assert "noise" not in document
        assert not [note for note in document["notes"] if "colored" in note]


def test_programs_that_would_add_white_noise_are_refused(learned):
    with pytest.raises(ValueError, match="draws white noise"):
        sx.export(learned, "comfyui")
    for sampler in ("ddpm", "dpmpp_2m_sde"):
        stochastic = replace(learned, sampler=sampler)
        with pytest.raises(ValueError, match="draws white noise in its steps"):
            sx.export(stochastic, "diffusers")
        notes = sx.export(stochastic, "k-diffusion").notes
        assert [note for note in notes if "noise_sampler=lambda sigma, sigma_next" in note]


@pytest.mark.thorough
def test_limits_under_a_noise_are_those_of_the_effective_eigenvalues():
    weights = np.array([1.0, 2.0, 0.5, 0.25])
    noise = sx.NoiseSpectrum(weights, (4,), basis="data")
    lam, nu = EIGENVALUES / weights**2, weights**2
    for loss, unit in (("w2", nu), ("kl", np.ones(4))):
        plain = sx.limits.gaussian(sx.Spectrum(lam, weights=unit), 1, loss)
        found = sx.limits.gaussian(sx.effective(spectrum(), noise), 1, loss)
        assert found == pytest.approx(plain, rel=1e-9)
        assert found > 1e-6
    # All effective eigenvalues alike: one call is exact.
    assert sx.limits.gaussian(sx.effective(spectrum(), OWN), 1) < 1e-20


@pytest.mark.thorough
def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "noise.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    scope = {}
    for block in blocks:
        exec(compile(block, "noise.md", "exec"), scope)
    assert len(blocks) >= 2
