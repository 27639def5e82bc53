import json
import math

import numpy as np
import pytest

import specjax as sx
from specjax.schedules.level_range import LevelRange

pytestmark = pytest.mark.usefixtures("beside_the_package")


@pytest.mark.slow
def test_the_smallest_run_goes_on_where_it_was_ended_and_is_told(tmp_path, capsys):
    from experiments.__main__ import draw, main
    from experiments.beyond_gaussian.summary import claims, ratio, read, tables
    from experiments.methods import HEURISTICS

    argv = ["run", "beyond_gaussian", "--smallest", "--cases", "gaussian"]
    argv += ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    main(argv)
    first = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("results/*.json")}
    assert first.keys() == {"gaussian-0", "gaussian-1"}
    capsys.readouterr()
    main(argv)
    assert capsys.readouterr().out == ""
    column, one = "ddim learned W2", [x["steps"]["4"] for x in first.values()]
    rival = min(HEURISTICS, key=lambda x: sum(seed[f"ddim {x}"]["squared"] for seed in one))
    logs = [math.log(x[column]["squared"] / x[f"ddim {rival}"]["squared"]) for x in one]
    results = tmp_path / "results"
    assert all(document["complete"] for document in first.values())
    assert all(isinstance(x[column]["converged"], bool) for x in one)
    found = ratio(read("gaussian", results), column, "squared", ["4"])
    assert found.mean == pytest.approx(math.exp(np.mean(logs)), rel=1e-9)
    assert found.error == pytest.approx(found.mean * abs(logs[0] - logs[1]) / 2, rel=1e-9)
    assert any(f"Gaussian: {found}" in one.measured for one in claims(results))
    assert not any(one.verdict == "yes" for one in claims(results))  # the Gaussian alone
    assert f"| {found} |" in "\n".join(tables(results))
    draw(["beyond_gaussian"], results, tmp_path)
    assert (tmp_path / "ratios.png").exists()
    _is_the_closed_form(first["gaussian-0"])


def _is_the_closed_form(document):
    """Without a mean DDIM multiplies the start of direction k by D1, the fine solution by D1'."""
    from experiments.beyond_gaussian.priors import spectrum
    from experiments.methods import ENDS
    from specjax.learning.teacher import fine_plan

    prior, n = sx.priors.Gaussian(spectrum()), document["config"]["n"]
    fine = sx.transfer(
        fine_plan(prior, document["config"]["fine"], LevelRange(ENDS)), spectrum()
    ).gain
    plan = sx.plan("ddim", sx.family("cosine", 4, alpha_bar_range=ENDS))
    gap = (sx.transfer(plan, spectrum()).gain - fine) ** 2
    error = math.sqrt(2 * (gap**2).sum() / n)
    measured = document["steps"]["4"]["ddim cosine"]["squared"]
    assert abs(measured - gap.sum()) < 5 * error


@pytest.mark.slow
def test_plans_are_learned_once_and_judged_with_the_rest(tmp_path):
    from dataclasses import replace

    from experiments.beyond_gaussian.run import EXPERIMENT, PLANS, SMALLEST, run
    from experiments.session import Session

    config = replace(SMALLEST, steps=(3,))
    folders = (tmp_path / "results", tmp_path / "work")
    run(Session(EXPERIMENT.name, config, ("seeds",), ("mixture-4-0.9",), (0, 1), *folders))
    for seed in (0, 1):
        document = json.loads((tmp_path / f"results/mixture-4-0.9-{seed}.json").read_text())
        assert document["steps"]["3"].keys() >= set(PLANS)
    assert len(list(tmp_path.glob("work/plans/*.json"))) == 2


def moments(draws):
    return draws.mean(0), np.cov(draws.T)


@pytest.mark.parametrize("name", ["mixture-4-0.9", "mixture-16-0.99", "tails-3"])
def test_every_prior_has_the_one_covariance(name):
    from experiments.beyond_gaussian.priors import PRIORS, case_of, kurtosis, spectrum

    case, n = case_of(PRIORS[name], 0), 40_000
    lam = spectrum().eigenvalues
    white = case.draw(n, np.random.default_rng(0)) / np.sqrt(lam)
    mean, covariance = moments(white)
    assert np.abs(mean).max() < 5 / math.sqrt(n)
    heavy = 3 + kurtosis(PRIORS[name]) if PRIORS[name].kind == "tails" else 3
    assert np.abs(covariance - np.eye(len(lam))).max() < 5 * math.sqrt(heavy / n)


@pytest.mark.thorough
def test_draws_are_those_of_the_denoiser():
    """E[x0 | y] is the least squares estimate: its error is uncorrelated with the estimate."""
    from experiments.beyond_gaussian.priors import PRIORS, case_of

    rng, n = np.random.default_rng(1), 5_000
    for name in ("mixture-4-0.9", "tails-3"):
        case = case_of(PRIORS[name], 0)
        x0 = case.draw(n, rng)
        found = np.asarray(case.prior(x0 + 0.5 * rng.normal(size=x0.shape), 1.0, 0.5))
        products = ((x0 - found) * found).sum(1)
        assert abs(products.mean()) < 5 * products.std() / math.sqrt(n)


