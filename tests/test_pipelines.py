"""Pipelines as denoisers, and plans learned through them, by small ones with random weights."""

import inspect
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from checks import by_default, one_line

import specjax as sx

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
diffusers = pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
pytest.importorskip("transformers", reason="the pipelines of prompts need transformers")
interop = pytest.importorskip("specjax.interop.diffusers")
small = pytest.importorskip("small_pipelines")

# NumPy 2 on torch tensors, inside diffusers.
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

PROMPTS = {"prompts": ["a red fox", "a harbour at night"], "height": 64, "width": 64}
ZERO = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
CASES = {
    "DDPMPipeline": (small.pixels, {}, 1),
    "DDIMPipeline": (lambda: small.pixels(diffusers.DDIMPipeline), {}, 1),
    "v, zero SNR": (lambda: small.pixels(**ZERO), {}, 1),
    "x0": (lambda: small.pixels(prediction_type="sample"), {}, 1),
    "Stable Diffusion": (
        small.stable_diffusion, {**PROMPTS, "guidance_scale": 5.0, "negative_prompt": "bad"}, 2,
    ),
    "v, zero SNR, rescaled guidance": (
        lambda: small.stable_diffusion(diffusers.DDIMScheduler, clip_sample=False, **ZERO),
        {**PROMPTS, "guidance_scale": 5.0, "guidance_rescale": 0.7}, 2,
    ),
    "DiT, variances": (small.dit, {"labels": [1, 2], "guidance_scale": 3.0}, 2),
    "DiT, flow": (lambda: small.dit(small.flow()), {"labels": [1, 2], "guidance_scale": 3.0}, 2),
    "SD3": (small.sd3, {**PROMPTS, "guidance_scale": 5.0}, 2),
    "Flux": (small.flux, {**PROMPTS, "guidance_scale": 3.5}, 1),
    "Flux, true guidance": (
        small.flux, {**PROMPTS, "true_cfg_scale": 4.0, "negative_prompt": "bad"}, 2,
    ),
    "Wan": (small.wan, {**PROMPTS, "num_frames": 5, "guidance_scale": 5.0}, 2),
    "Lumina": (small.lumina2, {**PROMPTS, "guidance_scale": 4.0}, 2),
}  # fmt: skip
each = pytest.mark.parametrize(("make", "options", "weight"), CASES.values(), ids=CASES)


def ddim(denoiser, x, calls):
    """DDIM by the denoiser, along the calls (alpha, sigma) to the clean end."""
    for (alpha, sigma), (alpha_next, sigma_next) in zip(calls, [*calls[1:], (1, 0)], strict=True):
        d = denoiser(x, alpha, sigma, np.zeros(len(x), int))
        x = alpha_next * d + sigma_next * (x - alpha * d) / sigma
    return x


def waiting():
    """The number of pipelines that wait for questions."""
    return sum("pipeline" in one.name for one in threading.enumerate())


class LastStep(BaseException):
    pass


def before_and_after(pipe, named, steps):
    """What a pipeline's scheduler is given at first and returns at last; nothing is decoded."""
    seen, step = [], pipe.scheduler.step

    def watched(answer, t, sample, *more, **others):
        made = step(answer, t, sample, *more, **{**others, "return_dict": True})
        seen.extend([sample, made.prev_sample])
        if len(seen) == 2 * steps:
            raise LastStep
        return made if others.get("return_dict", True) else (made.prev_sample,)

    watched.__signature__ = inspect.signature(step)
    pipe.scheduler.step = watched
    with pytest.raises(LastStep):
        pipe(**named)
    return seen[0].double().numpy(), seen[-1].double().numpy()


