"""diffusers as a client: its schedulers along exported schedules, with an exact denoiser.

The network is the ideal eps of a Gaussian, trained on the scheduler's grid: it sees the scaled
sample and the timestep, nothing else. Schedulers are linear in the start, the mean and the noise
of each step, so a batch of probes (nothing, unit start, unit noise in step k) gives the exact mean
and variance of what they generate, without sampling.
"""

import importlib
import json
import math

import numpy as np
import pytest

from specjax import NoiseSchedule, Spectrum, plan, spectral, transfer
from specjax.export import export
from specjax.families import AYS_TABLES, schedule
from specjax.grids import GRIDS
from specjax.result import FitResult

torch = pytest.importorskip("torch", reason="needs torch: pip install 'specjax[interop]'")
diffusers = pytest.importorskip("diffusers", reason="needs it: pip install 'specjax[interop]'")

# NumPy 2 on torch tensors, inside diffusers.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

F32 = 2.0**-23
STEP = 2e-5  # sigmas, timesteps and alphas_cumprod are float32, errors add up over 20 steps
ROUNDING = 8 * F32  # of the largest number: Euler and DPM-Solver++ cast samples to float32
TABLE = 1e-3  # the float32 table itself: 1 - alpha_bar is off by 3e-8 in 1e-4 at the clean end

NOISY = {"ddpm": 4.0358298e-5, "sd": 0.00466010}  # where the grids end

SPECTRUM = Spectrum(np.geomspace(30.0, 1e-3, 8), mean=np.linspace(-2, 2, 8))


def fitted(steps, *, grid="sd", sampler="ddim", process="vp", **options):
    """A result without the cost of a fit: the closed-form schedule."""
    levels = spectral(SPECTRUM, steps, alpha_bar_range=(NOISY[grid], 1.0))
    return FitResult(
        levels, 1.0, True, True, np.ones(1), sampler, "w2", process, (NOISY[grid], 1.0),
        SPECTRUM, 1.0, sampler_options=options,
    )  # fmt: skip


def exported(result, grid="sd", **options):
    return json.loads(export(result, "diffusers", grid=grid, **options).content)


def table_of(scheduler):
    """logsnr [1000] of the scheduler's own float32 table: what its networks are trained on."""
    alpha_bar = scheduler.alphas_cumprod.numpy().astype(np.float64)
    return np.log(alpha_bar / (1 - alpha_bar))


def eps(x_vp, t, table):
    """The ideal noise estimate of a VP network on a grid of timesteps."""
    logsnr = float(np.interp(float(t), np.arange(1000), table))
    alpha, sigma = math.sqrt(1 / (1 + math.exp(-logsnr))), math.sqrt(1 / (1 + math.exp(logsnr)))
    lam, mu = (torch.from_numpy(np.array(a)) for a in (SPECTRUM.eigenvalues, SPECTRUM.mean))
    x0 = (alpha * lam * x_vp + sigma**2 * mu) / (alpha**2 * lam + sigma**2)
    return (x_vp - alpha * x0) / sigma


def moments(scheduler, monkeypatch, network=None, start=None):
    """Mean and std [8] of what a scheduler generates, calls of the network, largest number."""
    table = table_of(scheduler) if network is None else None
    network = network or (lambda x, t: eps(x, t, table))
    probes = 2 + len(scheduler.timesteps)
    step = 0

    def unit_noise(shape, **_):
        noise = torch.zeros(shape, dtype=torch.float64)
        noise[2 + step] = 1.0
        return noise

    module = importlib.import_module(type(scheduler).__module__)
    if hasattr(module, "randn_tensor"):
        monkeypatch.setattr(module, "randn_tensor", unit_noise)
    x = torch.zeros((probes, 8), dtype=torch.float64)
    x[1] = float(scheduler.init_noise_sigma) if start is None else start
    largest = float(x.abs().max())
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if start is None else x
        x = scheduler.step(network(seen, t), t, x).prev_sample
        step += 1
    x = x.numpy()
    return x[0], np.sqrt(((x[1:] - x[0]) ** 2).sum(0)), len(scheduler.timesteps), largest


def assert_same(found, wanted, rtol):
    mean, std, _, largest = found
    atol = ROUNDING * max(largest, 1)
    print(
        "ERR",
        np.abs(std / np.sqrt(wanted.variance) - 1).max(),
        ((np.abs(std - np.sqrt(wanted.variance)) - rtol * std) / F32 / max(largest, 1)).max(),
        np.abs(mean - wanted.mean_gain * SPECTRUM.mean).max(),
    )
    np.testing.assert_allclose(std, np.sqrt(wanted.variance), rtol=rtol, atol=atol)
    np.testing.assert_allclose(mean, wanted.mean_gain * SPECTRUM.mean, rtol=rtol, atol=atol)


def make(document, **arguments):
    """The scheduler that a document asks for, set to the list it asks for."""
    asked = document["scheduler"]
    scheduler = getattr(diffusers, asked["class"])(**{**asked["arguments"], **arguments})
    scheduler.set_timesteps(**{asked["set_timesteps"]: document[asked["set_timesteps"]]})
    return scheduler


def at(table, timesteps):
    """What whole timesteps mean: their levels in a table, and a noise-free end."""
    return NoiseSchedule(np.append(table[list(timesteps)], np.inf))


@pytest.mark.parametrize("grid", ["sd", "ddpm"])
@pytest.mark.parametrize("process", ["vp", "ve"])
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_euler_along_sigmas_is_ddim(grid, process, steps, monkeypatch):
    result = fitted(steps, grid=grid, process=process)
    document = exported(result, grid)
    scheduler = make(document)
    assert type(scheduler) is diffusers.EulerDiscreteScheduler
    found = moments(scheduler, monkeypatch)
    assert found[2] == steps
    wanted = transfer(plan("ddim", result.schedule, process=process), SPECTRUM)
    assert_same(found, wanted, STEP)


@pytest.mark.parametrize("grid", ["sd", "ddpm"])
@pytest.mark.parametrize(
    ("kind", "sampler", "options"),
    [
        ("DDPMScheduler", "ddpm", {}),
        ("DDPMScheduler", "ddim", {"eta": 1.0}),
        ("DPMSolverMultistepScheduler", "dpmpp_2m", {}),
        ("DPMSolverMultistepScheduler", "dpmpp_2m_sde", {}),
        ("HeunDiscreteScheduler", "heun", {}),
    ],
)
@pytest.mark.parametrize("steps", [4, 20])
def test_timesteps_do_what_transfer_predicts(kind, sampler, options, steps, grid, monkeypatch):
    document = exported(fitted(steps, grid=grid, sampler=sampler, **options), grid)
    scheduler = make(document)
    assert type(scheduler).__name__ == kind
    found = moments(scheduler, monkeypatch)
    for table, tolerance in ((table_of(scheduler), STEP), (GRIDS[grid].logsnr, TABLE)):
        meant = plan(sampler, at(table, document["timesteps"]), **options)
        assert found[2] == meant.calls
        assert_same(found, transfer(meant, SPECTRUM), tolerance)
