import json

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("beside_the_package")


def smallest(tmp_path, *rows):
    from experiments.learned_plans.run import main

    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    main(["--smallest", "--rows", *rows, *folders])
    return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("results/*.json")}


@pytest.mark.thorough
def test_the_smallest_run_of_learned_plans_goes_on_where_it_was_ended(tmp_path, capsys):
    first = smallest(tmp_path, "digits")
    assert first.keys() == {"digits-0"}
    judged = first["digits-0"]["steps"]["3"]["judged"]["0.05"]
    assert {"ddim cosine", "dpmpp_2m karras", "empirical @ 0.05"} <= judged.keys()
    assert all(np.isfinite(list(one.values())).all() for one in judged.values())
    assert "learned" in capsys.readouterr().out
    assert smallest(tmp_path, "digits") == first
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_all_rows_are_drawn_and_told(tmp_path):
    from experiments.learned_plans import plot, tables

    found = smallest(tmp_path, "digits", "patches", "network")
    assert found.keys() == {"digits-0", "patches-0", "network-0"}
    assert {"probed", "network"} <= found["network-0"]["steps"]["3"]["judged"]["network"].keys()
    readme = tmp_path / "README.md"
    readme.write_text("\n".join(tables.MARKS))
    tables.main(tmp_path / "results", readme)
    plot.main(tmp_path / "results", tmp_path)
    assert readme.read_text().count("plan: empirical @ 0.05") == 3
    assert {x.name for x in tmp_path.glob("*.png")} == {"distances.png", "plans.png"}


def test_an_estimate_is_a_mean_and_its_standard_error():
    from experiments.estimates import estimate

    found = estimate([1.0, 2.0, 3.0, 6.0])  # deviations -2, -1, 0, 3: variance 14 / 3
    assert found.mean == 3.0
    assert found.error == pytest.approx((14 / 3 / 4) ** 0.5, rel=1e-12)


def test_a_verdict_is_that_of_students_interval():
    from experiments.estimates import differences, estimate

    found = estimate([1.0, 2.0, 3.0])  # 4.303 standard errors of 1 / sqrt(3) are 2.484
    assert found.sure == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert [found.verdict(x) for x in (-0.5, 0.0, 4.5)] == ["yes", "**not clear**", "**no**"]
    assert estimate([5.0]).verdict() == "**not clear**"
    gap = differences({0: 1.0, 1: 11.0, 5: 3.0}, {0: 2.0, 1: 12.0, 2: 7.0})
    assert gap == (1.0, 0.0, 2)
