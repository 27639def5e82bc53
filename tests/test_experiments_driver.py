"""The driver; and for every experiment that its Markdown is what its JSON says."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.parent.name for path in ROOT.glob("experiments/*/run.py"))


pytestmark = pytest.mark.usefixtures("beside_the_package")


def driver(*argv):
    from experiments.__main__ import main

    return main(list(argv))


def test_every_experiment_says_what_it_is():
    from experiments.registry import experiments

    assert sorted(experiments()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_tables_and_claims_are_those_of_the_results(name):
    from experiments.registry import experiment
    from experiments.remake import stale

    assert stale(experiment(name)) == []


def test_the_claims_of_the_readme_are_those_of_the_results():
    from experiments.remake import stale_by

    assert stale_by("experiments.summary") == []


def test_the_readme_counts_every_claim_and_shows_chosen_ones(monkeypatch):
    from experiments import summary

    lines = (ROOT / "experiments/README.md").read_text().splitlines()
    table = [x for x in lines if x.startswith("| ") and "`python -m experiments" in x]
    rows = [x for x in summary.text() if x.startswith("| [")]
    counts = [[int(cell) for cell in x.strip("| ").split(" | ")[1:]] for x in rows]
    assert sum(map(sum, counts)) == len(table)
    assert sum(row[2] for row in counts) == sum("| **no** |" in x for x in table)
    monkeypatch.setattr(summary, "CHOSEN", {"synthetic_gaussian": ("Gaussians: DDIM",)})
    with pytest.raises(ValueError, match="claims of synthetic_gaussian begin with"):
        summary.text()


@pytest.mark.parametrize("name", NAMES)
def test_the_list_tells_all_parts_and_what_has_been_run(name, capsys):
    from experiments.registry import experiment

    assert driver() == 0
    lines = capsys.readouterr().out.splitlines()
    one = experiment(name)
    start = lines.index(f"{name}: {one.about.question}")
    for part, line in zip(one.about.parts, lines[start + 1 :], strict=False):
        assert line.endswith(one.command(part))
        there = [(one.results / file).exists() for file in part.results]
        assert ("results are there" in line) == all(there)
        assert ("not yet run" in line) == (not any(there))


def two_experiments(monkeypatch, tmp_path):
    """A short one, a long one, one for a GPU, and one that nobody has timed."""
    from experiments import registry

    parts = {"long": (30.0, False), "short": (2.0, False), "gpu": (1.0, True), "new": (None, False)}
    made = {
        name: registry.Experiment(
            name,
            registry.About("?", (registry.Part(name, ("a.json",), minutes, gpu=gpu),)),
        )
        for name, (minutes, gpu) in parts.items()
    }
    monkeypatch.setattr(registry, "experiments", lambda: made)
    return lambda minutes, gpu: [
        one.name for one, _ in registry.fitting(minutes, gpu, root=tmp_path)
    ]


def test_what_fits_is_chosen_shortest_first(monkeypatch, tmp_path):
    chosen = two_experiments(monkeypatch, tmp_path)
    assert chosen(1, False) == []
    assert chosen(10, False) == ["short"]
    assert chosen(31, False) == ["short"]  # 2 + 30 do not fit
    assert chosen(33, True) == ["gpu", "short", "long"]
    (tmp_path / "short/results").mkdir(parents=True)
    (tmp_path / "short/results/a.json").write_text("{}")
    assert chosen(31, False) == ["long"]


def test_a_run_goes_to_the_experiment_with_its_arguments(monkeypatch):
    commands = []

    class Ended:
        returncode = 3

    monkeypatch.setattr("subprocess.run", lambda command: commands.append(command) or Ended)
    assert driver("run", "learned_plans", "--rows", "digits", "--results", "x") == 3
    expected = ["-m", "experiments.learned_plans.run", "--rows", "digits", "--results", "x"]
    assert commands == [[sys.executable, *expected]]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "nothing"], "no experiment: there are"),
        (["run"], "--minutes"),
        (["tables", "nothing"], "no experiment: there are"),
    ],
)
def test_a_mistake_is_told_in_a_line(argv, words, capsys):
    with pytest.raises(SystemExit) as ended:
        driver(*argv)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_table_that_was_changed_by_hand_is_found(monkeypatch, tmp_path, capsys):
    from experiments.learned_plans import tables

    text = (tables.HERE / "README.md").read_text()
    changed = tmp_path / "README.md"
    changed.write_text(text.replace("| 5 |", "| 6 |", 1))
    assert changed.read_text() != text
    defaults = (tables.HERE / "results", changed)
    monkeypatch.setattr(tables.main, "__defaults__", defaults)
    assert driver("check", "learned_plans") == 1
    assert "experiments.learned_plans.tables" in capsys.readouterr().out
