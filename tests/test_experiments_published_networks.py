import importlib.util
import json
import math

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("beside_the_package")

needs_the_package = pytest.mark.skipif(
    any(importlib.util.find_spec(x) is None for x in ("galaxygrad", "einops", "equinox")),
    reason="needs it: pip install --no-deps galaxygrad==0.1.9 einops equinox",
)


def driver(*argv):
    from experiments.__main__ import main

    return main(["run", "published_networks", *argv])


@needs_the_package
@pytest.mark.thorough
def test_a_network_is_a_denoiser_by_tweedies_formula():
    """x0 = (x + sigma^2 score) / alpha, sample by sample, in both processes and in a box."""
    from experiments.published_networks import networks

    prior, box = networks.published("hsc"), networks.boxed("hsc", batch=4)
    model = prior.denoise.network.args[0]
    x = np.random.default_rng(0).normal(size=(3, *networks.SHAPE)).astype("f4")
    for t in (9.0, 1.0, 0.01):
        alpha, sigma = math.exp(-t / 2), math.sqrt(-math.expm1(-t))
        score = np.stack([np.asarray(model(one, t)) for one in x])
        expected = (x + sigma**2 * score) / alpha
        tolerance = 1e-5 / alpha  # float32, of numbers of order 1 over alpha
        for found in (prior(x, alpha, sigma), prior(x / alpha, 1.0, sigma / alpha)):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=tolerance)
        np.testing.assert_allclose(box(x, alpha, sigma), expected, rtol=1e-4, atol=tolerance)


@needs_the_package
@pytest.mark.slow
def test_the_smallest_run_goes_on_where_it_was_ended(tmp_path, capsys):
    argv = ["--smallest", "--cases", "hsc"]
    argv += ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    assert driver(*argv) == 0
    assert capsys.readouterr().out
    (path,) = tmp_path.glob("results/*.json")
    found = json.loads(path.read_text())
    assert found["complete"]
    assert driver(*argv) == 0
    assert capsys.readouterr().out == ""

    from experiments.__main__ import draw
    from experiments.published_networks.run import unpacked

    learned, *rivals = found["rows"]
    assert learned["learning"]["learning"] <= 300 + 4  # the last batch may go beyond
    assert {row["method"] for row in rivals} == {"DDIM", "UniPC-2"}
    assert learned["values"]["mean"] < min(row["values"]["mean"] for row in rivals)
    assert unpacked(found["pictures"]["5"]["learned plan"]).shape == (2, 32, 32)
    from experiments.published_networks.galaxies import STATISTICS

    assert STATISTICS.keys() < found["fine"].keys() == found["floor"].keys()
    draw(["published_networks"], tmp_path / "results", tmp_path)
    assert (tmp_path / "galaxies.png").exists()
    assert (tmp_path / "bench_hsc.png").exists()


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    assert driver("--smallest", "--cases", "hsc", *folders) == 0
    assert "pip install --no-deps galaxygrad==" in capsys.readouterr().out
    assert list(tmp_path.glob("results/*")) == []


def test_pictures_are_packed_as_half_floats():
    from experiments.published_networks.run import packed, unpacked

    images = np.random.default_rng(0).normal(size=(2, 1, 32, 32)).astype("f4")
    np.testing.assert_array_equal(unpacked(packed(images)), images[:, 0].astype("f2").astype("f4"))


