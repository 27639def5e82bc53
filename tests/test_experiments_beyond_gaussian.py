import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import specjax as sx

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def beside_the_package(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    yield
    for name in [x for x in sys.modules if x.split(".")[0] == "experiments"]:
        del sys.modules[name]


def smallest(tmp_path):
    from experiments.beyond_gaussian.run import main

    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    main(["--smallest", "--subjects", "gaussian", *folders])
    return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("results/*.json")}


def test_the_smallest_run_goes_on_where_it_was_ended_and_is_told(tmp_path, capsys):
    from experiments.beyond_gaussian import claims, plot, ratios, tables
    from experiments.beyond_gaussian.config import HEURISTICS

    first = smallest(tmp_path)
    assert first.keys() == {"gaussian-0", "gaussian-1"}
    capsys.readouterr()
    assert smallest(tmp_path) == first
    assert capsys.readouterr().out == ""
    column, one = "ddim learned W2", [x["steps"]["4"] for x in first.values()]
    rival = min(HEURISTICS, key=lambda x: sum(seed[f"ddim {x}"]["squared"] for seed in one))
    logs = [math.log(x[column]["squared"] / x[f"ddim {rival}"]["squared"]) for x in one]
    results = tmp_path / "results"
    found = ratios.ratio(ratios.seeds_of("gaussian", results), column, "squared")
    assert found.mean == pytest.approx(math.exp(np.mean(logs)), rel=1e-9)
    assert found.error == pytest.approx(found.mean * abs(logs[0] - logs[1]) / 2, rel=1e-9)
    assert f"Gaussian: {found}" in "\n".join(claims.lines_of(results))
    assert f"| {found} |" in "\n".join(tables.lines_of(results))
    plot.main(results, tmp_path)
    assert (tmp_path / "ratios.png").exists()
    _is_the_closed_form(first["gaussian-0"])


def _is_the_closed_form(document):
    """Without a mean DDIM multiplies the start of direction k by D1, the fine solution by D1'."""
    from experiments.beyond_gaussian.config import ENDS
    from experiments.beyond_gaussian.subjects import spectrum
    from specjax.learning.teacher import fine_plan

    prior, n = sx.priors.Gaussian(spectrum()), document["config"]["n"]
    fine = sx.transfer(fine_plan(prior, document["config"]["fine"], ENDS), spectrum()).gain
    plan = sx.plan("ddim", sx.family("cosine", 4, alpha_bar_range=ENDS))
    gap = (sx.transfer(plan, spectrum()).gain - fine) ** 2
    error = math.sqrt(2 * (gap**2).sum() / n)
    measured = document["steps"]["4"]["ddim cosine"]["squared"]
    assert abs(measured - gap.sum()) < 5 * error


@pytest.mark.slow
def test_plans_are_learned_once_and_judged_with_the_rest(tmp_path):
    from dataclasses import replace

    from experiments.beyond_gaussian.config import PLANS, SMALLEST
    from experiments.beyond_gaussian.run import one

    config = replace(SMALLEST, steps=(3,))
    for seed in (0, 1):
        one("mixture-4-0.9", seed, config, tmp_path / "work", tmp_path / "results")
        document = json.loads((tmp_path / f"results/mixture-4-0.9-{seed}.json").read_text())
        assert document["steps"]["3"].keys() >= set(PLANS)
    assert len(list(tmp_path.glob("work/plans/*.json"))) == 2


def moments(draws):
    return draws.mean(0), np.cov(draws.T)


@pytest.mark.parametrize("name", ["mixture-4-0.9", "mixture-16-0.99", "tails-3"])
def test_every_prior_has_the_one_covariance(name):
    from experiments.beyond_gaussian.config import SUBJECTS
    from experiments.beyond_gaussian.subjects import case_of, kurtosis, spectrum

    case, n = case_of(SUBJECTS[name], 0), 40_000
    lam = spectrum().eigenvalues
    white = case.draw(n, np.random.default_rng(0)) / np.sqrt(lam)
    mean, covariance = moments(white)
    assert np.abs(mean).max() < 5 / math.sqrt(n)
    heavy = 3 + kurtosis(SUBJECTS[name]) if SUBJECTS[name].kind == "tails" else 3
    assert np.abs(covariance - np.eye(len(lam))).max() < 5 * math.sqrt(heavy / n)


def test_draws_are_those_of_the_denoiser():
    """E[x0 | y] is the least squares estimate: its error is uncorrelated with the estimate."""
    from experiments.beyond_gaussian.config import SUBJECTS
    from experiments.beyond_gaussian.subjects import case_of

    rng, n = np.random.default_rng(1), 5_000
    for name in ("mixture-4-0.9", "tails-3"):
        case = case_of(SUBJECTS[name], 0)
        x0 = case.draw(n, rng)
        found = np.asarray(case.prior(x0 + 0.5 * rng.normal(size=x0.shape), 1.0, 0.5))
        products = ((x0 - found) * found).sum(1)
        assert abs(products.mean()) < 5 * products.std() / math.sqrt(n)


def test_negentropy_of_well_separated_components():
    """log K nats say which component; K - 1 directions have log(1 - r) / 2 less each."""
    from experiments.beyond_gaussian.config import SUBJECTS
    from experiments.beyond_gaussian.subjects import case_of, negentropy

    n = 5_000
    for name, k, r in (("mixture-4-0.999", 4, 0.999), ("mixture-2-0.99", 2, 0.99)):
        ideal = -(k - 1) / 2 * math.log(1 - r) - math.log(k)
        found = negentropy(case_of(SUBJECTS[name], 0), n, 0)
        assert abs(found - ideal) < 5 * math.sqrt(32 / 2 / n)  # the variance of 32 squares / 2
    assert abs(negentropy(case_of(SUBJECTS["gaussian"], 0), n, 0)) < 5 * math.sqrt(16 / n)


def test_results_on_the_gaussian_are_those_in_closed_form():
    """The committed Fréchet distances against W2: a chi-square of the moments of 2,000 samples."""
    from experiments.beyond_gaussian.config import ENDS, HEURISTICS
    from experiments.beyond_gaussian.ratios import seeds_of
    from experiments.beyond_gaussian.subjects import spectrum

    seeds, lam = seeds_of("gaussian"), spectrum().eigenvalues
    n = seeds[0]["config"]["n"]
    for steps in ("3", "5"):
        for name in HEURISTICS:
            schedule = sx.family(name, int(steps), alpha_bar_range=ENDS)
            for sampler in ("ddim", "ddpm", "dpmpp_2m"):
                std = sx.transfer(sx.plan(sampler, schedule), spectrum()).std
                exact = sx.loss(spectrum(), schedule, sampler, "w2")
                found = np.mean([x["steps"][steps][f"{sampler} {name}"]["frechet"] for x in seeds])
                gap = np.sqrt(lam) - std
                # Standard deviations are off by std / sqrt(2 n) each, in all of len(seeds) runs.
                error = math.sqrt(2 * (gap**2 * std**2).sum() / n / len(seeds))
                floor = (std**2).sum() * len(lam) / n
                assert -5 * error <= found - exact <= 5 * error + floor
