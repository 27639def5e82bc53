"""Plans of noise with a spectrum in other programs: run on colored noise, else refused."""

import io
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from checks import one_line
from test_interop import denoise, documented
from test_plan_file import learned, untouched

import specjax as sx
from specjax.interop.k_diffusion import sample_plan
from specjax.noise.families import noise_spectrum

SHAPE = (4, 6, 2)  # height, width, channels
NOISE = noise_spectrum("power_law", SHAPE, exponent=-0.4)
LEVELS = sx.NoiseSchedule([-4.5, -1.0, 1.0, 3.0, np.inf])
NOISY = replace(learned(), schedule=LEVELS, noise=NOISE)
QUIET = replace(untouched("dpmpp_2m"), schedule=LEVELS, noise=NOISE)
F64, F32 = 1e-12, 2e-5


def whites(result, seed=3, n=5):
    """The start, then one a call, as sx.sample draws them."""
    key = jax.random.key(seed)
    with jax.enable_x64(True):
        drawn = [
            np.asarray(jax.random.normal(jax.random.fold_in(key, k), (n, *SHAPE), np.float64))
            for k in range(result.plan.calls + 1)
        ]
        by_sample = sx.sample(result.plan, denoise, key, (n, *SHAPE), noise=NOISE, dtype=np.float64)
    return drawn, np.asarray(by_sample)


@pytest.mark.thorough
@pytest.mark.parametrize("result", [NOISY, QUIET], ids=["noisy", "quiet"])
def test_the_reader_in_the_docs_runs_with_colored_noise(tmp_path, result):
    drawn, expected = whites(result)
    path, left = sx.save(tmp_path / "plan.json", result), iter(drawn)
    noise = sx.load(path).noise
    found = documented()(path, denoise, lambda: noise.color(next(left)))
    np.testing.assert_allclose(found, expected, rtol=F64, atol=F64)


@pytest.mark.parametrize("result", [NOISY, QUIET], ids=["noisy", "quiet"])
def test_sample_plan_runs_with_colored_noise(result):
    drawn, expected = whites(result)
    left = iter(drawn[1:])
    rows = result.plan_in("ve")
    x = NOISE.color(drawn[0]) * float(rows.start)
    if result.process == "vp":  # VP starts from unit noise, x / alpha of it
        x = NOISE.color(drawn[0]) * float(result.plan.start / result.plan.alpha[0])
    found = sample_plan(
        lambda x, sigma: denoise(x, 1.0, sigma[0]), x, result, disable=True, colored=True,
        noise_sampler=lambda *at: NOISE.color(next(left)),
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=F64, atol=F64)


def test_white_noise_is_refused():
    x = np.zeros((2, *SHAPE))
    text = one_line(sample_plan, None, x, QUIET)
    assert "learned for power-law (exponent -0.4, r0 0.01) noise: give x of that spectrum" in text
    assert "colored=True" in text
    text = one_line(sample_plan, None, x, NOISY, colored=True)
    assert "plan.noise.color(white)" in text
    text = one_line(sample_plan, None, x, untouched("ddim"), colored=True)
    assert "learned for white noise; leave it out" in text


def test_noise_that_omits_directions_is_refused_or_said():
    """A network's answers mean nothing there, and only specjax leaves them out."""
    omitting = replace(QUIET, noise=noise_spectrum("isotropic", SHAPE, omit=(0.6, 1.0)))
    text = one_line(sample_plan, None, np.zeros((2, *SHAPE)), omitting, colored=True)
    assert f"without any in {omitting.noise.omitted} directions" in text
    assert "keep x / alpha" in " ".join(sx.export(omitting, "json").notes)
    assert "keep x / alpha" not in " ".join(sx.export(QUIET, "json").notes)


# NumPy 2 on torch tensors, inside diffusers.
@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_scheduler_of_diffusers_takes_colored_latents():
    torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
    pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
    from test_plan_scheduler import network_of, through

    from specjax.interop.diffusers import PlanScheduler

    text = one_line(PlanScheduler.from_plan, QUIET)
    assert "give the pipeline latents of that spectrum" in text
    text = one_line(PlanScheduler.from_plan, NOISY, colored=True)
    assert "draws power-law (exponent -0.4, r0 0.01) noise in its steps" in text
    scheduler = PlanScheduler.from_plan(QUIET, colored=True)
    drawn, expected = whites(QUIET)
    latents = torch.from_numpy(np.moveaxis(NOISE.color(drawn[0]), -1, 1))
    found = through(scheduler, network_of("epsilon"), latents).numpy()
    np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, rtol=1e-4, atol=1e-4)


def test_plain_forms_say_which_noise():
    for target in ("csv", "npz", "json"):
        made = sx.export(NOISY, target)
        assert "learned for power-law" in " ".join(made.notes)
    about = json.loads(str(np.load(io.BytesIO(sx.export(NOISY, "npz").content))["about"]))
    for document in (about, json.loads(sx.export(NOISY, "json").content)):
        assert document["noise"]["parameters"] == {"exponent": -0.4, "r0": 0.01}
    assert "noise" not in json.loads(sx.export(learned(), "json").content)
