"""Learning plans: what is reached, what is never lost, and what decides."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest
from checks import by_default
from plan_oracles import objectives, squared_distances, transfer_loss
from scipy.special import expit

import specjax as sx
from specjax.fitting import limits
from specjax.fitting.learned import PlanResult
from specjax.learning.learn import LEARNED
from specjax.learning.parameters import GROUPS, parameters_of, unpack
from specjax.learning.prior_from import prior_from
from specjax.learning.terms import MEDIAN
from specjax.learning.warm_start import warm_start
from specjax.priors import Empirical, Gaussian, Mixture, Network, ScaleMixture
from specjax.sampling.corrections import Corrections
from specjax.schedules.level_range import LevelRange

SPECTRUM = sx.Spectrum.power_law(24, 1.5)
NOISY = 4.0358e-5
S = 3
N = 48

# float32 samples of a plan, against the same by another program: 1e-6 a call, and the logarithm
# of what is left after a hundredfold cancellation.
SAMPLED = 2e-4


def clusters(n=90, d=5, seed=0):
    """Two clusters of different widths: far from Gaussian."""
    rng = np.random.default_rng(seed)
    side = rng.integers(2, size=n)
    x = rng.standard_normal((n, d)) * np.where(side, 0.6, 0.2)[:, None]
    x[:, 0] += np.where(side, 1.0, -1.0)
    return x.astype(np.float32)


DATA = clusters()


def bend(params, x, alpha, sigma):
    """A small network around the answer for unit variance; one that back-propagation sees."""
    s = sigma / alpha
    y = x / alpha / jax.numpy.sqrt(1 + s**2)
    hidden = jax.numpy.tanh(y @ params[0])
    return y / jax.numpy.sqrt(1 + s**2) + s / (1 + s) * hidden @ params[1]


def network():
    rng = np.random.default_rng(3)
    params = [(rng.standard_normal(shape) / 3).astype(np.float32) for shape in ((5, 8), (8, 5))]
    return Network(jax.tree_util.Partial(bend, params), (5,), sx.Spectrum(np.ones(5)))


RUNGS = {
    "empirical": lambda: Empirical.from_samples(DATA, 0.3),
    "network": network,
    "gaussian": lambda: Gaussian.from_samples(DATA),
    "scale_mixture": lambda: ScaleMixture.from_samples(DATA, 2),
    "mixture": lambda: Mixture.from_samples(DATA, 2),
}


@pytest.fixture(scope="module")
def empirical():
    return RUNGS["empirical"]()


@pytest.fixture(scope="module")
def learned(empirical):
    return sx.learn(empirical, S, n=N)


def best_of(result):
    return min(result.baselines, key=result.baselines.__getitem__)


@pytest.mark.thorough
@pytest.mark.parametrize("steps", by_default([3, 5, 8, 10], 0))
def test_a_gaussian_reaches_what_so_many_calls_can(steps):
    result = sx.learn(SPECTRUM, steps)
    limit = limits.gaussian(SPECTRUM, steps, noisy=NOISY)
    value = transfer_loss(result.plan, SPECTRUM)
    assert limit * (1 - 1e-6) <= value <= limit * 1.003
    assert abs(result.value - np.log(value)) < 1e-6
    assert result.kept == LEARNED
    assert result.groups == ("levels", "ratios", "weights", "noise")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sampler", "steps"), by_default([("ddim", 4), ("heun", 3), ("lms", 4), ("ddpm", 4)], 0)
)
def test_levels_alone_are_what_fit_learns(sampler, steps):
    fitted = sx.fit(SPECTRUM, steps, sampler=sampler, nodes=None)
    result = sx.learn(SPECTRUM, steps, sampler=sampler, groups=("levels",))
    assert result.corrections is None
    assert abs(np.exp(result.value) / fitted.value - 1) < 1e-6
    own, its = (np.asarray(one.schedule.logsnr)[:-1] for one in (result, fitted))
    np.testing.assert_allclose(own, its, atol=1e-4)
    assert result.plan.calls == sx.plan(sampler, fitted.schedule).calls


def recomputed(result, prior, n, part="judging", **options):
    """The objective of a part, and squared distances [n], from nothing but the plan."""
    prior = prior_from(prior)
    aside = prior.held_out or prior
    objective = getattr(objectives(prior, n=n, **options), part)
    squared = squared_distances(result, aside, objective)
    value = np.log(squared + objective.taught.error).mean()
    share = dict(objective.weights).get("transfer")
    if share is not None:
        value += share * np.log(transfer_loss(result.plan, aside.spectrum))
    return value, squared


@pytest.mark.thorough
@pytest.mark.parametrize("rung", by_default(RUNGS, 0, 1))
def test_no_rung_is_worse_than_a_heuristic_on_what_is_held_out(rung, request):
    prior = request.getfixturevalue("empirical") if rung == "empirical" else RUNGS[rung]()
    options = {"objective": {"teacher": 1.0}} if rung == "gaussian" else {}
    result = sx.learn(prior, S, n=N, **options)
    exact = rung in ("empirical", "scale_mixture", "mixture")
    assert result.objective == {"teacher": 1.0, **({"transfer": 0.1} if exact else {})}
    assert result.prior == rung
    assert result.value < min(result.baselines.values()) - 0.1
    assert result.history.shape[1] == 2
    chosen, _ = recomputed(result, prior, N, "held_out", **options)
    assert chosen == pytest.approx(result.history[:, 1].min(), abs=SAMPLED)
    if rung == "network":  # those that are the best on a few noises
        assert len(result.baselines) == 4
    else:
        assert set(result.baselines) >= {"ddim spectral", "dpmpp_2m karras"}
    value, squared = recomputed(result, prior, N, **options)
    assert abs(value - result.value) < SAMPLED
    total = sum(weight * np.log(result.terms[name]) for name, weight in result.objective.items())
    assert result.value == pytest.approx(total, abs=SAMPLED)
    assert result.terms[MEDIAN] == pytest.approx(np.median(squared), rel=10 * SAMPLED)  # of one
    assert result.terms["teacher_mean"] == pytest.approx(squared.mean(), rel=SAMPLED)


def test_what_judges_neither_learned_nor_chose(empirical, learned):
    parts = objectives(empirical, n=N)[:3]
    noises = np.stack([part.taught.noises.start.ravel() for part in parts])
    correlation = np.corrcoef(noises) - np.eye(3)
    assert np.abs(correlation).max() < 5 / np.sqrt(noises.shape[1])
    judged = sx.learning.verdicts([learned], [empirical], n=N)
    assert [one.plan for one in judged] == ["empirical", best_of(learned)]
    assert judged[0].value == pytest.approx(learned.value, abs=SAMPLED)
    assert judged[1].value == pytest.approx(min(learned.baselines.values()), abs=SAMPLED)
    for one, wanted in zip(judged, (learned, plain(best_of(learned))), strict=True):
        median = np.median(recomputed(wanted, empirical, N)[1])
        assert one.terms[MEDIAN] == pytest.approx(median, rel=10 * SAMPLED)


def plain(name):
    """A heuristic plan by its name, made apart."""
    sampler, family = name.split(" ")
    spectral = family == "spectral"
    ends = {"alpha_bar_range": (NOISY, 1.0)}
    data = RUNGS["empirical"]().spectrum
    schedule = sx.spectral(data, S, **ends) if spectral else sx.family(family, S, **ends)
    return type("Plain", (), {"plan": sx.plan(sampler, schedule)})


def test_baselines_are_those_of_the_plain_samplers(empirical, learned):
    for name in ("ddim cosine", "dpmpp_2m uniform_logsnr"):
        assert abs(recomputed(plain(name), empirical, N)[0] - learned.baselines[name]) < SAMPLED


@pytest.mark.thorough
def test_a_seed_repeats_a_result_bit_for_bit(empirical, learned):
    again = sx.learn(empirical, S, n=N)
    assert again.value == learned.value
    np.testing.assert_array_equal(again.schedule.logsnr, learned.schedule.logsnr)
    np.testing.assert_array_equal(again.corrections.ratio, learned.corrections.ratio)
    np.testing.assert_array_equal(again.history, learned.history)
    other = sx.learn(empirical, S, n=N, seed=1)
    assert other.value != learned.value


@pytest.mark.thorough
def test_one_seed_after_another_compiles_nothing(empirical, learned, caplog):
    with caplog.at_level("WARNING", "jax"), jax.log_compiles():
        sx.learn(empirical, S, n=N, seed=2)
    compiled = [text for text in caplog.messages if text.startswith("Finished XLA compilation")]
    assert not compiled


@pytest.mark.thorough
def test_batches_change_nothing_but_rounding(empirical, learned):
    in_batches = sx.learn(empirical, S, n=N, batch=16)
    assert in_batches.baselines == pytest.approx(learned.baselines, abs=1e-4)
    assert in_batches.value == pytest.approx(learned.value, abs=0.3)  # of 7: another way down


def test_where_nothing_is_gained_the_heuristic_is_kept(empirical, learned):
    result = sx.learn(empirical, S, n=N, max_calls=1)  # not enough for one plan
    assert result.kept == best_of(learned)
    assert result.value == pytest.approx(result.baselines[result.kept], abs=SAMPLED)
    assert abs(recomputed(result, empirical, N)[0] - result.value) < SAMPLED
    assert result.kept.startswith(f"{result.sampler} ")
    own = sx.plan(result.sampler, result.schedule)
    np.testing.assert_allclose(result.plan.pull[:, 0], own.pull[:, 0], atol=1e-6)


def test_what_is_held_out_decides():
    # Learned on one variance, judged on another: what is learned there is worth nothing here.
    wrong = Gaussian(sx.Spectrum([1e-4, 1e-4]), held_out=Gaussian(sx.Spectrum([9.0, 1.0])))
    result = sx.learn(wrong, 1, sampler="ddim", groups=("ratios",), alpha_bar_range=(0.01, 0.99))
    assert result.kept.startswith("ddim")
    assert result.value == min(result.baselines.values())
    assert result.history[0, 0] > result.history[-1, 0]  # it did learn
    assert result.history[0, 1] < result.history[-1, 1]  # and was the worse for it
    np.testing.assert_allclose(result.corrections.ratio, 0, atol=1e-12)


def test_frozen_groups_stay_the_samplers():
    result = sx.learn(SPECTRUM, S, sampler="ddim", groups=("ratios",))
    family = best_of(result).removeprefix("ddim ")
    schedule = sx.spectral(SPECTRUM, S) if family == "spectral" else sx.family(family, S)
    np.testing.assert_allclose(result.schedule.logsnr, schedule.logsnr, atol=1e-6)
    assert result.corrections.memory == 0
    assert np.abs(result.corrections.ratio).max() > 1e-3
    assert result.value < min(result.baselines.values())


@pytest.mark.thorough
def test_a_warm_start_is_at_least_as_good_as_it_was(empirical, learned):
    again = sx.learn(empirical, S, n=N, start=learned, max_iterations=1)
    assert again.value <= learned.value + 1e-4
    assert again.kept == LEARNED
    below = sx.learn(Gaussian.from_samples(DATA), S)
    worth, _ = recomputed(below, empirical, N)
    from_below = sx.learn(empirical, S, n=N, start=[below], max_iterations=1)
    assert from_below.value <= min(worth, *from_below.baselines.values()) + SAMPLED


@pytest.mark.thorough
@pytest.mark.parametrize("clean", [1.0, 0.9999])
def test_plans_of_fewer_steps_are_starts(clean):
    ends = (NOISY, clean)
    few = sx.learn(SPECTRUM, S, sampler="ddim", groups=("levels",), alpha_bar_range=ends)
    more = sx.learn(SPECTRUM, S + 1, sampler="ddim", start=few, alpha_bar_range=ends)
    assert more.value < few.value
    assert more.schedule.steps == S + 1


@pytest.mark.parametrize("clean", [1.0, 0.9999])
def test_a_start_of_fewer_steps_is_stretched_in_time(clean):
    # Equal gaps stay equal ones; constant corrections beyond the sampler get smaller by 3 / 5.
    last = np.inf if clean == 1 else -np.log(1 / clean - 1)
    gap = 4.0 if clean == 1 else (last + 10.0) / 3
    schedule = sx.NoiseSchedule(np.append(-10.0 + gap * np.arange(3), last))
    by_steps = {s: parameters_of(s, sx.ddim, 1, GROUPS, clean == 1, "vp") for s in (3, 5)}
    by = by_steps[3].of_sampler(schedule.logsnr)
    by = Corrections(by.ratio + 0.1, by.weights - 0.2)
    few = PlanResult(
        schedule=schedule,
        corrections=by,
        sampler="ddim",
        process="vp",
        groups=GROUPS,
        objective={},
        value=0.0,
        kept=LEARNED,
        history=np.zeros((0, 2)),
    )
    within = LevelRange((float(expit(-10.0)), clean))
    _, theta = warm_start(few, by_steps[5], np.float64, within)
    ends = np.array([-10.0, last])
    logsnr, found = unpack_in_float64(by_steps[5], theta, ends)
    finite = logsnr[np.isfinite(logsnr)]
    np.testing.assert_allclose(np.diff(finite), gap * 3 / 5, rtol=1e-6)
    np.testing.assert_allclose(found.ratio, 0.1 * 3 / 5, rtol=1e-6)
    np.testing.assert_allclose(found.weights, -0.2 * 3 / 5, rtol=1e-6)
    # Of as many steps it is the plan itself; with other ends, or with noise, it is of no use.
    _, theta = warm_start(few, by_steps[3], np.float64, within)
    np.testing.assert_allclose(unpack_in_float64(by_steps[3], theta, ends)[1].ratio, by.ratio)
    other = LevelRange((within.alpha_bar_range[0], 0.99 if clean == 1 else 1.0))
    noisy = parameters_of(5, sx.ddpm, 1, GROUPS, clean == 1, "vp")
    assert warm_start(few, by_steps[5], np.float64, other) is None
    assert warm_start(few, noisy, np.float64, within) is None


def unpack_in_float64(parameters, theta, ends):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, unpack(parameters, theta, ends))


def test_noise_is_learned_by_itself():
    alone = sx.learn(SPECTRUM, S, sampler="ddpm", process="ve", groups=("noise",))
    np.testing.assert_allclose(
        alone.corrections.ratio[:-1], -np.diff(alone.schedule.logsnr[:-1]) / 2
    )
    assert alone.corrections.noise[-1] == 0
    assert np.abs(alone.corrections.noise[:-1] - 1).max() > 0.05
    assert alone.value < min(alone.baselines.values())
    assert alone.objective == {"transfer": 1.0}


@pytest.mark.thorough
def test_with_every_group_free_noise_is_no_harm():
    # Without noise there is a bound; learning may push none, so it can at least be met.
    whole = sx.learn(SPECTRUM, S, sampler="ddpm", process="ve")
    assert whole.plan.stochastic
    limit = limits.gaussian(SPECTRUM, S, noisy=NOISY, process="ve")
    assert whole.value < np.log(limit) + 0.05


@pytest.mark.thorough
def test_a_sampler_with_noise_learns_by_the_energy_distance():
    # The law of `clusters`, and 1,000 samples of it for each half.
    mean = np.eye(5)[0]
    prior = Mixture.from_covariances([0.5, 0.5], [mean, -mean], [[0.36] * 5, [0.04] * 5])
    options = {"n": 240, "data": clusters(2000)}
    result = sx.learn(prior, S, sampler="dpmpp_2m_sde", **options, max_iterations=60)
    assert result.objective == {"energy": 1.0}
    assert result.plan.stochastic
    assert result.value < min(result.baselines.values())
    objective = objectives(prior, True, **options).judging
    made = np.asarray(objective.samples(result.plan), np.float64)
    data = np.asarray(objective.data, np.float64)

    def pairs(a, b):
        return np.mean(np.linalg.norm(a[:, None] - b, axis=-1))

    expected = np.log(2 * pairs(made, data) - pairs(made, made) - pairs(data, data))
    assert abs(result.value - expected) < 1e-3


def test_held_out_data_are_in_the_coordinates_of_the_held_out_prior():
    # Each half has its own eigenbasis; a plan of many steps makes what its half looks like.
    prior = Gaussian.from_samples(clusters(400, seed=4) @ np.diag([2, 1, 0.5, 0.3, 0.1]))
    data = np.asarray(
        prior.lift(
            np.random.default_rng(0).standard_normal((300, 5)) * np.sqrt(prior.spectrum.eigenvalues)
        )
        + 0
    )
    both = objectives(prior, n=64, objective={"energy": 1.0}, data=data)
    for one, objective in ((prior, both.training), (prior.held_out, both.held_out)):
        lifted = np.asarray(one.lift(np.asarray(objective.data, np.float64)))
        nearest = np.abs(lifted[:, None] - data).max(-1).min(1)
        assert nearest.max() < 1e-5


@pytest.mark.thorough
def test_an_optax_optimiser_learns_too():
    optax = pytest.importorskip("optax")
    result = sx.learn(SPECTRUM, S, sampler="ddim", optimizer=optax.adam(0.05), max_iterations=120)
    assert result.value < min(result.baselines.values()) - 1


def test_progress_rises_to_its_end(empirical):
    seen, solved = [], []
    result = sx.learn(
        empirical, 2, n=N, sampler="ddim", seed=5,
        progress=lambda *now: seen.append(now),
        teacher_progress=lambda what: lambda *now: solved.append((what, *now)),
    )  # fmt: skip
    done, most, gain = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert all(a <= b for a, b in zip(done, most, strict=True))
    assert done[-1] == most[-1] == result.source["calls"]["learning"]
    assert gain[-1] == pytest.approx(result.history[:, 1].min() - result.history[0, 1])
    assert {what for what, *_ in solved} == {
        "fine solutions, training noise", "fine solutions, held-out noise",
        "fine solutions, judging noise",
    }  # fmt: skip
    steps = [now for what, *now in solved if what.endswith("held-out noise")]
    assert steps[-1][0] == steps[-1][1]


def test_of_one_step_to_clean_data_there_is_nothing_to_learn(empirical):
    result = sx.learn(empirical, 1, n=N, sampler="ddim")
    assert result.kept.startswith("ddim")
    assert result.schedule.steps == 1
    assert result.value == min(result.baselines.values())


@pytest.mark.thorough
def test_learning_works_where_jax_is_in_float64(empirical):
    # Samples stay float32; the closed-form term beside them has the spectrum's digits.
    with jax.enable_x64(True):
        result = sx.learn(empirical, 2, n=16, objective={"teacher": 1.0, "transfer": 0.5})
    assert result.value <= min(result.baselines.values())


@dataclass
class Unhashable:
    """A denoiser of a kind that Python gives no hash."""

    variance: float

    def __call__(self, x, alpha, sigma):
        return alpha * self.variance * x / (alpha**2 * self.variance + sigma**2)


def test_a_denoiser_without_a_hash_is_one_too():
    prior = Network(Unhashable(2.0), (3,))
    result = sx.learn(prior, 2, n=8, max_iterations=2, sampler="ddim")
    assert result.value <= min(result.baselines.values())


@pytest.mark.thorough
def test_without_a_name_only_samplers_that_take_the_rest_are_tried():
    spectrum = sx.Spectrum.power_law(4, 2.0)
    result = sx.learn(spectrum, 2, memory=0, max_iterations=20)
    assert result.sampler == "ddim"
    assert result.corrections.memory == 0
    assert not any(name.startswith("dpmpp_2m") for name in result.baselines)


@pytest.mark.parametrize("loss", ["kl", "relative"])
def test_the_closed_form_for_the_loss_is_a_heuristic(loss):
    spectrum = sx.Spectrum.power_law(64, 2.0)
    found = sx.learn(spectrum, 4, sampler="ddim", groups=("levels",), loss=loss, max_iterations=2)
    closed = sx.spectral(spectrum, 4, loss=loss, alpha_bar_range=(4.0358e-5, 1.0))
    wanted = np.log(float(sx.loss(spectrum, closed, loss=loss)))
    assert found.baselines["ddim spectral"] == pytest.approx(wanted, rel=1e-6)
    assert found.loss == loss
