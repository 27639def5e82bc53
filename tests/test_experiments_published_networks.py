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
@pytest.mark.thorough
def test_the_smallest_run_goes_on_where_it_was_ended(tmp_path, capsys):
    argv = ["--smallest", "--cases", "hsc", "samples"]
    argv += ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    assert driver(*argv) == 0
    assert capsys.readouterr().out
    first = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("results/*.json")}
    assert first.keys() == {"hsc-0", "samples"}
    assert all(one["complete"] for one in first.values())
    assert driver(*argv) == 0
    assert capsys.readouterr().out == ""

    from experiments.__main__ import draw
    from experiments.published_networks.run import LEARNED, unpacked

    found = first["hsc-0"]["plans"]["5"]
    assert found["learning"]["calls"]["learning"] <= 300 + 4  # the last batch may go beyond
    heuristics = first["hsc-0"]["heuristics"]["5"]
    assert {x.split()[0] for x in heuristics} == {"ddim", "dpmpp_2m"}
    assert found["judged"]["mean"] < min(one["mean"] for one in heuristics.values())
    assert unpacked(first["samples"]["pictures"][LEARNED]).shape == (2, 32, 32)
    draw(["published_networks"], tmp_path / "results", tmp_path)
    assert (tmp_path / "galaxies.png").exists()


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
    """Three seeds of S = 5 and 8: learned 2.4 +- 0.1, heuristics 14 and 6, or 5 and 20."""
    for seed, shift in enumerate((-0.1, 0.0, 0.1)):
        plans = {
            name: {
                "judged": dict.fromkeys(("mean", "geometric mean", "median"), value + shift),
                "learning": {
                    "calls": {"teacher": 10_000, "heuristics": 5_000, "learning": calls + seed},
                    "seconds": 10.0, "value": math.log(value),
                },
            }
            for name, value, calls in (("5", 2.4, 40_000), ("8", 3.2, 90_000))
        }  # fmt: skip
        heuristics = {
            s: {"ddim linear": {"mean": a}, "dpmpp_2m flow": {"mean": b}}
            for s, a, b in (("5", 14.0, 16.0 + shift), ("8", 7.0, 6.0 + shift))
        }
        config = {"calls": [[5, 50_000], [8, 100_000]]}
        document = {"seed": seed, "config": config, "plans": plans, "heuristics": heuristics}
        (tmp_path / f"hsc-{seed}.json").write_text(json.dumps(document))
    box = json.loads((tmp_path / "hsc-0.json").read_text())
    box["plans"] = {"box": {**box["plans"]["5"], "judged": {"mean": 2.3 * 1.02}}}
    (tmp_path / "box-0.json").write_text(json.dumps(box))
    return tmp_path


def test_claims_are_about_the_best_heuristic_and_all_answers(results):
    from experiments.published_networks.summary import claims, tables

    found = {one.claim.split(": ", 1)[1]: one for one in claims(results)}
    error = 0.1 / math.sqrt(3)
    one = found["S = 5: the learned plan beats every heuristic"]
    assert one.verdict == "yes"
    assert one.measured.startswith(f"2.40 ± {error:.2f}; best heuristic 14.00")
    by_words = {claim.split(" are enough")[0]: one for claim, one in found.items()}
    enough = "answers to learn, twice that with teacher and ranking,"
    assert by_words[f"S = 5: 50,000 {enough}"].verdict == "yes"
    assert "55,002 with all" in by_words[f"S = 5: 50,000 {enough}"].measured
    assert by_words[f"S = 8: 100,000 {enough}"].verdict == "**no**"  # 3.2 is more than 2.9
    assert found["5 learned calls are better than every heuristic's 8"].verdict == "yes"
    box = found["through a black box the distance is the same to 1 %"]
    assert (box.verdict, box.measured) == ("**no**", "2.3460 against 2.3000")
    assert any(one.verdict == "not yet run" for one in found.values())
    text = "\n".join(tables(results))
    assert "| 8 | 3.20 ± 0.06 | 6.00 ± 0.06 | dpmpp_2m flow | 90,002 | 5,000 | 10,000 |" in text
