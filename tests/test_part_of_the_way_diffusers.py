"""Plans from data, and plans of several steps, in pipelines of diffusers."""

from types import SimpleNamespace

import numpy as np
import pytest
from checks import one_line
from test_plan_file import learned

import specjax as sx
from specjax.schedules.schedule import alpha_sigma

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
diffusers = pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
PlanScheduler = pytest.importorskip("specjax.interop.diffusers").PlanScheduler
small_pipelines = pytest.importorskip("small_pipelines")

SD = small_pipelines.SD
F32 = 2e-5  # of the largest number
LEVELS = sx.NoiseSchedule([-1.5, 0.0, 1.0, 3.0, np.inf])
FLOW = {"num_train_timesteps": 1000, "shift": 3.0, "use_flow_sigmas": True,
        "prediction_type": "flow_prediction"}  # fmt: skip


def part(**changes):
    """A learned plan from data, without noise in its steps."""
    return learned(**{"schedule": LEVELS, "sampler": "ddim", "from_data": True, **changes})


class ImageToImage(diffusers.StableDiffusionImg2ImgPipeline):
    def encode_prompt(self, prompt, device, count, guided, negative_prompt=None, **_):
        return small_pipelines.pairs(prompt, negative_prompt, guided, (5, 8))


def test_image_to_image_is_the_plan_from_data_itself():
    pipe = small_pipelines.stable_diffusion(kind=ImageToImage)
    result = part(corrections=None)
    pipe.scheduler = PlanScheduler.from_plan(result, pipe.scheduler.config)
    image = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    made = {
        strength: pipe(
            "a", image=image, strength=strength, num_inference_steps=4, output_type="latent",
            generator=torch.Generator().manual_seed(2), guidance_scale=1.0,
        ).images
        for strength in (0.3, 0.77, 1.0)
    }  # fmt: skip
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    prompt = small_pipelines.embedded("a", 5, 8)
    grid = sx.TrainingGrid.from_config("grid", SD)
    alpha, sigma = (np.asarray(a) for a in alpha_sigma(LEVELS.logsnr, "vp"))
    x = alpha[0] * image + sigma[0] * noise
    for k in range(4):  # DDIM by hand
        t = torch.tensor(float(grid.timestep(LEVELS.logsnr[k])))
        with torch.no_grad():
            eps = pipe.unet(x.float(), t, encoder_hidden_states=prompt).sample
        x = alpha[k + 1] * (x - sigma[k] * eps) / alpha[k] + sigma[k + 1] * eps
    for samples in made.values():  # of any strength all calls are made
        assert (samples - x).abs().max() < 50 * F32 * x.abs().max()


@pytest.mark.parametrize("strength", [0.1, 0.6, 0.71, 1.0])
@pytest.mark.parametrize(
    ("kind", "config", "process"),
    [("StableDiffusionImg2ImgPipeline", SD, "vp"),
     ("StableDiffusionXLImg2ImgPipeline", SD, "vp"),
     ("StableDiffusion3Img2ImgPipeline", FLOW, "flow"),
     ("FluxImg2ImgPipeline", FLOW, "flow"),
     ("QwenImageImg2ImgPipeline", FLOW, "flow")],
)  # fmt: skip
def test_no_pipeline_skips_a_call(kind, config, process, strength):
    pipeline = getattr(diffusers, kind, None)
    if pipeline is None:
        pytest.skip(f"this diffusers has no {kind}")
    scheduler = PlanScheduler.from_plan(part(process=process), config)
    scheduler.set_timesteps(4, **({"sigmas": np.ones(4)} if process == "flow" else {}))
    timesteps, _ = pipeline.get_timesteps(SimpleNamespace(scheduler=scheduler), 4, strength, "cpu")
    assert len(timesteps) == 4
    assert scheduler.begin_index in (None, 0)
    data, noise = torch.randn(2, 3, 4, 8, 8).double()
    noised = scheduler.add_noise(data, noise, timesteps[:1].repeat(3))
    alpha, sigma = alpha_sigma(LEVELS.logsnr[0], process)
    assert (noised - alpha * data - sigma * noise).abs().max() < 1e-5


def test_a_start_from_noise_alone_is_named():
    scheduler = PlanScheduler.from_plan(part(), SD)
    x = torch.randn(1, 4, 8, 8)
    with pytest.warns(UserWarning, match="add_noise"):
        scheduler.step(x, scheduler.timesteps[0], x)
    again = PlanScheduler.from_config(scheduler.config)
    again.add_noise(x, x, again.timesteps[:1])
    again.step(x, again.timesteps[0], x)  # no warning


def test_num_inference_steps_chooses_one_of_several(tmp_path):
    plans = sx.PlanSet([
        part(schedule=sx.NoiseSchedule(levels), corrections=None, from_data=False)
        for levels in ([-4.5, 0.0, np.inf], [-4.5, -2.0, 0.0, 2.0, np.inf])
    ])  # fmt: skip
    path = sx.save(tmp_path / "plans.json", plans)
    scheduler = PlanScheduler.from_file(path, SD)
    scheduler.save_pretrained(tmp_path / "kept")
    for one in (scheduler, PlanScheduler.from_pretrained(tmp_path / "kept")):
        for steps in (2, 3, 4, None):
            one.set_timesteps(steps)
            wanted = plans.of(steps or 4).plan
            assert len(one.timesteps) == one.num_inference_steps == wanted.calls
            x, rows = torch.ones(1, 1, 2, 2, dtype=torch.float64), []
            for t in one.timesteps:
                x = one.step(0.5 * x, t, x).prev_sample
                rows.append(float(x[0, 0, 0, 0]))
            r = np.eye(1, wanted.registers)[0]
            for k in range(wanted.calls):
                d = (1 - 0.5 * wanted.sigma[k]) * r[0] / wanted.alpha[k]
                r = wanted.keep[k] @ r + wanted.pull[k] * d
                assert rows[k] == pytest.approx(r[0], rel=1e-9)
    assert "num_inference_steps" in one_line(scheduler.set_timesteps, 5)