@pytest.fixture
def results(tmp_path):
    """Three seeds of S = 5 and 8: learned 2.4 and 3.2 +- 0.1, UniPC 14 and 7, or DDIM 16 and 6."""
    for seed, shift in enumerate((-0.1, 0.0, 0.1)):
        rows = []
        for calls, *values in ((5, 2.4 + shift, 14.0, 16.0 + shift), (8, 3.2 + shift, 7.0, 6.0)):
            for method, value in zip(("learned plan", "UniPC-2", "DDIM"), values, strict=True):
                row = {"method": method, "calls": calls, "schedule": f"along {method}"}
                values = {"mean": value, "frechet": 2 * value, "flux": value / 10}
                rows.append(row | {"values": values})
            of = {"teacher": 10_000 if calls == 5 else 0, "heuristics": 5_000, "judging": 1_000}
            rows[-3]["learning"] = {**of, "learning": 40_000 * calls // 5 + seed, "seconds": 10.0}
        config = {"calls": [[5, 50_000], [8, 100_000]]}
        limits = {"fine": {"frechet": 3.0, "flux": 0.2}, "floor": {"frechet": 1.0, "flux": 0.1}}
        document = {"case": "hsc", "seed": seed, "config": config, "rows": rows, **limits}
        (tmp_path / f"hsc-{seed}.json").write_text(json.dumps(document))
    plans = {name: {"judged": {"mean": x}} for name, x in (("box", 2.346), ("own", 2.3))}
    (tmp_path / "box-0.json").write_text(json.dumps({"plans": plans}))
    return tmp_path


def test_claims_are_about_the_best_rival_and_all_answers(results):
    from experiments.published_networks.summary import claims, tables

    found = {one.claim.split(": ", 1)[1]: one for one in claims(results)}
    error = 0.1 / math.sqrt(3)
    one = found["S = 5: the learned plan beats every rival in 5 calls"]
    assert one.verdict == "yes"
    assert one.measured.startswith(f"2.40 ± {error:.2f}; UniPC-2 (along UniPC-2) 14.00")
    later = found["S = 5: the learned plan beats every rival in 8 calls"]
    assert later.measured.endswith("DDIM (along DDIM) 6.00 ± 0.00")
    by_words = {claim.split(" are enough")[0]: one for claim, one in found.items()}
    enough = "answers to learn, twice that with teacher and ranking,"
    assert by_words[f"S = 5: 50,000 {enough}"].verdict == "yes"
    assert "55,002 with all" in by_words[f"S = 5: 50,000 {enough}"].measured
    assert by_words[f"S = 8: 100,000 {enough}"].verdict == "**no**"  # 3.2 is more than 2.9
    assert "79,002 with all" in by_words[f"S = 8: 100,000 {enough}"].measured
    box = found["through a black box the distance is the same to 1 %"]
    assert (box.verdict, box.measured) == ("**no**", "2.3460 against 2.3000")
    assert any(one.verdict == "not yet run" for one in found.values())
    text = "\n".join(tables(results))
    assert f"| learned plan | 2.40 ± {error:.2f} | 3.20 ± {error:.2f} |" in text
    assert "| fine solution | 3.00 ± 0.00 | 3.00 ± 0.00 |" in text
    assert "| floor | 0.100 ± 0.000 |" in text.split("all samples of 5 calls")[1]


def blob(covariance, centre=(15.5, 15.5), flux=300.0):
    """An image, as the networks make them, of a galaxy with a Gaussian profile."""
    places = np.stack(np.indices((32, 32)), -1) - centre
    inverse = np.linalg.inv(covariance)
    height = flux / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    x = height * np.exp(-np.einsum("hwi,ij,hwj->hw", places, inverse, places) / 2)
    return (np.log1p(x) / 0.1)[None].astype("f4")


def test_a_gaussian_galaxy_has_its_flux_radius_and_ellipticity():
    """r = s sqrt(2 ln 2); under a round weight of width w moments are (C^-1 + 1 / w^2)^-1."""
    from experiments.published_networks import galaxies

    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    for major, minor in ((3.0, 3.0), (4.0, 2.5), (4.0, 2.0)):
        covariance = turn @ np.diag([major**2, minor**2]) @ turn.T
        x = galaxies.brightness(np.stack([blob(covariance), blob(covariance, (14.2, 16.9))]))
        np.testing.assert_allclose(galaxies.magnitudes(x), -2.5 * np.log10(300), atol=1e-3)
        a, b = (1 / (s**-2 + galaxies.WEIGHT**-2) for s in (major, minor))
        np.testing.assert_allclose(galaxies.ellipticities(x), (a - b) / (a + b), atol=2e-3)
        if major == minor:
            radii = galaxies.half_light_radii(x)
            np.testing.assert_allclose(radii, 3 * np.sqrt(2 * np.log(2)), rtol=0.02)


def test_a_wave_has_its_power_in_its_ring():
    from experiments.published_networks import galaxies

    x = np.cos(2 * np.pi * 4 * np.arange(32) / 32)[None, None, :] * np.ones((1, 32, 1))
    powers = galaxies.ring_powers(x)[0]
    assert powers.argmax() == 2  # 4 / 32 is a quarter of the highest frequency, of 8 rings
    assert (np.delete(powers, 2) < powers[2] - 10).all()


def test_a_shift_of_a_statistic_counts_in_standard_deviations():
    from experiments.published_networks import galaxies

    rng = np.random.default_rng(0)
    fluxes = 10 ** (-0.4 * rng.normal(-6, 0.5, 200))
    brighter = fluxes * 10 ** (0.4 * 0.25)  # by half of a standard deviation
    images = [np.stack([blob(9 * np.eye(2), flux=f) for f in each]) for each in (brighter, fluxes)]
    spread = (-2.5 * np.log10(fluxes)).std()
    assert galaxies.MEASURES["flux"](*images) == pytest.approx(0.25 / spread, rel=1e-3)
    assert galaxies.MEASURES["ellipticity"](images[0], images[0]) == 0
