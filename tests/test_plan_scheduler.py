"""Plans as a scheduler of diffusers, alone and inside its pipelines."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from checks import by_default, one_line
from test_interop import documented
from test_plan_file import learned, untouched

import specjax as sx
from specjax.schedules.schedule import alpha_sigma

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
diffusers = pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
PlanScheduler = pytest.importorskip("specjax.interop.diffusers").PlanScheduler

# NumPy 2 on torch tensors, inside diffusers.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

F32 = 2.0**-23
STEP = 4e-5  # relative: diffusers' float32 sigmas and timesteps
NETWORK = 2e-5  # of the largest number: a UNet and samples of float32 over 4 calls
DDPM = {"beta_schedule": "linear"}
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
LEVELS = sx.NoiseSchedule([-4.5, -1.0, 1.0, 3.0, np.inf])  # within every grid


def plan_of(**changes):
    """A learned plan with noise and two remembered estimates."""
    return learned(**{"schedule": LEVELS, **changes})


def estimate(x, alpha, sigma):
    """A denoiser of torch tensors that is not linear."""
    s = sigma / alpha
    return x / alpha / (1 + s**2 + (x / alpha) ** 2) ** 0.5


def network_of(kind, config=None):
    """``(x, t) -> answer`` of the same denoiser; t is a timestep of the training grid."""
    grid = sx.TrainingGrid.from_config("grid", config or DDPM)

    def network(x, t):
        alpha, sigma = (float(a) for a in alpha_sigma(grid.logsnr_at(np.float64(t)), "vp"))
        x0 = estimate(x, alpha, sigma)
        eps = (x - alpha * x0) / sigma
        return {"epsilon": eps, "sample": x0, "v_prediction": alpha * eps - sigma * x0}[kind]

    return network


def through(scheduler, network, x, **options):
    """What a pipeline does."""
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        answer = network(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(answer, t, x, **options).prev_sample
    return x


def unit(seed=0, shape=(3, 4), dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def directly(result, tmp_path, denoise, noise):
    """The plan in VP by the reader in the docs."""
    path = sx.save(tmp_path / "direct.json", replace(result, process="vp"))
    return documented()(path, denoise, noise)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("sampler", [None, "heun", "lms"])
def test_it_runs_the_rows_of_the_plan(tmp_path, kind, sampler):
    result = plan_of() if sampler is None else replace(untouched(sampler), schedule=LEVELS)
    path = sx.save(tmp_path / "plan.json", result)
    scheduler = PlanScheduler.from_file(path, prediction_type=kind)
    found = through(scheduler, network_of(kind), unit(), generator=torch.Generator().manual_seed(7))
    draws, first = torch.Generator().manual_seed(7), [unit()]

    def noise():
        made = first.pop() if first else torch.randn((3, 4), generator=draws, dtype=torch.float64)
        return made.numpy()

    wanted = directly(result, tmp_path, estimate, noise)
    # Timesteps are float32: of 1000, they are off by 3e-5, and levels by a hundredth of it.
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-5)
    assert len(scheduler.timesteps) == result.plan.calls
    assert len(scheduler) == 1000


def test_a_plan_of_ddim_is_eulers_along_its_sigmas():
    for process, spacing in (("vp", "leading"), ("ve", "linspace")):
        result = untouched("ddim")
        result = replace(result, schedule=LEVELS, process=process)
        euler = diffusers.EulerDiscreteScheduler(**SD, timestep_spacing=spacing)
        euler.set_timesteps(sigmas=list(LEVELS.sigmas))
        own = PlanScheduler.from_plan(result, euler.config)
        own.set_timesteps(4)
        network = network_of("epsilon", SD)
        np.testing.assert_allclose(own.timesteps, euler.timesteps, rtol=1e-3)  # its float32 table
        wanted = through(euler, network, unit())
        found = through(own, network, unit())
        np.testing.assert_allclose(found, wanted, rtol=STEP, atol=STEP)
        alpha = alpha_sigma(LEVELS.logsnr[0], "vp")[0]
        assert own.init_noise_sigma == pytest.approx(alpha * float(euler.init_noise_sigma))


def small_unet():
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=4,
        block_out_channels=(8, 16), down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), attention_head_dim=4,
    ).eval()  # fmt: skip


def watched(scheduler, monkeypatch):
    """What its steps return: pipelines clamp in the end."""
    seen, step = [], scheduler.step

    def watch(*args, **kwargs):
        seen.append(step(*args, **kwargs).prev_sample)
        return type("Output", (), {"prev_sample": seen[-1]})

    monkeypatch.setattr(scheduler, "step", watch)
    return seen


def direct_unet(unet, result, tmp_path, kind, seed, config=None):
    """The same UNet and noise along the plan, in NumPy."""
    grid = sx.TrainingGrid.from_config("grid", config or DDPM)
    draws = torch.Generator().manual_seed(seed)

    def denoise(x, alpha, sigma):
        t = torch.tensor(np.float32(grid.timestep_of_sigma(sigma / alpha)))
        with torch.no_grad():
            answer = unet(torch.tensor(x, dtype=torch.float32), t).sample.numpy()
        if kind == "sample":
            return answer
        return (x - sigma * answer) / alpha if kind == "epsilon" else alpha * x - sigma * answer

    return directly(
        result, tmp_path, denoise, lambda: torch.randn((2, 1, 8, 8), generator=draws).numpy()
    )


@pytest.mark.parametrize("kind", by_default(["epsilon", "v_prediction", "sample"], 0))
def test_inside_a_pipeline_the_images_are_those_of_the_plan(tmp_path, monkeypatch, kind):
    unet, result = small_unet(), plan_of()
    pipe = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(prediction_type=kind))
    pipe.set_progress_bar_config(disable=True)
    path = sx.save(tmp_path / "plan.json", result)
    pipe.scheduler = PlanScheduler.from_file(path, config=pipe.scheduler.config)
    seen = watched(pipe.scheduler, monkeypatch)
    images = pipe(
        batch_size=2, num_inference_steps=4, generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).images  # fmt: skip
    wanted = direct_unet(unet, result, tmp_path, kind, seed=5)
    assert len(seen) == 4
    atol = NETWORK * np.abs(wanted).max()
    np.testing.assert_allclose(seen[-1].numpy(), wanted, rtol=0, atol=atol)
    clamped = (wanted / 2 + 0.5).clip(0, 1).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(images, clamped, rtol=0, atol=atol)
    assert images.std() > 0.05


@pytest.mark.slow
def test_a_saved_pipeline_loads_in_a_new_process(tmp_path):
    pipe = diffusers.DDPMPipeline(small_unet(), PlanScheduler.from_plan(plan_of(process="ve")))
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(tmp_path / "pipe")
    options = {"num_inference_steps": 4, "output_type": "np"}
    wanted = pipe(generator=torch.Generator().manual_seed(1), **options).images
    code = f"""
