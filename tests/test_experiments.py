"""The driver of experiments, and for every experiment a small run and the check of its Markdown."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.parent.name for path in ROOT.glob("experiments/*/run.py"))

pytestmark = pytest.mark.usefixtures("beside_the_package")


def driver(*argv):
    from experiments.__main__ import main

    return main(list(argv))


def smallest(tmp_path, name, *argv):
    """Run the smallest config; return the results by name."""
    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    assert driver("run", name, "--smallest", *argv, *folders) == 0
    return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("results/*.json")}


def test_the_list_has_all_parts_and_what_has_been_run(capsys):
    from experiments import experiment

    assert driver() == driver("list") == 0
    lines = capsys.readouterr().out.splitlines()
    for name in NAMES:
        one = experiment.load(name)
        assert one.name == name
        start = lines.index(f"{name}: {one.question}")
        for part, line in zip(one.parts, lines[start + 1 :], strict=False):
            assert line.endswith(one.command(*part.cases))
            there = [(one.results / file).exists() for file in part.files]
            assert ("results are there" in line) == all(there)
            assert ("not yet run" in line) == (not any(there))


def test_tables_and_claims_are_those_of_the_results():
    from experiments.summary import stale

    assert stale(NAMES) == []


def test_the_configs_are_those_of_the_results():
    """Otherwise a run would refuse to go on with them."""
    from experiments import experiment
    from experiments.__main__ import session_of
    from experiments.trained_networks.run import settings_of

    for name in NAMES:
        session = session_of(experiment.load(name), [])
        for path in session.results.glob("*.json"):
            document = json.loads(path.read_text())
            network = name == "trained_networks"
            settings = settings_of(document["row"], session) if network else session.settings
            assert document.get("config", settings) == settings, path


@pytest.fixture
def checkout(tmp_path):
    """The Markdown files and the results, to be changed."""
    for path in ROOT.glob("experiments/**/*"):
        if path.suffix in (".md", ".json"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/evidence.md", tmp_path / "docs")
    return tmp_path


def test_a_number_that_was_changed_is_found(checkout):
    """In the text of one experiment, and in the JSON of another."""
    from experiments.summary import pages

    folder = checkout / "experiments"
    readme = folder / "learned_plans/README.md"
    text = readme.read_text()
    readme.write_text(text.replace("0.052 ±", "0.051 ±", 1))
    result = folder / "intermediate_steps/results/network-0.json"
    document = json.loads(result.read_text())
    document["samplers"]["ddim"]["compared"]["steps"]["5"]["spectral"] += 1
    result.write_text(json.dumps(document))

    made = pages(["learned_plans", "intermediate_steps"], checkout)
    stale = {path for path, text in made.items() if path.read_text() != text}
    assert stale == {readme, folder / "intermediate_steps/README.md", folder / "README.md"}
    assert made[readme] == text


@pytest.mark.thorough
def test_the_counts_are_of_all_claims_and_the_readme_shows_one_of_an_experiment(monkeypatch):
    from experiments import summary
    from experiments.experiment import load

    claims = {name: list(load(name).module("summary").claims(load(name).results)) for name in NAMES}
    lines = (ROOT / "experiments/README.md").read_text().splitlines()
    table = [x for x in lines if x.startswith("| ") and "`python -m experiments" in x]
    rows = [x for x in summary.counts(claims) if x.startswith("| [")]
    counts = [[int(cell) for cell in x.strip("| ").split(" | ")[1:]] for x in rows]
    assert sum(map(sum, counts)) == len(table)
    assert sum(row[2] for row in counts) == sum("| **no** |" in x for x in table)
    monkeypatch.setattr(summary, "SHOWN", {"Of DDIM": ("synthetic_gaussian", "Gaussians: DDIM")})
    with pytest.raises(ValueError, match="synthetic_gaussian"):
        summary.shown(claims)


def test_what_fits_is_chosen_shortest_first(monkeypatch, tmp_path):
    """A short experiment, a long one, one for a GPU, and one that nobody has timed."""
    from experiments import experiment

    parts = {"long": (30.0, False), "short": (2.0, False), "gpu": (1.0, True), "new": (None, False)}
    made = {
        name: experiment.Experiment(
            name, "?", (experiment.Part(name, ("a.json",), minutes, gpu=gpu),), None, None
        )
        for name, (minutes, gpu) in parts.items()
    }
    monkeypatch.setattr(experiment, "names", lambda: list(made))
    monkeypatch.setattr(experiment, "load", made.__getitem__)

    def chosen(minutes, gpu):
        return [one.name for one, _ in experiment.waiting(minutes, gpu, root=tmp_path)]

    assert chosen(1, False) == []
    assert chosen(10, False) == ["short"]
    assert chosen(31, False) == ["short"]  # 2 + 30 do not fit
    assert chosen(33, True) == ["gpu", "short", "long"]
    (tmp_path / "short/results").mkdir(parents=True)
    (tmp_path / "short/results/a.json").write_text("{}")
    assert chosen(31, False) == ["long"]


def test_options_choose_cases_seeds_and_steps():
    from experiments import experiment
    from experiments.__main__ import session_of

    one = experiment.load("trained_networks")
    assert session_of(one, []).cases == ("digits", "spoken_digits")  # the others need a GPU
    session = session_of(one, ["--cases", "*digits", "cifar10", "--seeds", "2", "--steps", "5"])
    assert session.cases == ("digits", "spoken_digits", "cifar10")
    assert (session.seeds, session.config.steps) == ((2,), (5,))
    assert "steps" not in session.settings


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["run", "nothing"], "nothing"),
        (["run"], "--minutes"),
        (["check", "nothing"], "nothing"),
        (["run", "beyond_gaussian", "--cases", "nobody"], "--cases"),
        (["run", "beyond_gaussian", "--smallest", "--results", "other"], "--smallest"),
        (["run", "ideal_denoiser", "--smallest", "--work", "other"], "--smallest"),
    ],
)
def test_a_mistake_is_one_line(argv, name, capsys):
    with pytest.raises(SystemExit) as ended:
        driver(*argv)
    assert ended.value.code == 2
    assert name in capsys.readouterr().err


def test_a_document_is_filled_piece_by_piece_by_one_commit(tmp_path):
    from dataclasses import replace

    from experiments import experiment
    from experiments.__main__ import session_of
    from specjax._core.checks import UserError

    one = experiment.load("beyond_gaussian")
    session = session_of(one, ["--results", str(tmp_path), "--work", str(tmp_path)])
    pieces = [("steps", "3"), ("steps", "5")]
    document = session.document("a", pieces, seed=0)
    assert document.missing == pieces
    document.add(pieces[0], 1.5)
    document = session.document("a", pieces, seed=0)
    assert document.missing == pieces[1:]
    assert document.content["steps"] == {"3": 1.5}
    assert document.content["complete"] is False

    other = session_of(one, ["--results", str(tmp_path), "--work", str(tmp_path)])
    other.__dict__["provenance"] = {**session.provenance, "commit": "another"}
    with pytest.raises(UserError, match="another"):
        other.document("a", pieces, seed=0)
    document.add(pieces[1], 2.5)
    assert other.document("a", pieces, seed=0).missing == []  # it is complete
    with pytest.raises(UserError, match="config"):
        replace(session, config=replace(session.config, n=7)).document("a", pieces, seed=0)


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


def test_a_set_that_is_not_there_is_left_out_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPECJAX_DATA", str(tmp_path))
    assert smallest(tmp_path, "high_frequencies", "--cases", "tfds:cifar10") == {}
    assert "tfds:cifar10 is left out" in capsys.readouterr().out


def resumed(tmp_path, capsys, name, *argv):
    """Run twice: the second run does nothing. Summarise and draw; return results and tables."""
    from experiments.__main__ import draw
    from experiments.experiment import load

    first = smallest(tmp_path, name, *argv)
    assert first
    assert all(document["complete"] for document in first.values())
    assert capsys.readouterr().out
    assert smallest(tmp_path, name, *argv) == first
    assert capsys.readouterr().out == ""
    summary = load(name).module("summary")
    draw([name], tmp_path / "results", tmp_path)
    claims = [claim.claim for claim in summary.claims(tmp_path / "results")]
    return first, "\n".join(summary.tables(tmp_path / "results")), claims


@pytest.mark.slow
def test_restoration_runs_and_is_resumed(tmp_path, capsys):
    found, tables, claims = resumed(tmp_path, capsys, "restoration")
    assert set(found) == {"digits", "exact-digits-0", "u-turn-0"}
    losses = found["digits"]["steps"]["3"]["blur"]["dps"]["losses"]
    assert losses["learned"]["w2"] < losses["constant"]["w2"]
    assert "the posterior itself" in tables
    assert any("carry" in claim or "posterior" in claim for claim in claims)


@pytest.mark.slow
def test_shifts_run_and_are_resumed(tmp_path, capsys):
    first, tables, claims = resumed(tmp_path, capsys, "shift")
    rows = first["digits-0"]["judged"]["ddim"]["3"]
    assert rows["named"]["shift"] > 0
    assert rows["1"]["mean"] != rows["3"]["mean"]
    assert "a UNet on digits" in tables
    assert any("beats 3" in claim for claim in claims)


def test_the_best_shift_between_those_of_the_grid_is_that_of_a_parabola(tmp_path):
    """Distances exp((log h - log 2)^2 + 0.3 seed) are least at 2; the named one is at 2.2."""
    from experiments.shift.summary import read

    def measured(shift, seed):
        return {"shift": shift, "mean": float(np.exp(np.log(shift / 2) ** 2 + 0.3 * seed))}

    for seed in range(3):
        rows = {f"{x:g}": measured(x, seed) for x in (1, 1.65, 3, 4)}
        rows["named"] = measured(2.2, seed)
        document = {"seed": seed, "complete": True, "judged": {"ddim": {"5": rows}}}
        (tmp_path / f"hsc-{seed}.json").write_text(json.dumps(document))
    (row,) = read(tmp_path, "hsc")
    assert row.best() == "1.65"
    np.testing.assert_allclose(row.optimum(1), 2.0, rtol=1e-9)
    expected = np.exp(np.log(1.1) ** 2 - np.log(1.5) ** 2)
    np.testing.assert_allclose(row.over("3").mean, expected, rtol=1e-9)


@pytest.mark.thorough
def test_learned_plans_run(tmp_path, capsys):
    first, text, _ = resumed(tmp_path, capsys, "learned_plans", "--cases", "digits")
    judged = first["digits-0"]["steps"]["3"]["judged"]["0.05"]
    assert {"ddim cosine", "dpmpp_2m karras", "empirical @ 0.05"} <= judged.keys()
    assert all(np.isfinite(list(one.values())).all() for one in judged.values())
    assert text.count("plan: empirical @ 0.05") == 1
    assert {x.name for x in tmp_path.glob("*.png")} == {"distances.png", "plans.png"}


@pytest.mark.thorough
def test_intermediate_steps_run(tmp_path, capsys):
    first, _, claims = resumed(tmp_path, capsys, "intermediate_steps", "--cases", "gaussian")
    assert first["gaussian-0"]["samplers"].keys() == {"ddim", "dpmpp_2m"}
    assert any("low frequencies are formed before high ones" in x for x in claims)


@pytest.mark.thorough
def test_high_frequencies_run(tmp_path, capsys):
    from experiments.high_frequencies.run import BANDS, EVERY, W2

    first, text, _ = resumed(tmp_path, capsys, "high_frequencies", "--cases", "digits")
    found = first["digits"]["samplers"]["ddim"]["3"]
    assert found[W2]["w2"] == min(one["w2"] for one in found.values())
    assert found[EVERY]["relative"] == min(one["relative"] for one in found.values())
    assert found[BANDS]["rms"] < found[W2]["rms"]
    assert f"| {EVERY} | {found[EVERY]['rms']:.2f} (" in text
    assert {x.name for x in tmp_path.glob("*.png")} == {"bands.png", "shapes.png"}


@pytest.mark.thorough
def test_defaults_run(tmp_path, capsys):
    from experiments.defaults.run import FAMILY

    first, text, claims = resumed(tmp_path, capsys, "defaults")
    found = first["digits-dpmpp_2m"]["steps"]["3"]
    assert found["w2, error 0.1"]["logsnr"] != found["w2, error 0"]["logsnr"]
    assert f"{found[FAMILY]['geometric_mean']:.3g} ({found[FAMILY]['family']})" in text
    assert any("the empirical denoiser of the digits: fits by default" in x for x in claims)


@pytest.mark.slow
def test_the_runs_of_networks(tmp_path, capsys):
    """Everything that trains, for two updates."""
    for name, cases, claim in (
        ("learned_plans", ["network"], "a UNet of 0.69 M parameters trained on the digits: S = 3"),
        ("high_frequencies", ["network"], "UNet on digits, ddim, S = 3"),
        ("anisotropic_noise", ["digits"], "1,797 digits, 8x8, ddim, 2 steps"),
        ("ideal_denoiser", ["wiener", "width-4-*"], "UNets of width 4, ddim: trained longer"),
        ("trained_networks", ["digits"], "ddim spectral probed"),
    ):
        _, text, claims = resumed(tmp_path / name, capsys, name, "--cases", *cases)
        assert any(claim in x for x in claims), claims
        assert text
        assert list((tmp_path / name).glob("*.png"))
    networks = {path.stem for path in tmp_path.glob("trained_networks/results/*.json")}
    assert networks == {f"digits-{s}-{seed}" for s in ("fine", 3) for seed in (0, 1)}
    (tmp_path / "erring_denoiser").mkdir()
    shutil.copytree(tmp_path / "trained_networks/work", tmp_path / "erring_denoiser/work")
    first, text, _ = resumed(tmp_path / "erring_denoiser", capsys, "erring_denoiser")
    names = ("error 0", "error 0.1", "probed, error 0", "probed, error 0.1")
    assert first["digits-3-0"]["columns"].keys() == {f"ddim {name}" for name in names}