@each
def test_a_plan_in_the_pipeline_is_the_plan_along_its_denoiser(make, options, weight):
    """What a pipeline with PlanScheduler makes is what DDIM makes in NumPy by its answers."""
    pipe = make()
    with interop.PipelineDenoiser(pipe, batch=2, **options) as denoiser:
        denoiser.check()  # against diffusers' own DDIM or FlowMatchEuler
        process, pure = denoiser.network.process, denoiser.network.grid.ends_pure
        levels = sx.NoiseSchedule([-np.inf if pure else -4.0, -1.0, 2.0, np.inf])
        result = sx.LearnedResult.from_schedule(levels)
        pipe.scheduler = interop.PlanScheduler.from_plan(result, pipe.scheduler.config)
        named = denoiser._named((0, 0)) | {"generator": torch.Generator().manual_seed(3)}
        before = denoiser.network_calls, denoiser.box.answers
        first, found = before_and_after(pipe, {**named, "num_inference_steps": 3}, 3)
        plan = sx.plan("ddim", levels, process)
        calls = [*zip(plan.alpha.tolist(), plan.sigma.tolist(), strict=True)]
        wanted = ddim(denoiser.box, first[:2], calls)
        assert np.abs(found[:2] - wanted).max() < 2e-5 * np.abs(wanted).max()
        asked = denoiser.box.answers - before[1]
        assert asked == 6
        runs = 0 if denoiser.rows == 0 else 2  # a pipeline for two of one prompt had to begin
        assert denoiser.network_calls - before[0] == weight * (6 + asked + runs)
    assert waiting() == 0


def test_each_sample_has_its_own_prompt():
    x = np.random.default_rng(0).normal(size=(4, 4, 8, 8)).astype("float32")
    with interop.PipelineDenoiser(small.sd3(), batch=4, **PROMPTS, guidance_scale=5.0) as denoiser:
        rows = np.array([1, 0, 0, 1])
        found = denoiser.box(x, 0.6, 0.8, rows)
        for row, one, wanted in zip(rows, x, found, strict=True):
            alone = denoiser.box(one[None], 0.6, 0.8, np.array([row]))
            np.testing.assert_allclose(alone[0], wanted, rtol=1e-4, atol=1e-5)
        other = denoiser.box(x, 0.6, 0.8, 1 - rows)
        assert np.abs(other - found).max() > 0.1


def test_runs_that_end_begin_again(monkeypatch):
    monkeypatch.setattr("specjax.interop.diffusers.running.QUESTIONS", 3)
    monkeypatch.setattr("specjax.interop.diffusers.pipelines.QUESTIONS", 3)
    monkeypatch.setattr("specjax.interop.diffusers.pipelines._RUNS", 1)
    x = np.ones((2, 1, 8, 8), "float32")
    with interop.PipelineDenoiser(small.pixels(), batch=2) as denoiser:
        first = denoiser.box(x, 0.6, 0.8)
        for _ in range(4):
            np.testing.assert_array_equal(denoiser.box(x, 0.6, 0.8), first)
            np.testing.assert_allclose(denoiser.box(x[:1], 0.6, 0.8), first[:1], atol=1e-5)
    assert waiting() == 0


@pytest.mark.parametrize("dtype", by_default([torch.float32, torch.bfloat16], 0))
def test_five_lines_learn_and_run_a_plan(tmp_path, dtype):
    pipe = small.sd3().to(dtype)
    before = dict(vars(pipe))
    plan = interop.learn(
        pipe, steps=2, prompts=PROMPTS["prompts"], guidance_scale=5.0, n=4, max_calls=200,
        height=64, width=64, teacher_tolerance=0.5,
    )  # fmt: skip
    assert vars(pipe) == before
    sx.save(tmp_path / "fox.json", plan)
    assert plan.value < min(plan.baselines.values()) + 1e-6
    assert plan.process == "flow"
    assert plan.schedule.starts_pure
    assert plan.source["labels"] == [0, 1]
    about = plan.source["pipeline"]
    assert about | {"diffusers": ""} == {
        "class": "StableDiffusion3", "conditions": "prompt", "guidance_scale": 5.0,
        "prediction_type": "flow_prediction", "shape": [4, 8, 8], "dtype": str(dtype),
        "thresholds": {"clip": None, "dynamic": None}, "diffusers": "",
    }  # fmt: skip
    assert plan.source["network_calls"] > 2 * sum(plan.source["calls"].values())
    scheduler = interop.PlanScheduler.from_file(tmp_path / "fox.json", pipe.scheduler.config)
    pipe.scheduler = scheduler
    latents = pipe(
        "a lighthouse", num_inference_steps=2, guidance_scale=5.0, height=64, width=64,
        output_type="latent",
    ).images  # fmt: skip
    assert latents.dtype == dtype
    assert latents.isfinite().all()
    assert scheduler.timesteps[0] == 1000
    with pytest.warns(UserWarning, match="shape"):  # another resolution
        pipe("a lighthouse", num_inference_steps=2, height=32, width=32, output_type="latent")