import numpy, sys, torch, diffusers
import specjax.interop.diffusers  # diffusers imports no module because a folder names it
pipe = diffusers.DiffusionPipeline.from_pretrained("pipe")
assert type(pipe.scheduler) is specjax.interop.diffusers.PlanScheduler
numpy.save("back.npy", pipe(generator=torch.Generator().manual_seed(1), **{options}).images)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), wanted)


@pytest.mark.slow
def test_latents_of_a_plan_of_ve_start_from_its_first_sigma(tmp_path, monkeypatch):
    torch.manual_seed(0)
    vae = diffusers.VQModel(
        in_channels=1, out_channels=1, latent_channels=1, norm_num_groups=4,
        block_out_channels=(8,), num_vq_embeddings=8,
    ).eval()  # fmt: skip
    unet, result = small_unet(), plan_of(process="ve", corrections=None, sampler="dpmpp_2m")
    pipe = diffusers.LDMPipeline(vae, unet, PlanScheduler.from_plan(result, SD))
    pipe.set_progress_bar_config(disable=True)
    seen = watched(pipe.scheduler, monkeypatch)
    pipe(2, generator=torch.Generator().manual_seed(2), num_inference_steps=4, output_type="np")
    sigma = alpha_sigma(LEVELS.logsnr[0], "vp")[1]
    draws = torch.Generator().manual_seed(2)
    start = sigma * torch.randn((2, 1, 8, 8), generator=draws).numpy()
    grid = sx.TrainingGrid.from_config("sd", SD)
    path = sx.save(tmp_path / "vp.json", replace(result, process="vp"))

    def denoise(x, alpha, sigma):
        t = torch.tensor(np.float32(grid.timestep_of_sigma(sigma / alpha)))
        with torch.no_grad():
            eps = unet(torch.tensor(x, dtype=torch.float32), t).sample.numpy()
        return (x - sigma * eps) / alpha

    wanted = documented()(path, denoise, lambda: start)
    atol = NETWORK * np.abs(wanted).max()
    np.testing.assert_allclose(seen[-1].numpy(), wanted, rtol=0, atol=atol)


