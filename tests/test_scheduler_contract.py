"""PlanScheduler as diffusers' own tests of schedulers want one, in a loop and in pipelines.

docs/howto/diffusers_scheduler.md has the table of their tests; each is answered here.
"""

import inspect
import logging

import numpy as np
import pytest
from checks import by_default, one_line
from test_plan_file import learned

import specjax as sx

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
diffusers = pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
PlanScheduler = pytest.importorskip("specjax.interop.diffusers").PlanScheduler

# NumPy 2 on torch tensors, inside diffusers.
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

V = {"prediction_type": "v_prediction"}
CONFIGS = {
    "ddpm": {"beta_schedule": "linear"},
    "sd, v": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, **V},
    "zero snr": {"beta_schedule": "linear", "rescale_betas_zero_snr": True, **V},
    "flow": {"shift": 3.0},
}
each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def made(config=CONFIGS["ddpm"], **options):
    process = "flow" if "shift" in config else "vp"
    levels = sx.NoiseSchedule([-12.0, -4.0, -1.0, 1.0, 3.0, np.inf])
    if "flow" not in process and "rescale_betas_zero_snr" not in config:
        levels = sx.NoiseSchedule([-4.5, -3.0, -1.0, 1.0, 3.0, np.inf])
    plan = learned(schedule=levels, process=process, corrections=None, sampler="dpmpp_2m_sde")
    return PlanScheduler.from_plan(plan, config, **options)


def samples(n=4, seed=0):
    return torch.rand((n, 3, 8, 8), generator=torch.Generator().manual_seed(seed))


def stepped(scheduler, x=None, **options):
    x, options = samples() if x is None else x, {"generator": torch.manual_seed(0), **options}
    return scheduler.step(0.1 * x, scheduler.timesteps[0], x, **options)


@each
def test_saved_it_steps_as_before(config, tmp_path, caplog):
    first = made(config)
    first.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, "diffusers.configuration_utils"):
        back = PlanScheduler.from_pretrained(tmp_path)
    assert not caplog.records
    own = {name: x for name, x in first.config.items() if name != "_use_default_values"}
    assert own == dict(back.config)
    for scheduler in (first, back):
        scheduler.set_timesteps(5)
    np.testing.assert_array_equal(stepped(first).prev_sample, stepped(back).prev_sample)


@pytest.mark.parametrize("config", by_default([*CONFIGS.values()], 3))
def test_configurations_go_to_other_schedulers_and_back(config):
    first = made(config)
    assert len(first.compatibles) > 10
    for kind in first.compatibles:
        back = PlanScheduler.from_config(kind.from_config(first.config).config)
        wanted = {x: y for x, y in first.config.items() if x in back.config and x[0] != "_"}
        assert {x: y for x, y in back.config.items() if x in wanted} == wanted
        np.testing.assert_array_equal(back.timesteps, first.timesteps)


@each
def test_steps_keep_shapes_and_give_the_same_as_a_tuple(config):
    scheduler = made(config)
    one = stepped(scheduler)
    two = scheduler.step(samples(), scheduler.timesteps[1], samples())
    assert one.prev_sample.shape == two.prev_sample.shape == samples().shape
    scheduler.set_timesteps(5)
    both = stepped(scheduler, return_dict=False)
    for found, wanted in zip(both, one.values(), strict=True):
        np.testing.assert_array_equal(found, wanted)


@each
def test_it_has_what_pipelines_call(config):
    scheduler = made(config)
    assert scheduler.init_noise_sigma == pytest.approx(1, abs=0.02)
    assert scheduler.scale_model_input(samples(), 0.0).shape == samples().shape
    noised = scheduler.add_noise(samples(), samples(seed=1), scheduler.timesteps[3][None])
    assert noised.shape == samples().shape
    same = scheduler.scale_noise(samples(), scheduler.timesteps[3][None], samples(seed=1))
    np.testing.assert_array_equal(noised, same)
    assert "kwargs" not in inspect.signature(PlanScheduler.__init__).parameters
    assert PlanScheduler._deprecated_kwargs == []


def test_betas_of_the_training_are_kept(tmp_path):
    scheduler = made(trained_betas=[0.01, 0.3, 0.5, 0.99])
    scheduler.save_pretrained(tmp_path)
    back = PlanScheduler.from_pretrained(tmp_path)
    np.testing.assert_allclose(back.betas, [0.01, 0.3, 0.5, 0.99], rtol=1e-5)
    np.testing.assert_array_equal(scheduler.betas, back.betas)


def test_attributes_are_found_as_in_other_schedulers():
    scheduler = made()
    scheduler.of_mine = 5
    scheduler.register_to_config(of_configuration=6)
    assert scheduler.of_mine == 5
    with pytest.warns(FutureWarning, match="of_configuration"):
        assert scheduler.of_configuration == 6
    with pytest.raises(AttributeError) as caught:
        _ = scheduler.of_nobody
    assert str(caught.value) == "'PlanScheduler' object has no attribute 'of_nobody'"


