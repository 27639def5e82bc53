"""Plans of several numbers of steps, and those between them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from checks import one_line
from gaussian_runs import gaussian_run
from test_cli_sample import drawn, sample  # noqa: F401
from test_plan_file import learned

import specjax as sx
from specjax.interop.stepping import as_result
from specjax.sampling.corrections import Corrections, corrections_of
from specjax.sampling.scaled import level_steps
from specjax.schedules.resampled import resampled


def along(steps, ratio=0.0, weight=0.0, clean=np.inf, sampler="ddim", **changes):
    """A plan along equal gaps of logsnr, with constant corrections beyond its sampler."""
    gap = 12 / steps if clean == 6 else 8 / steps
    levels = np.append(-6.0 + gap * np.arange(steps), clean)
    schedule = sx.NoiseSchedule(levels)
    own = corrections_of(getattr(sx, sampler), level_steps(schedule.logsnr, "vp")).remembering(1)
    by = Corrections(own.ratio + ratio, own.weights + weight)
    return learned(schedule=schedule, corrections=by, sampler=sampler, **changes)


@pytest.mark.parametrize("clean", [np.inf, 6.0])
def test_between_two_plans_numbers_are_between_theirs(clean):
    plans = sx.PlanSet([along(6, 0.3, -0.6, clean), along(2, 0.3, -0.6, clean)])
    assert plans.steps == (2, 6)
    found = plans.of(3)
    np.testing.assert_allclose(found.schedule.logsnr, along(3, clean=clean).schedule.logsnr)
    # Of S' steps the corrections get S' / 3 times as large; 3 is three times as near to 2 as to 6.
    own = along(3, clean=clean).corrections
    times = 0.75 * 2 / 3 + 0.25 * 6 / 3
    np.testing.assert_allclose(found.corrections.ratio - own.ratio, 0.3 * times)
    np.testing.assert_allclose(found.corrections.weights - own.weights, -0.6 * times)
    assert found.kept == "between 2 and 6 steps, not learned"
    assert found.is_between
    assert np.isnan(found.value)
    assert found.baselines == found.terms == {}


def test_plain_samplers_stay_plain_ones():
    plans = sx.PlanSet([along(2, sampler="dpmpp_2m"), along(5, sampler="dpmpp_2m")])
    found = plans.of(4)
    wanted = sx.plan("dpmpp_2m", found.schedule)
    for name in ("alpha", "sigma", "keep", "pull"):
        np.testing.assert_allclose(getattr(found.plan, name), getattr(wanted, name), atol=1e-12)
    levels_alone = sx.PlanSet(replace(one, corrections=None) for one in plans)
    np.testing.assert_allclose(levels_alone.of(4).plan.keep, wanted.keep, atol=1e-12)


def test_noise_and_guidance_are_between_theirs():
    few, more = (
        learned(
            schedule=one.schedule, sampler="ddpm", guidance=np.full(one.steps, weight),
            corrections=replace(one.corrections, noise=gain * np.ones(one.steps)),
        )
        for one, weight, gain in (
            (along(2, sampler="ddpm"), 2.0, 0.5), (along(6, sampler="ddpm"), 4.0, 0.5)
        )
    )  # fmt: skip
    found = sx.PlanSet([few, more]).of(4)
    np.testing.assert_allclose(found.guidance, 3.0)
    # DDPM's own gain is 1, so that its logarithm changes by S' / 4 times that of 1/2.
    assert found.corrections.noise[0] == pytest.approx((0.5**0.5 + 0.5**1.5) / 2)
    assert found.plan.stochastic


def test_what_the_plans_had_to_pass_is_passed():
    few, more = (
        learned(
            schedule=sx.NoiseSchedule(levels), corrections=None, sampler="ddim",
            through=(-1.0,), from_data=True,
        )
        for levels in ([-4.0, -1.0, np.inf], [-4.0, -3.0, -2.0, -1.0, 1.0, np.inf])
    )  # fmt: skip
    found = sx.PlanSet([few, more]).of(3)
    assert -1.0 in found.schedule.logsnr
    assert (np.diff(found.schedule.logsnr) > 0).all()
    assert found.plan.signal is not None


def test_a_schedule_of_other_steps_has_its_density():
    schedule = sx.NoiseSchedule([-np.inf, -3.0, -1.0, 1.0, np.inf])
    np.testing.assert_allclose(resampled(schedule, 4).logsnr, schedule.logsnr)
    wanted = [-np.inf, *(-5.0 + np.arange(1, 8)), np.inf]
    np.testing.assert_allclose(resampled(schedule, 8).logsnr, wanted)
    one = sx.NoiseSchedule([-3.0, np.inf])
    assert (np.diff(resampled(one, 3).logsnr[:-1]) > 0).all()


@pytest.mark.parametrize("steps", [1, 7, 2.5])
def test_steps_beyond_those_learned_are_refused(steps):
    plans = sx.PlanSet([along(2), along(6)])
    assert "steps" in one_line(plans.of, steps)


def test_which_one_has_to_be_said():
    plans = sx.PlanSet([along(2), along(6)])
    assert "steps" in one_line(plans.of)
    assert sx.PlanSet([along(2)]).of().steps == 2
    assert "steps" in one_line(sx.generate, plans, lambda x, *_: x, 2, (3,))
    assert "steps" in one_line(sx.generate, plans.plan_of(2), lambda x, *_: x, 2, (3,), steps=2)


@pytest.mark.parametrize(
    "plans",
    [
        [], [along(2), along(2)], [along(2), along(3, clean=6.0)],
        [along(2), along(3, process="ve")], [along(2), along(3, from_data=True)],
        [along(2), along(3, guidance=np.ones(3))], [along(2), 3],
    ],
)  # fmt: skip
def test_plans_of_different_kinds_are_refused(plans):
    assert "plans" in one_line(sx.PlanSet, plans)


def test_one_file_holds_them_all(tmp_path):
    path = sx.save(tmp_path / "plans.json", [along(6, 0.3), along(2, 0.1)])
    plans = sx.load(path)
    assert plans.steps == (2, 6)
    for steps, ratio in ((2, 0.1), (6, 0.3)):
        np.testing.assert_array_equal(plans.of(steps).plan.keep, along(steps, ratio).plan.keep)
    assert as_result(path, 4).steps == 4
    assert as_result(sx.save(tmp_path / "one.json", along(2))).steps == 2
    assert "steps" in one_line(as_result, path)


def test_the_plan_between_is_sampled_and_judged(sample, tmp_path):  # noqa: F811
    plans = sx.PlanSet([along(2), along(6)])
    sx.save(tmp_path / "plans.json", plans)
    args = ("--schedule", "plans.json", "--n", 5, "-o", "x.npz")
    assert sample(*args, "--steps", 4)[0] == 0
    denoise = gaussian_run().denoiser()
    wanted = sx.generate(plans, denoise, 5, (4, 4), steps=4)
    np.testing.assert_array_equal(drawn(tmp_path / "x.npz")[0], wanted)
    assert sample(*args, "--force")[0] == 2
    assert sample(*args, "--force", "--steps", 7)[0] == 2
    spectrum = sx.Spectrum([1.0, 0.1])
    (verdict,) = sx.verdicts([plans.of(4)], [spectrum])
    std = sx.transfer(plans.of(4).plan, spectrum).std
    wanted = ((std - np.sqrt(spectrum.eigenvalues)) ** 2).sum()
    assert (verdict.steps, verdict.plan) == (4, "between 2 and 6 steps, not learned")
    assert verdict.terms["transfer"] == pytest.approx(wanted)


@pytest.mark.thorough
def test_the_command_writes_one_file_and_keeps_it(run, tmp_path):
    sx.save(tmp_path / "s.npz", sx.Spectrum([4.0, 1.0, 0.1]))
    args = ("learn", "s.npz", "--one-file", "-o", "plans.json", "--plot", "None", "--json")
    part = ("--start-level", 0.3, "--through", 0.6, "--max-iterations", 3)
    code, out, err = run(*args, *part, "--steps", 2, 4)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["files"] == ["plans.json"]
    assert [one["steps"] for one in document["plans"]] == [2, 4]
    assert [x["plan"] for x in document["verdicts"] if x["steps"] == 3] == [
        "between 2 and 4 steps, not learned"
    ]
    plans = sx.load(tmp_path / "plans.json")
    for steps in (2, 3, 4):
        levels = plans.of(steps).schedule.alpha_bar
        assert levels[0] == pytest.approx(0.3)
        assert np.isclose(levels, 0.6).any()
    # Those that are there are not learned again.
    code, _, err = run(*args, *part, "--steps", 2, 4, 5)
    assert code == 0
    assert "kept" in err
    again = sx.load(tmp_path / "plans.json")
    assert again.steps == (2, 4, 5)
    np.testing.assert_array_equal(again.of(4).plan.keep, plans.of(4).plan.keep)
    assert run(*args, "--steps", 2, 4)[0] == 2  # others are not lost