def test_it_is_saved_and_loaded_with_the_plan_in_its_configuration(tmp_path):
    betas = np.linspace(1e-4, 0.03, 500)
    made = PlanScheduler.from_plan(plan_of(), trained_betas=betas.tolist())
    made.save_pretrained(tmp_path)
    text = (tmp_path / "scheduler_config.json").read_text()
    json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    back = PlanScheduler.from_pretrained(tmp_path)
    assert set(made.config) - set(back.config) <= {"_use_default_values"}
    assert all(back.config[name] == made.config[name] for name in back.config)
    assert back.config.num_train_timesteps == 500
    assert len(back) == 500
    np.testing.assert_array_equal(back.timesteps, made.timesteps)
    one, other = (
        through(s, network_of("epsilon"), unit(), generator=torch.Generator().manual_seed(0))
        for s in (made, back)
    )
    np.testing.assert_array_equal(one, other)
    for load in (PlanScheduler.from_pretrained, PlanScheduler.from_file):
        path = sx.save(tmp_path / "plan.json", plan_of())
        direct = load(path, trained_betas=betas.tolist())
        np.testing.assert_array_equal(direct.timesteps, made.timesteps)
    again = PlanScheduler.from_config(made.config)
    np.testing.assert_array_equal(again.timesteps, made.timesteps)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_beginning_in_the_middle_is_the_plan_of_the_rest(tmp_path, sampler):
    result = replace(untouched(sampler), schedule=LEVELS)
    scheduler = PlanScheduler.from_plan(result)
    for begin in (None, 2):  # told by the pipeline, or found by the timestep
        scheduler.set_timesteps(4)
        if begin is not None:
            scheduler.set_begin_index(begin)
        x0, network = unit(1), network_of("epsilon")
        x = scheduler.add_noise(x0, unit(2), scheduler.timesteps[2:3].repeat(3))
        for t in scheduler.timesteps[2:]:
            x = scheduler.step(network(x, t), t, x).prev_sample
        rest = replace(result, schedule=sx.NoiseSchedule(LEVELS.logsnr[2:]))
        alpha, sigma = alpha_sigma(LEVELS.logsnr[2], "vp")
        start = alpha * x0.numpy() + sigma * unit(2).numpy()
        wanted = directly(rest, tmp_path, estimate, lambda start=start: start)
        np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-5)
    assert scheduler.step_index == 4


def test_a_plan_that_remembers_slopes_begins_at_its_start():
    scheduler = PlanScheduler.from_plan(replace(untouched("lms"), schedule=LEVELS))
    scheduler.set_begin_index(1)
    message = one_line(scheduler.step, unit(), scheduler.timesteps[1], unit())
    assert "a plan of lms cannot begin at call 1" in message


def test_noise_is_added_as_by_the_scheduler_of_the_training():
    other = diffusers.DDPMScheduler()
    own = PlanScheduler.from_plan(plan_of(), other.config)
    t = torch.tensor([0, 500, 999])
    found, wanted = (s.add_noise(unit(1), unit(2), t) for s in (own, other))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)  # its float32 table


def test_half_precision_is_computed_in_single():
    scheduler = PlanScheduler.from_plan(plan_of(corrections=None, sampler="ddim"))
    x, eps = unit().to(torch.float16), unit(1).to(torch.float16)
    out = scheduler.step(eps, scheduler.timesteps[0], x)
    before, d = scheduler.from_plan(plan_of(corrections=None, sampler="ddim")).step(
        eps.double(), scheduler.timesteps[0], x.double(), return_dict=False
    )
    assert (out.prev_sample.dtype, out.pred_original_sample.dtype) == (torch.float16, torch.float32)
    np.testing.assert_allclose(out.prev_sample, before, rtol=2.0**-10)
    np.testing.assert_allclose(out.pred_original_sample, d, rtol=4 * F32)