def test_a_list_of_generators_makes_each_sample_by_itself():
    together, alone = made(), made()
    x = samples(3)
    lots = [torch.Generator().manual_seed(seed) for seed in range(3)]
    found = stepped(together, x, generator=lots).prev_sample
    wanted = []
    for seed in range(3):
        alone.set_timesteps(5)
        drawn = torch.Generator().manual_seed(seed)
        wanted.append(stepped(alone, x[seed : seed + 1], generator=drawn).prev_sample)
    np.testing.assert_allclose(found, torch.cat(wanted), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@each
def test_half_precision_is_rounded_once_a_step(config, dtype):
    scheduler, x = made(config), samples().to(dtype)
    found = stepped(scheduler, x)
    assert found.prev_sample.dtype == dtype
    wide = made(config)
    answer, z = (0.1 * x).double(), torch.manual_seed(0)
    z = torch.randn(x.shape, generator=z, dtype=dtype)
    rows = wide.config.plan
    x0 = wide.step(answer, wide.timesteps[0], x.double()).pred_original_sample
    keep, pull, push = (rows[name][0] for name in ("keep", "pull", "push"))
    wanted = keep[0][0] * x.double() + pull[0] * x0 + push[0] * z.double()
    assert (found.prev_sample.double() - wanted).abs().max() < 2 * torch.finfo(
        dtype
    ).eps * wanted.abs().max()


class Watched(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes what would make the host wait for a device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        assert "_local_scalar_dense" not in name, name
        assert "nonzero" not in name, name
        kwargs = kwargs or {}
        assert str(kwargs.get("device", "meta")) != "cpu", name
        return function(*args, **kwargs)


@each
def test_steps_do_not_wait_for_a_device(config):
    scheduler = made(config)
    scheduler.set_timesteps(5, device="meta")  # a number could not even be read from it
    x = torch.empty((2, 3, 8, 8), device="meta")
    with Watched():
        for t in scheduler.timesteps:
            x = scheduler.step(scheduler.scale_model_input(x, t), t, x).prev_sample
    assert scheduler.step_index == 5
    scheduler.set_timesteps(5, device="meta")
    t = scheduler.timesteps[2:][0]  # image to image by an old pipeline: no begin_index
    with Watched():
        scheduler.step(x, t, x)
    assert scheduler.step_index == 3


@pytest.mark.slow
def test_compiled_steps_are_the_same():
    eager, compiled = made(), made()
    step = torch.compile(compiled.step, backend="eager")
    x = y = samples()
    for t in eager.timesteps:
        x = eager.step(0.1 * x, t, x, generator=torch.manual_seed(1)).prev_sample
        y = step(0.1 * y, t, y, generator=torch.manual_seed(1)).prev_sample
    np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7)


def test_thresholds_are_those_of_ddim():
    """One step to x0 from wide answers: diffusers' own clipping and thresholding."""
    x, answer = 3 * samples(), samples(seed=1) - 2
    config = {"beta_schedule": "linear", "thresholding": True, "sample_max_value": 1.5}
    for options in ({"thresholding": True}, {"clip_sample": True}):
        other = {"sample_max_value": 1.5, "clip_sample": False, **options}
        ddim = diffusers.DDIMScheduler(**other)
        own = made({**config, "thresholding": options.get("thresholding", False)}, **options)
        t = int(own.timesteps[2])
        ddim.set_timesteps(1000)
        wanted = ddim.step(answer, t, x).pred_original_sample
        alpha, sigma = (own.config.plan[name][2] for name in ("alpha", "sigma"))
        raw = ddim.alphas_cumprod[t] ** 0.5, (1 - ddim.alphas_cumprod[t]) ** 0.5
        # The plan's level is not a whole timestep: the same x0 before it is cut.
        x0 = (x - raw[1] * answer) / raw[0]
        own.set_begin_index(2)
        found = own.step((x - alpha * x0) / sigma, own.timesteps[2], x, return_dict=False)[1]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert made(config).config.plan["thresholds"]["dynamic"] == (0.995, 1.5)
    assert made(config, thresholding=False).config.plan["thresholds"]["dynamic"] is None
    assert made({**config, "clip_sample": True}).config.plan["thresholds"]["clip"] is None


def test_what_differs_from_where_the_plan_was_learned_is_named():
    about = {"prediction_type": "epsilon", "shape": [3, 8, 8], "dtype": "torch.float32"}
    plan = learned(
        schedule=sx.NoiseSchedule([-4.5, -1.0, 1.0, 3.0, np.inf]),
        source={"pipeline": about}, grid=sx.TrainingGrid.from_config("g", CONFIGS["ddpm"]),
    )  # fmt: skip
    PlanScheduler.from_plan(plan, CONFIGS["ddpm"])
    with pytest.warns(UserWarning, match="prediction_type = 'v_prediction'"):
        PlanScheduler.from_plan(plan, {**CONFIGS["ddpm"], **V})
    with pytest.warns(UserWarning, match="beta_schedule = 'scaled_linear'"):
        PlanScheduler.from_plan(plan, {"beta_schedule": "scaled_linear"})
    scheduler = PlanScheduler.from_plan(plan, CONFIGS["ddpm"])
    for x, said in ((torch.ones(1, 3, 4, 4), "shape"), (samples().half(), "dtype")):
        scheduler = PlanScheduler.from_plan(plan, CONFIGS["ddpm"])
        with pytest.warns(UserWarning, match=said):
            scheduler.step(x, scheduler.timesteps[0], x)
        scheduler.step(x, scheduler.timesteps[1], x)  # once
    pure = learned(schedule=sx.NoiseSchedule([-np.inf, -1.0, 1.0, 3.0, np.inf]), corrections=None)
    assert "prediction_type" in one_line(
        PlanScheduler.from_plan, pure, {**CONFIGS["zero snr"], "prediction_type": "epsilon"}
    )