@pytest.mark.thorough
def test_negentropy_of_well_separated_components():
    """log K nats say which component; K - 1 directions have log(1 - r) / 2 less each."""
    from experiments.beyond_gaussian.priors import PRIORS, case_of, negentropy

    n = 5_000
    for name, k, r in (("mixture-4-0.999", 4, 0.999), ("mixture-2-0.99", 2, 0.99)):
        ideal = -(k - 1) / 2 * math.log(1 - r) - math.log(k)
        found = negentropy(case_of(PRIORS[name], 0), n, 0)
        assert abs(found - ideal) < 5 * math.sqrt(32 / 2 / n)  # the variance of 32 squares / 2
    assert abs(negentropy(case_of(PRIORS["gaussian"], 0), n, 0)) < 5 * math.sqrt(16 / n)


@pytest.mark.parametrize(("k", "r"), [(2, 0.99), (4, 0.5), (16, 0.99)])
def test_how_far_two_means_are_apart(k, r):
    """sqrt(2 K) times the separation, in deviations around each: whitened, from the definition."""
    from experiments.beyond_gaussian.priors import PRIORS, simplex

    means, within = simplex(k) * math.sqrt(r), math.sqrt(1 - r)
    assert np.allclose(means.T @ means / k, r * np.eye(k - 1))  # the share of the variance
    apart = np.linalg.norm(means[0] - means[1]) / within
    separation = PRIORS[f"mixture-{k}-{r}"].separation
    assert apart == pytest.approx(math.sqrt(2 * k) * separation)


def invented(mine, rival=1.0, name="gaussian", steps=("3",)):
    """Documents of a subject, one a seed, whose DDIM schedule is that far from the solution."""
    names = ("cosine", "linear", "sigmoid", "karras", "uniform_logsnr", "align_your_steps")
    rivals = {f"ddim {x}": {"squared": rival} for x in names}
    return [
        {"subject": name, "seed": seed, "config": {"samplers": ["ddim"], "steps": list(steps)},
         "steps": {s: {**rivals, "ddim learned W2": {"squared": x}} for s in steps}}
        for seed, x in enumerate(mine)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        ((0.8, 0.81, 0.82), "yes"),
        ((1.2, 1.21, 1.22), "**no**"),
        ((0.8, 0.9, 0.95), "**not clear**"),  # 2.5 standard errors of the logarithm; 4.3 are needed
        ((0.8,), "**not clear**"),
    ],
)
def test_three_seeds_are_judged_by_student(mine, verdict):
    from experiments.beyond_gaussian.summary import ratio

    found = ratio(invented(mine), "ddim learned W2", "squared", ["3"])
    assert found.verdict == verdict
    assert found.mean == pytest.approx(np.prod(mine) ** (1 / len(mine)))


def test_ratios_of_what_is_as_good_as_the_fine_solution_are_bounds():
    from experiments.beyond_gaussian.summary import ratio

    found = ratio(invented((7e-8, 8e-8), 1e-3), "ddim learned W2", "squared", ["3"])
    assert str(found) == "<= 0.0001 ± 0"
    assert ratio(invented((7e-8, 8e-8), 7e-8), "ddim learned W2", "squared", ["3"]).mean == 1


def test_no_claim_on_every_one_holds_while_one_is_missing(tmp_path):
    from experiments.beyond_gaussian.run import FAMILIES
    from experiments.beyond_gaussian.summary import claims

    title, names = next(iter(FAMILIES.items()))
    for count, verdict in ((len(names) - 1, "**not clear**"), (len(names), "yes")):
        for name in names[:count]:
            for document in invented((0.8, 0.8, 0.8), name=name):
                (tmp_path / f"{name}-{document['seed']}.json").write_text(json.dumps(document))
        one = next(x for x in claims(tmp_path) if x.claim.startswith(f"{title}: ddim"))
        assert one.verdict == verdict
        assert ("not yet run" in one.measured) == (verdict != "yes")


@pytest.mark.thorough
def test_results_on_the_gaussian_are_those_in_closed_form():
    """The committed Fréchet distances against W2: a chi-square of the moments of 2,000 samples."""
    from experiments.beyond_gaussian.priors import spectrum
    from experiments.beyond_gaussian.run import EXPERIMENT
    from experiments.beyond_gaussian.summary import read
    from experiments.methods import ENDS, HEURISTICS

    seeds, lam = read("gaussian", EXPERIMENT.results), spectrum().eigenvalues
    n = seeds[0]["config"]["n"]
    for name in HEURISTICS:
        schedule = sx.family(name, 5, alpha_bar_range=ENDS)
        for sampler in ("ddim", "ddpm", "dpmpp_2m"):
            std = sx.transfer(sx.plan(sampler, schedule), spectrum()).std
            exact = sx.loss(spectrum(), schedule, sampler=sampler, loss="w2")
            found = np.mean([x["steps"]["5"][f"{sampler} {name}"]["frechet"] for x in seeds])
            gap = np.sqrt(lam) - std
            # Standard deviations are off by std / sqrt(2 n) each, in all of len(seeds) runs.
            error = math.sqrt(2 * (gap**2 * std**2).sum() / n / len(seeds))
            floor = (std**2).sum() * len(lam) / n
            assert -5 * error <= found - exact <= 5 * error + floor