def test_levels_outside_the_networks_range_are_not_run():
    wide = sx.NoiseSchedule([-9.0, -1.0, 1.0, 8.0, np.inf])
    message = one_line(PlanScheduler.from_plan, plan_of(schedule=wide), SD)
    assert "2 level(s) outside the range" in message  # learned coefficients: not without its prior
    outside = plan_of(schedule=sx.NoiseSchedule([-20.0, -19.0, -18.0, -17.0, -16.0]))
    assert "outside the range" in one_line(PlanScheduler.from_plan, outside)
    given = sx.LearnedResult.from_schedule(wide)  # nobody learned it: the ends are moved
    with pytest.warns(UserWarning, match=r"2 level\(s\) clipped to the range of grid .* 0.02917"):
        scheduler = PlanScheduler.from_plan(given, SD)
    np.testing.assert_allclose(scheduler.timesteps[[0, -1]], [999, 0], atol=1e-3)
    sigmas = np.array(scheduler.config.plan["sigma"]) / np.array(scheduler.config.plan["alpha"])
    grid = sx.TrainingGrid.from_config("sd", SD)
    np.testing.assert_allclose(sigmas[[0, -1]], grid.sigma_range[::-1], rtol=1e-12)


@pytest.mark.thorough
def test_a_fit_that_exceeds_the_grid_is_learned_again_and_remembers_a_grid():
    spectrum = sx.Spectrum.power_law(400, 2.0, 40.0)
    with pytest.warns(UserWarning, match="learned again within"):
        again = PlanScheduler.from_plan(sx.fit(spectrum, 4), SD)
    wanted = sx.fit(spectrum, 4, grid=SD)
    remembered = PlanScheduler.from_plan(wanted)
    assert remembered.config.beta_end == SD["beta_end"]
    for scheduler in (again, remembered):
        sigmas = np.array(scheduler.config.plan["sigma"]) / scheduler.config.plan["alpha"]
        np.testing.assert_allclose(sigmas, wanted.schedule.sigmas[:-1], rtol=1e-4)


def test_learned_variances_are_cut_off_and_nothing_is_broadcast():
    x, answer = unit(0, (2, 3, 4, 4)), unit(1, (2, 6, 4, 4))
    plain, with_variance = (
        PlanScheduler.from_plan(plan_of(), variance_type=kind) for kind in (None, "learned_range")
    )
    options = {"return_dict": False}
    one, other = (
        s.step(a, s.timesteps[0], x, generator=torch.Generator().manual_seed(0), **options)[0]
        for s, a in ((plain, answer[:, :3]), (with_variance, answer))
    )
    np.testing.assert_array_equal(one, other)
    for given in (answer, answer[:, :1], answer[:1, :3], answer[:, :3, :2]):
        assert "model_output" in one_line(plain.step, given, plain.timesteps[1], x)


def test_what_pipelines_and_training_ask_of_a_scheduler():
    other = diffusers.DDPMScheduler(**SD)
    own = PlanScheduler.from_plan(plan_of(), other.config)
    for name in ("betas", "alphas_cumprod"):
        np.testing.assert_allclose(getattr(own, name), getattr(other, name), rtol=1e-3, atol=1e-6)
    asked = unit(1), unit(2), torch.tensor([0, 500, 999])
    np.testing.assert_allclose(own.get_velocity(*asked), other.get_velocity(*asked), atol=1e-4)
    assert not hasattr(own, "sigmas")
    with pytest.raises(AttributeError, match="has no 'sigmas'"):
        _ = own.sigmas
    assert "sigmas" in one_line(lambda: own.sigmas)


@pytest.mark.slow
def test_pipelines_that_give_more_to_a_step_are_served():
    pipe = diffusers.DDIMPipeline(small_unet(), diffusers.DDIMScheduler())
    pipe.scheduler = PlanScheduler.from_plan(plan_of(), pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 4, "output_type": "np"}
    assert np.isfinite(pipe(generator=torch.Generator().manual_seed(0), **options).images).all()
    assert "eta" in one_line(pipe, eta=0.5, **options)


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({"_class_name": "TCDScheduler", "eta": 0.3}, {}, "TCDScheduler has no beta_schedule"),
        ({**SD, "use_flow_sigmas": True, "prediction_type": "sample"}, {}, "prediction_type = "),
        (None, {"beta_stop": 1}, "option = 'beta_stop'"),
        (None, {"beta_schedule": "sigmoid"}, "beta_schedule = 'sigmoid'"),
        (None, {"trained_betas": [0.1, 2.0]}, "betas outside (0, 1)"),
    ],
)
def test_networks_that_cannot_be_served_are_named(config, options, message):
    assert message in one_line(PlanScheduler.from_plan, plan_of(), config, **options)