class Inpainting(diffusers.DDPMPipeline):
    """It mixes what is known into each sample, as inpainting with a network for all does."""

    def __call__(self, batch_size=1, num_inference_steps=9):
        self.scheduler.set_timesteps(num_inference_steps)
        x = torch.ones(batch_size, 1, 8, 8)
        for t in self.scheduler.timesteps:
            x = self.scheduler.step(x, t, x, return_dict=False)[0] / 2


class ByIndex(diffusers.DDPMPipeline):
    """It does something in its third call alone."""

    @torch.no_grad()
    def __call__(self, batch_size=1, num_inference_steps=9):
        self.scheduler.set_timesteps(num_inference_steps)
        x = torch.ones(batch_size, 1, 8, 8)
        for k, t in enumerate(self.scheduler.timesteps):
            answer = self.unet(x, t).sample * (2 if k == 2 else 1)
            x = self.scheduler.step(answer, t, x).prev_sample


def test_what_cannot_be_learned_through_is_refused():
    for kind, said in ((Inpainting, "changes samples"), (ByIndex, "four steps")):
        assert said in one_line(interop.learn, small.pixels(kind), 2)
    sd3, pixels = small.sd3(), small.pixels()
    for given, name in (
        ({"guidance_scale": 3.0}, "guidance_scale"), ({"prompts": ["a"]}, "prompts"),
        ({"labels": [1]}, "labels"), ({"batch": 0}, "batch"), ({"heigth": 3}, "heigth"),
    ):  # fmt: skip
        assert name in one_line(interop.learn, pixels, 2, **given)
    for given, name in (
        ({"prompts": []}, "prompts"), ({"labels": [1]}, "labels"), ({}, "prompts"),
    ):  # fmt: skip
        assert name in one_line(interop.learn, sd3, 2, **given)
    both = small.pixels(rescale_betas_zero_snr=True)
    assert "prediction_type" in one_line(interop.learn, both, 2)
    turned = small.pixels()
    turned.scheduler = diffusers.DDPMScheduler()
    turned.scheduler.register_to_config(use_flow_sigmas=True, prediction_type="flow_prediction")
    assert "_class_name" in one_line(interop.learn, turned, 2)  # whatever it does
    edm = small.pixels()
    edm.scheduler = diffusers.EDMEulerScheduler()
    assert "sigma_min" in one_line(interop.learn, edm, 2)
    with pytest.raises(ValueError, match="divisible by"):  # the pipeline's own
        interop.learn(sd3, 2, prompts=["a"], height=63)
    assert waiting() == 0


