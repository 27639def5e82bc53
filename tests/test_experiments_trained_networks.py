import json
import math

import pytest

pytestmark = pytest.mark.usefixtures("beside_the_package")


@pytest.fixture
def results(tmp_path):
    """Heuristics with the distance 8 / calls, times a number of the seed; a schedule at 3 / calls.

    Cosine is the best but at S = 10, where linear has 0.7; Heun takes twice the calls.
    """
    for steps in (5, 10, 20):
        for seed, noise in enumerate((1.0, 1.2)):
            calls = {"ddim": steps, "heun": 2 * steps - 1}
            columns = {
                f"{sampler} {name}": {"calls": count, "features": factor * noise / count}
                for sampler, count in calls.items()
                for name, factor in (("cosine", 8.0), ("linear", 7.0 if steps == 10 else 9.0))
            }
            columns["ddim spectral W2"] = {"calls": steps, "features": 3 * noise / steps}
            columns["plan: gaussian"] = {"calls": steps, "features": 8 * noise / (20 * 1.5)}
            for one in columns.values():
                one |= {"pixels": 1.0, "spectrum_db": 1.0}
            document = {"steps": steps, "seed": seed, "columns": columns}
            (tmp_path / f"digits-{steps}-{seed}.json").write_text(json.dumps(document))
    return tmp_path


def test_the_best_heuristic_is_that_of_the_fewest_calls_and_the_least_mean(results):
    from experiments.trained_networks.comparison import best, read

    found = read("digits", results)
    ddim = best(found, "ddim", "features")
    assert [(x.calls, x.name) for x in ddim] == [
        (5, "ddim cosine"), (10, "ddim linear"), (20, "ddim cosine"),
    ]  # fmt: skip
    every = best(found, None, "features")
    assert [x.calls for x in every] == [5, 9, 10, 19, 20, 39]
    # 19 calls of Heun have 7 / 19, 20 of DDIM 8 / 20: who has 20 may take 19
    assert [x.name for x in every[-3:]] == ["heun linear", "heun linear", "heun cosine"]
    assert every[-2].estimate.mean == pytest.approx(1.1 * 7 / 19)


def test_shares_and_ratios_are_those_of_the_power_laws(results):
    from experiments.trained_networks.comparison import below, best, fewer, point, read

    found = read("digits", results)
    frontier = best(found, "ddim", "features")
    mine = [point(found, s, "ddim spectral W2", "features") for s in (5, 10, 20)]
    shares = [below(one, frontier) for one in mine]
    assert [x.mean for x in shares] == pytest.approx([1 - 3 / 8, 1 - 3 / 7, 1 - 3 / 8])
    assert [x.error for x in shares] == pytest.approx([0, 0, 0], abs=1e-12)  # one factor a seed
    # 3 / 5 is 8 / calls at 13.3; from 7 / 10 at 10 calls to 8 / 20 at 20 the line has another slope
    slope = (math.log(0.7) - math.log(0.4)) / math.log(2)
    calls = 10 * math.exp((math.log(0.7) - math.log(0.6)) / slope)
    first, *others = (fewer(one, frontier) for one in mine)
    assert first.ratio.mean == pytest.approx(calls / 5)
    assert first.bound == ""
    assert [x.bound for x in others] == ["> ", "> "]
    assert [x.ratio.mean for x in others] == pytest.approx([2, 1])
    assert [x.verdict(1.8) for x in others] == ["yes", "**not clear**"]  # never as good in 20 calls
    worse = mine[0]._replace(values={0: 100.0, 1: 100.0})
    assert str(fewer(worse, frontier)) == "< 1"
    assert fewer(worse, frontier).verdict(1.8) == "**no**"
    mixed = mine[0]._replace(values={0: 0.6, 1: 0.1})
    assert (fewer(mixed, frontier).bound, fewer(mixed, frontier).verdict(1.8)) == ("> ", "yes")


def test_a_verdict_says_at_which_s_it_is_sure():
    from experiments.estimates import Estimate
    from experiments.trained_networks.summary import verdict_at

    # Student's interval of 3 seeds is 4.3 standard errors
    sure, unsure, bad = Estimate(0.5, 0.08, 3), Estimate(0.5, 0.1, 3), Estimate(0.0, 0.01, 3)
    assert verdict_at({5: sure}, 0.123) == "yes"
    assert verdict_at({5: sure, 8: unsure}, 0.123) == "at S = 5"
    assert verdict_at({5: sure, 8: bad}, 0.123) == "at S = 5"
    assert verdict_at({5: unsure, 8: bad}, 0.123) == "**not clear**"
    assert verdict_at({5: bad, 8: bad}, 0.123) == "**no**"
    assert verdict_at({5: Estimate(0.5, float("nan"), 1)}, 0.123) == "**not clear**"


def test_tables_and_claims_tell_what_was_run_and_what_was_not(results):
    from experiments.trained_networks.summary import claims, tables

    text = "\n".join(tables(results))
    assert "| ddim spectral W2 | +62 ± 0 | +57 ± 0 | +62 ± 0 |" in text
    assert "2 seeds: S = 5, 10, 20." in text
    assert "not yet run: `python -m experiments run trained_networks --cases cifar10`" in text
    known = list(claims(results))
    drop = next(x for x in known if "ddim spectral W2 has" in x.claim)
    measured = "lower by (a minus: higher) S = 5: +62 ± 0 %; S = 10: +57 ± 0 %; S = 20: +62 ± 0 %"
    assert (drop.verdict, drop.measured) == ("yes", measured)
    plan = next(x for x in known if "plan: gaussian takes" in x.claim)
    assert "any sampler" in plan.claim


def test_a_rung_whose_teacher_does_not_converge_has_no_plan_and_says_why(results, monkeypatch):
    from types import SimpleNamespace

    from experiments.learned_plans import plans as learned_plans
    from experiments.trained_networks.columns import Columns
    from experiments.trained_networks.config import Config
    from experiments.trained_networks.summary import tables

    asked = []

    def learn_one(path, name, *rest):
        asked.append(name)
        if name == "empirical":
            raise ValueError("the teacher has not converged: 8 % of them; allow for that")
        return name, {}

    monkeypatch.setattr(learned_plans, "learn_one", learn_one)
    session = SimpleNamespace(config=Config(), work=results)
    made = Columns(SimpleNamespace(row="digits"), session)
    names = [[name for name, *_ in made.learned(steps)] for steps in (5, 8)]
    assert "plan: empirical" not in names[0] + names[1]
    assert len(names[0]) == len(names[1]) == 5
    assert asked.count("empirical") == 1
    path = results / "digits-5-0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "refused": made.refused}))
    assert " No plan: empirical: the teacher has not converged: 8 % of them." in tables(results)


def test_labels_of_calls_do_not_lie_on_each_other():
    from experiments.trained_networks.figure import apart

    assert apart([99, 3, 5, 8, 9, 10, 19, 20]) == [3, 5, 8, 10, 19, 99]
