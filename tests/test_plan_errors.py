"""What learned plans make of a denoiser's errors, and what is said of it."""

import dataclasses
import json
import math

import numpy as np
import pytest

import specjax as sx
from specjax.learning.heuristics import AMPLIFIED, amplification, heuristics
from specjax.learning.prior_from import prior_from
from specjax.report import learn as report_learn
from specjax.schedules.level_range import LevelRange

LAM = 4.0 * np.arange(1, 9.0) ** -2.0
ENDS = (4e-5, 1.0)


def let_through(plan):
    """The variance at the end of answers that err by the posterior's, answer by answer."""
    total = 0.0
    for wrong in range(plan.calls):
        r = np.zeros((plan.registers, len(LAM)))
        for k in range(plan.calls):
            signal, noise = plan.alpha[k] ** 2 * LAM, plan.sigma[k] ** 2
            answer = plan.alpha[k] * LAM / (signal + noise) * r[0]
            if k == wrong:
                answer = answer + np.sqrt(LAM * noise / (signal + noise))
            r = np.einsum("ij,jd->id", plan.keep[k], r) + plan.pull[k][:, None] * answer
        total += (r[0] ** 2).sum()
    return total


@pytest.fixture(scope="module")
def learned():
    return sx.learn(sx.Spectrum(LAM), 4, max_iterations=60, alpha_bar_range=ENDS)


@pytest.mark.thorough
@pytest.mark.parametrize("process", ["vp", "ve"])
def test_it_is_what_errors_add_up_to_over_the_least_of_the_heuristics(learned, process):
    prior = prior_from(sx.Spectrum(LAM))
    known = heuristics(prior, 4, (sx.ddim, sx.dpmpp_2m, sx.unipc), LevelRange(ENDS), "w2")
    assert known.keys() == learned.baselines.keys()
    least = min(let_through(sx.plan(x.sampler, x.schedule)) for x in known.values())
    wanted = let_through(learned.plan) / least
    assert wanted > 1.1
    given = dataclasses.replace(learned, process=process)
    assert amplification(given, prior) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.thorough
def test_of_a_heuristic_it_is_one_or_more(learned):
    prior = prior_from(sx.Spectrum(LAM))
    found = [
        amplification(
            dataclasses.replace(learned, schedule=one.schedule, corrections=one.corrections("vp")),
            prior,
        )
        for one in heuristics(
            prior, 4, (sx.ddim, sx.dpmpp_2m, sx.unipc), LevelRange(ENDS), "w2"
        ).values()
    ]
    assert min(found) == pytest.approx(1)


def test_without_a_spectrum_it_is_not_known(learned):
    network = sx.priors.Network(lambda x, alpha, sigma: x, (8,))
    assert math.isnan(amplification(learned, network))
    assert report_learn.learned_json([learned], [], [math.nan])["plans"][0]["amplification"] is None


@pytest.mark.parametrize(
    ("prior", "ratio", "said"),
    [
        ("gaussian", AMPLIFIED + 1, True),
        ("gaussian", AMPLIFIED - 1, False),
        ("gaussian", math.nan, False),
        ("network", AMPLIFIED + 1, False),
    ],
)
def test_a_line_says_where_a_network_may_not_follow(learned, capsys, prior, ratio, said):
    result = dataclasses.replace(learned, prior=prior)
    judged = [sx.learning.Verdict(4, prior, prior, learned.value, learned.objective, learned.terms)]
    report_learn.print_learned([result], judged, [ratio], ["plan.json"])
    assert ("count 5 times what they do in the best of" in capsys.readouterr().out) == said


@pytest.mark.thorough
def test_the_command_says_it_in_json(run, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(64, 8)) * np.sqrt(LAM))
    args = ("--prior", "gaussian", "--steps", 2, "--max-iterations", 20, "--plot", "None")
    code, out, _ = run("learn", "x.npy", *args, "--json")
    assert code == 0
    (plan,) = json.loads(out)["plans"]
    prior = sx.priors.prior_of("gaussian", sx.data.open(tmp_path / "x.npy"))
    wanted = amplification(sx.load(tmp_path / "plan.json"), prior)
    assert plan["amplification"] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.thorough
def test_under_a_noise_it_is_in_units_of_the_data():
    shape = (2, 4)
    x = np.random.default_rng(0).normal(size=(90, *shape)).cumsum(2)
    spectrum = sx.Spectrum.from_samples(x, method="shift-invariant")
    noise = sx.noise_spectrum("power_law", shape, exponent=1.0)
    result = sx.learn(spectrum, 3, noise=noise, max_iterations=30, alpha_bar_range=ENDS)
    prior = prior_from(spectrum, noise)
    under = prior.spectrum
    variance = under.whitening.variance

    def errors(plan):
        found = sx.transfer(plan, under, denoiser_error=1.0)
        return (variance * found.error).sum()

    known = heuristics(prior, 3, (sx.ddim, sx.dpmpp_2m), LevelRange(ENDS), "w2").values()
    least = min(errors(sx.plan(x.sampler, x.schedule)) for x in known)
    assert amplification(result, prior) == pytest.approx(errors(result.plan) / least, rel=1e-6)