@pytest.mark.parametrize("make", [small.stable_diffusion, small.sd3])
def test_weights_of_guidance_are_set_call_by_call(make):
    pipe, options = make(), {"height": 64, "width": 64}
    with (
        interop.PipelineDenoiser(pipe, prompts=["a"], guidance_scale=1.0, **options) as with_it,
        interop.PipelineDenoiser(pipe, prompts=["bad"], guidance_scale=1.0, **options) as without,
    ):
        flow = with_it.network.process == "flow"
        levels = sx.NoiseSchedule([-np.inf if flow else -4.0, -1.0, 1.0, 2.0, np.inf])
        weights = np.array([3.0, 1.0, 5.0, 1.0])
        result = replace(
            sx.LearnedResult.from_schedule(levels), guidance=weights, groups=("levels", "guidance")
        )
        pipe.scheduler = interop.PlanScheduler.from_plan(result, pipe.scheduler.config)
        guide = interop.guidance_callback(result, pipe)
        named = {"prompt": "a", "negative_prompt": "bad", **options}
        named |= {"num_inference_steps": 4, "generator": torch.Generator().manual_seed(1)}
        before = with_it.network_calls
        first, found = before_and_after(pipe, {**named, **guide.arguments}, 4)
        assert with_it.network_calls - before == 2 + 1 + 2 + 1
        plan, x = sx.plan("ddim", levels, with_it.network.process), first
        for k, weight in enumerate(weights):
            alpha, sigma = float(plan.alpha[k]), float(plan.sigma[k])
            d, d_u = (box(x, alpha, sigma, np.zeros(1, int)) for box in (with_it.box, without.box))
            d = d_u + weight * (d - d_u)
            x = plan.keep[k, 0, 0] * x + plan.pull[k, 0] * d
    assert np.abs(found - x).max() < 2e-5 * np.abs(x).max()
    with pytest.warns(UserWarning, match="guidance_scale = 7"):
        before_and_after(pipe, {**named, **guide.arguments, "guidance_scale": 7.0}, 4)
    pipe.scheduler = interop.PlanScheduler.from_plan(result, pipe.scheduler.config)
    with pytest.warns(UserWarning, match="weight of guidance"):
        before_and_after(pipe, named, 4)
    low = replace(result, guidance=np.array([3.0, 0.5, 1.0, 1.0]))
    assert "weight of 0.5" in one_line(interop.guidance_callback, low, pipe)
    assert "callback_on_step_end" in one_line(interop.guidance_callback, result, small.dit())
    assert "guidance_scale" in one_line(interop.guidance_callback, result, small.wan())


@pytest.mark.thorough
def test_weights_of_guidance_are_learned_through_the_pipeline():
    pipe = small.sd3()
    plan = interop.learn(
        pipe, 2, **PROMPTS, guidance_scale=5.0, network_calls=3, n=4, max_calls=100,
        teacher_tolerance=0.5,
    )  # fmt: skip
    assert plan.guidance.shape == (2,)
    assert (plan.guidance == 1).sum() == 1
    assert plan.source["pipeline"]["guidance_scale"] == 5.0
    assert "groups" in one_line(interop.learn, small.dit(), 2, labels=[1], network_calls=3)


class ImageToImage(diffusers.StableDiffusionImg2ImgPipeline):
    encode_prompt = small.StableDiffusion.encode_prompt


class Inpaint(diffusers.StableDiffusionInpaintPipeline):
    encode_prompt = small.StableDiffusion.encode_prompt


class ImageToImage3(diffusers.StableDiffusion3Img2ImgPipeline):
    encode_prompt = small.StableDiffusion3.encode_prompt


@pytest.mark.parametrize("kind", [ImageToImage, Inpaint, ImageToImage3])
def test_image_to_image_and_inpainting_begin_in_the_middle(kind):
    """With strength 0.5 the last two of four calls are made, from the image with its noise."""
    flow = kind is ImageToImage3
    pipe = small.sd3(kind=kind) if flow else small.stable_diffusion(kind=kind)
    levels = sx.NoiseSchedule([-np.inf if flow else -4.0, -1.0, 1.0, 2.0, np.inf])
    result = sx.LearnedResult.from_schedule(levels)
    pipe.scheduler = interop.PlanScheduler.from_plan(result, pipe.scheduler.config)
    named = {
        "prompt": "a",
        "image": torch.rand(1, 3, 64, 64),
        "strength": 0.5,
        "num_inference_steps": 4,
    }
    named |= {"generator": torch.Generator().manual_seed(1), "height": 64, "width": 64}
    if kind is ImageToImage:
        named = {name: x for name, x in named.items() if name not in ("height", "width")}
    if kind is Inpaint:
        named["mask_image"] = torch.ones(1, 1, 64, 64)
    if flow:  # latents, which are not encoded
        named["image"] = torch.zeros(1, 4, 8, 8)
        vars(pipe)["vae"] = SimpleNamespace(config=SimpleNamespace(latent_channels=4), dtype=None)
    first, found = before_and_after(pipe, named, 2)
    assert pipe.scheduler.step_index == 4
    assert np.isfinite(found).all()
    if flow:  # an image of zeros is noise of size t
        assert first.std() == pytest.approx(1 / (1 + np.exp(0.5)), rel=0.2)
