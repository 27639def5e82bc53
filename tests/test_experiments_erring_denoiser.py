import json

import pytest

pytestmark = pytest.mark.usefixtures("beside_the_package")

HEURISTICS = {"linear": 6.0, "cosine": 2.0, "sigmoid": 3.0, "karras": 9.0, "uniform_logsnr": 7.0,
              "align_your_steps": 4.0}  # fmt: skip


@pytest.fixture
def results(tmp_path):
    """DPM-Solver++(2M) in 5: 3 without an error, 1 with 0.1; the losses order backwards without."""
    own, trained = (tmp_path / name / "results" for name in ("erring_denoiser", "trained_networks"))
    for folder in (own, trained):
        folder.mkdir(parents=True)
    ranks = {name: value for name, value in HEURISTICS.items()}
    for seed, noise in enumerate((1.0, 1.1, 1.3)):
        about = {"pixels": noise, "spectrum_db": 1.0, "calls": 5}
        others = {
            f"dpmpp_2m {name}": {**about, "features": value * noise}
            for name, value in HEURISTICS.items()
        }
        columns = {
            f"dpmpp_2m error {part}": {**about, "features": value * noise, "converged": part != "0"}
            for part, value in (("0", 3.0), ("0.1", 1.0))
        }
        predicted = {"error 0.1": ranks, "error 0": {name: -x for name, x in ranks.items()}}
        for folder, found in ((own, columns), (trained, others)):
            document = {"steps": 5, "seed": seed, "columns": found,
                        "predicted": {"dpmpp_2m": predicted}}  # fmt: skip
            (folder / f"digits-5-{seed}.json").write_text(json.dumps(document))
    return own


def test_shares_and_orders_are_those_of_the_numbers(results):
    from experiments.erring_denoiser.summary import read

    found = read(results)
    assert found.steps == [5]
    assert found.samplers == ["dpmpp_2m"]
    share = found.below("dpmpp_2m", "error 0.1", "error 0", 5)
    assert share.mean == pytest.approx(2 / 3)
    rival = found.below("dpmpp_2m", "error 0.1", None, 5)
    assert rival.mean == pytest.approx(1 / 2)
    assert rival.error == pytest.approx(0, abs=1e-12)
    assert found.below("dpmpp_2m", "probed, error 0", None, 5) is None
    assert found.mean_order("dpmpp_2m", "error 0.1") == pytest.approx({0: 1, 1: 1, 2: 1})
    assert found.mean_order("dpmpp_2m", "error 0") == pytest.approx({0: -1, 1: -1, 2: -1})


def test_tables_and_claims_say_what_was_run(results, tmp_path):
    from experiments.erring_denoiser.summary import claims, tables

    text = "\n".join(tables(results))
    assert "Fits that ended before their tolerance: error 0: 1 of 1; error 0.01: 0 of 0" in text
    assert "| best heuristic | 2.27 ± 0.18 (cosine) |" in text
    known = {one.claim: one for one in claims(results)}
    held = [one.verdict for claim, one in known.items() if "0.1" in claim]
    assert held == ["yes"] * 4  # below that without, the best heuristic, by 12.3 %, and the order
    ordered = next(x for claim, x in known.items() if "orders the six heuristics" in claim)
    assert ordered.measured.startswith("1.00 ± 0.00 against -1.00 ± 0.00, higher by 2.00")
    assert next(claims(tmp_path / "nothing/results")).verdict == "not yet run"