def test_mistakes_are_one_line():
    scheduler = PlanScheduler.from_plan(plan_of())
    message = one_line(scheduler.set_timesteps, 50)
    assert "num_inference_steps = 50: the plan has 4 steps; give 4" in message
    for name, asked in {"original_inference_steps": 50, "mu": 1.0, "timesteps": [9, 1]}.items():
        assert name in one_line(scheduler.set_timesteps, 4, **{name: asked})
    assert "none of the plan's" in one_line(scheduler.step, unit(), 20.0, unit())
    scheduler.set_timesteps(4)
    through(scheduler, network_of("epsilon"), unit())
    message = one_line(scheduler.step, unit(), scheduler.timesteps[-1], unit())
    assert "all 4 calls of the plan are done" in message
    assert "PlanScheduler.from_file(path)" in one_line(PlanScheduler)


PURE = sx.NoiseSchedule([-np.inf, -2.0, 0.5, 2.0, np.inf])
FLOW = {
    "static": ({"shift": 3.0}, {}),
    "exponential": ({"use_dynamic_shifting": True, "shift": 3.0}, {"mu": 1.15}),
    "linear": ({"use_dynamic_shifting": True, "time_shift_type": "linear"}, {"mu": 2.0}),
    "terminal": ({"shift": 3.0, "shift_terminal": 0.1}, {}),
    "karras": ({"use_karras_sigmas": True}, {}),
    "inverted": ({"invert_sigmas": True, "shift": 2.0}, {}),
    "stochastic": ({"stochastic_sampling": True}, {}),
    "UniPC": (
        {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 5.0}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "given"), FLOW.values(), ids=FLOW)
def test_times_of_a_flow_plan_are_called_as_they_are(config, given):
    """No shift is applied; an exact velocity gives the samples of DDIM in the flow's scale."""
    result = replace(untouched("ddim"), schedule=PURE, process="flow")
    flow, unipc = diffusers.FlowMatchEulerDiscreteScheduler, diffusers.UniPCMultistepScheduler
    own = (unipc if "flow_shift" in config else flow)(**config)
    scheduler = PlanScheduler.from_plan(result, own.config)
    scheduler.set_timesteps(sigmas=[1.0, 0.7, 0.5, 0.2], **given)  # as a pipeline does
    t = np.array([1.0, *(1 / (1 + np.exp([-1.0, 0.25, 1.0])))])
    t, sign = (1 - t, -1) if config.get("invert_sigmas") else (t, 1)
    np.testing.assert_allclose(scheduler.timesteps / 1000, t, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scheduler.sigmas, [*t, 0.5 - sign / 2], rtol=0, atol=1e-6)
    euler = flow(invert_sigmas=sign < 0)
    euler.set_timesteps(sigmas=(t if sign > 0 else 1 - t).tolist())
    euler.scale_model_input, euler.init_noise_sigma = (lambda x, t: x), 1.0

    def velocity(x, at):
        s = float(at) / 1000 if sign > 0 else 1 - float(at) / 1000
        x0 = torch.zeros_like(x) if s > 0.999 else estimate(x, 1 - s, s)
        return sign * (x - x0) / s

    found, wanted = (
        through(one, velocity, unit(dtype=torch.float32)) for one in (scheduler, euler)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    noised = scheduler.scale_noise(unit(1), scheduler.timesteps[1][None], unit(2))
    s = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(noised, (1 - s) * unit(1) + s * unit(2), rtol=0, atol=1e-6)
    assert "num_inference_steps" in one_line(scheduler.set_timesteps, sigmas=[1.0, 0.5])
    assert "timesteps" in one_line(scheduler.set_timesteps, 4, timesteps=[999, 500, 300, 1])


def test_a_plan_of_another_process_runs_in_flow_matching():
    """DDIM of VP and of the flow are the same up to the scale of their samples."""
    levels = sx.NoiseSchedule([-10.5, -2.0, 0.5, 2.0, np.inf])
    made = [
        PlanScheduler.from_plan(
            replace(untouched("ddim"), schedule=levels, process=one), FLOW_CONFIG
        )
        for one in ("vp", "ve", "flow")
    ]

    def velocity(x, at):
        s = float(at) / 1000
        return (x - estimate(x, 1 - s, s)) / s

    found = [through(one, velocity, unit()) for one in made]
    assert made[0].init_noise_sigma == pytest.approx(0.9948, abs=2e-4)
    for one in found[1:]:
        np.testing.assert_allclose(one, found[0], rtol=1e-4, atol=1e-4)
    with pytest.warns(UserWarning, match="from noise alone"):
        PlanScheduler.from_plan(plan_of(), FLOW_CONFIG)


FLOW_CONFIG = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
