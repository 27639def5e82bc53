"""diffusers as a client: its schedulers along exported schedules, with an exact denoiser.

The network is the ideal eps of a Gaussian, trained on the scheduler's grid: it sees the scaled
sample and the timestep, nothing else. Schedulers are linear in the start, the mean and the noise
of each step, so a batch of probes (nothing, unit start, unit noise in step k) gives the exact mean
and variance of what they generate, without sampling.
"""

import importlib
import inspect
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from specjax import NoiseSchedule, Spectrum, plan, spectral, transfer
from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.gaussian.modes import modes_of
from specjax.interop.export import export
from specjax.interop.export.diffusers import CLIENTS
from specjax.interop.export.target import eta_of
from specjax.schedules.families import SCHEDULES, family
from specjax.schedules.grids import GRIDS, TrainingGrid

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
diffusers = pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
AysSchedules = importlib.import_module("diffusers.schedulers").AysSchedules

# NumPy 2 on torch tensors, inside diffusers.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

F32 = 2.0**-23
STEP = 4e-5  # relative: float32 sigmas and timesteps, step widths as differences of their logs
ROUNDING = F32  # of the largest number: Euler and DPM-Solver++ cast samples to float32
TABLE = 1e-3  # the float32 table itself: 1 - alpha_bar is off by 3e-8 in 1e-4 at the clean end

NOISY = {"ddpm": 4.0358298e-5, "sd": 0.00466010}  # where the grids end

SPECTRUM = Spectrum(np.geomspace(30.0, 1e-3, 8), mean=np.linspace(-2, 2, 8))


def fitted(steps, *, grid="sd", sampler="ddim", process="vp", **options):
    """A result without the cost of a fit: the closed-form schedule."""
    levels = spectral(SPECTRUM, steps, alpha_bar_range=(NOISY[grid], 1.0))
    return LearnedResult(
        schedule=levels, value=1.0, history=np.ones(1), sampler=sampler, process=process,
        alpha_bar_range=(NOISY[grid], 1.0), nodes=modes_of(SPECTRUM), node_value=1.0,
        sampler_options=options,
    )  # fmt: skip


def exported(result, grid="sd", **options):
    return json.loads(export(result, "diffusers", grid=grid, **options).content)


def table_of(scheduler):
    """logsnr [1000] of the scheduler's own float32 table: what its networks are trained on."""
    alpha_bar = scheduler.alphas_cumprod.numpy().astype(np.float64)
    return np.log(alpha_bar / (1 - alpha_bar))


def eps_at(x_vp, logsnr):
    """The ideal noise estimate at a level."""
    alpha, sigma = math.sqrt(1 / (1 + math.exp(-logsnr))), math.sqrt(1 / (1 + math.exp(logsnr)))
    lam, mu = (torch.from_numpy(np.array(a)) for a in (SPECTRUM.eigenvalues, SPECTRUM.mean))
    x0 = (alpha * lam * x_vp + sigma**2 * mu) / (alpha**2 * lam + sigma**2)
    return (x_vp - alpha * x0) / sigma


def moments(scheduler, monkeypatch, network=None, start=None):
    """Mean and std [8] of what a scheduler generates, calls of the network, largest number."""
    table = table_of(scheduler) if network is None else None
    network = network or (lambda x, t: eps_at(x, np.interp(float(t), np.arange(1000), table)))
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
    np.testing.assert_allclose(std, np.sqrt(wanted.variance), rtol=rtol, atol=atol)
    np.testing.assert_allclose(mean, wanted.mean_gain * SPECTRUM.mean, rtol=rtol, atol=atol)


def make(document, network=None, **arguments):
    """The scheduler that a document asks for, set to the list it asks for.

    Args:
      network: more of the configuration of the pipeline's own scheduler.
    """
    asked, config = document["scheduler"], document.get("grid", {}).get("config", {})
    made = getattr(diffusers, asked["class"]).from_config
    scheduler = made({**config, **(network or {})}, **{**asked["arguments"], **arguments})
    scheduler.set_timesteps(**{asked["set_timesteps"]: document[asked["list"]]})
    return scheduler


SIGMAS = [("ddim", {}), ("euler_ancestral", {"eta": 0.0})]
TIMESTEPS = [
    ("DDPMScheduler", "ddpm", {}),
    ("DDPMScheduler", "ddim", {"eta": 1.0}),
    ("DDPMScheduler", "euler_ancestral", {}),
    ("DPMSolverMultistepScheduler", "dpmpp_2m", {}),
    ("DPMSolverMultistepScheduler", "dpmpp_2m_sde", {"eta": 0.0}),
    ("DPMSolverMultistepScheduler", "dpmpp_2m_sde", {}),
    ("HeunDiscreteScheduler", "heun", {}),
]


def test_every_client_is_run():
    sampled = [*SIGMAS, *(case[1:] for case in TIMESTEPS)]
    assert {(name, eta_of(fitted(1, sampler=name, **more))) for name, more in sampled} == {*CLIENTS}


def at(table, timesteps):
    """What whole timesteps mean: their levels in a table, and a noise-free end."""
    return NoiseSchedule(np.append(table[list(timesteps)], np.inf))


@pytest.mark.parametrize("grid", ["sd", "ddpm"])
@pytest.mark.parametrize("process", ["vp", "ve"])
@pytest.mark.parametrize(
    ("steps", "sampler", "options"), [(1, *SIGMAS[0]), *((12, *x) for x in SIGMAS)]
)
def test_euler_along_sigmas_is_ddim(grid, process, steps, sampler, options, monkeypatch):
    result = fitted(steps, grid=grid, process=process, sampler=sampler, **options)
    document = exported(result, grid)
    scheduler = make(document)
    assert type(scheduler) is diffusers.EulerDiscreteScheduler
    found = moments(scheduler, monkeypatch)
    assert found[2] == steps
    wanted = transfer(plan("ddim", result.schedule, process=process), SPECTRUM)
    assert_same(found, wanted, STEP)


@pytest.mark.thorough
@pytest.mark.parametrize("grid", ["sd", "ddpm"])
@pytest.mark.parametrize(
    ("kind", "sampler", "options"),
    TIMESTEPS,
)
def test_timesteps_do_what_transfer_predicts(kind, sampler, options, grid, monkeypatch):
    document = exported(fitted(12, grid=grid, sampler=sampler, **options), grid)
    scheduler = make(document)
    assert type(scheduler).__name__ == kind
    found = moments(scheduler, monkeypatch)
    for table, tolerance in ((table_of(scheduler), STEP), (GRIDS[grid].logsnr, TABLE)):
        meant = plan(sampler, at(table, document["timesteps"]), **options)
        assert found[2] == meant.calls
        assert_same(found, transfer(meant, SPECTRUM), tolerance)


def test_ddpm_with_the_larger_variance_adds_noise_in_its_last_step(monkeypatch):
    document = exported(fitted(6, sampler="ddpm", variance="beta"))
    scheduler = make(document)
    assert scheduler.config.variance_type == "fixed_large"
    assert any("adds noise of variance 1 - alpha_bar" in note for note in document["notes"])
    mean, std, *_ = moments(scheduler, monkeypatch)
    meant = at(table_of(scheduler), document["timesteps"])
    wanted = transfer(plan("ddpm", meant, variance="beta"), SPECTRUM)
    extra = 1 - meant.alpha_bar[-2]
    np.testing.assert_allclose(std**2, wanted.variance + extra, rtol=STEP)
    np.testing.assert_allclose(mean, wanted.mean_gain * SPECTRUM.mean, rtol=STEP, atol=F32)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching_undoes_the_shift_and_is_ddim(shift, monkeypatch):
    result = fitted(8)
    document = exported(result, shift=shift)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=document["flow_sigmas"])
    np.testing.assert_allclose(scheduler.sigmas, result.schedule.flow_time, rtol=4 * F32)

    def velocity(x, t):  # x = (1 - s) x0 + s eps, t = 1000 s
        s = float(t) / 1000
        scale = math.hypot(1 - s, s)
        noise = eps_at(x / scale, 2 * math.log((1 - s) / s))
        return noise - (x - s * noise) / (1 - s)

    mean, std, calls, _ = moments(scheduler, monkeypatch, velocity, start=1.0)
    assert calls == 8
    wanted = transfer(plan("ddim", result.schedule, process="ve"), SPECTRUM)
    first = result.schedule.flow_time[0]  # unit noise instead of noise of this size
    np.testing.assert_allclose(std, abs(wanted.gain) / first, rtol=STEP, atol=ROUNDING)
    np.testing.assert_allclose(mean, wanted.mean_gain * SPECTRUM.mean, rtol=STEP, atol=2 * F32)


# What pipelines' own schedulers say, and would do to a list on its way.
ALTERING = {
    "timestep_spacing": "trailing",
    "steps_offset": 1,
    "use_karras_sigmas": True,
    "use_exponential_sigmas": True,
    "use_beta_sigmas": True,
    "use_lu_lambdas": True,
    "clip_sample": True,
    "thresholding": True,
    "final_sigmas_type": "sigma_min",
    "solver_order": 3,
    "solver_type": "heun",
    "algorithm_type": "dpmsolver",
    "lower_order_final": False,
    "euler_at_final": True,
    "interpolation_type": "log_linear",
}


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "heun", "dpmpp_2m", "dpmpp_2m_sde"])
def test_a_list_arrives_unaltered_whatever_the_pipelines_scheduler_does(sampler, monkeypatch):
    document = exported(replace(fitted(12, sampler=sampler), nodes=None))
    plain, altering = make(document), make(document, ALTERING)
    np.testing.assert_array_equal(altering.timesteps, plain.timesteps)
    found, wanted = (moments(one, monkeypatch) for one in (altering, plain))
    np.testing.assert_allclose(found[0], wanted[0], rtol=STEP, atol=F32)
    np.testing.assert_allclose(found[1], wanted[1], rtol=STEP, atol=F32)
    velocity = make(document, {"prediction_type": "v_prediction"})
    table = table_of(velocity)

    def network(x, t):  # 2202.00512, appendix D
        logsnr = np.interp(float(t), np.arange(1000), table)
        alpha, sigma = (1 / math.sqrt(1 + math.exp(-sign * logsnr)) for sign in (1, -1))
        eps = eps_at(x, logsnr)
        return alpha * eps - sigma * (x - sigma * eps) / alpha

    found = moments(velocity, monkeypatch, network)
    np.testing.assert_allclose(found[1], wanted[1], rtol=STEP, atol=F32 * found[3])


FLOW = [
    {"shift": 3.0},
    {"shift": 3.0, "shift_terminal": 0.1},
    {"use_dynamic_shifting": True, "time_shift_type": "linear"},
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_beta_sigmas": True, "shift": 0.5},
    {"stochastic_sampling": True},
]


@pytest.mark.parametrize("config", FLOW)
def test_a_flow_list_arrives_unaltered(config):
    result, kind = replace(fitted(8), nodes=None), diffusers.FlowMatchEulerDiscreteScheduler
    own = kind(**config)
    for options in ({"grid": "sd"}, {"grid": None, "shift": 2.0}, {"config": own.config}):
        document = json.loads(export(result, "diffusers", **options).content)
        asked = document["flow_scheduler"]
        assert asked["class"] == kind.__name__
        scheduler = kind.from_config(own.config, **asked["arguments"])
        scheduler.set_timesteps(**{asked["set_timesteps"]: document[asked["list"]]})
        np.testing.assert_allclose(scheduler.sigmas, result.schedule.flow_time, atol=2 * F32)
        assert not scheduler.config.stochastic_sampling
        asked = document["flow_unipc"]
        unipc = diffusers.UniPCMultistepScheduler.from_config(own.config, **asked["arguments"])
        unipc.set_timesteps(**{asked["set_timesteps"]: np.array(document[asked["list"]])})
        np.testing.assert_allclose(unipc.sigmas, result.schedule.flow_time, atol=1e-6)
    if set(config) == {"shift"}:  # a list for the pipeline's scheduler as it is
        own.set_timesteps(sigmas=document["flow_sigmas"])
        np.testing.assert_allclose(own.sigmas, result.schedule.flow_time, atol=2 * F32)


@pytest.mark.parametrize(
    ("kind", "mu", "shift"), [("exponential", 1.15, math.exp(1.15)), ("linear", 1.7, 1.7)]
)
def test_a_shift_by_the_resolution_is_undone_by_its_own_number(kind, mu, shift):
    result = replace(fitted(8), nodes=None)
    own = {"use_dynamic_shifting": True, "time_shift_type": kind}
    document = json.loads(export(result, "diffusers", grid=None, shift=shift).content)
    for scheduler in (
        diffusers.FlowMatchEulerDiscreteScheduler(**own),
        diffusers.UniPCMultistepScheduler(
            **own, use_flow_sigmas=True, prediction_type="flow_prediction"
        ),
    ):
        scheduler.set_timesteps(sigmas=np.array(document["flow_sigmas"]), mu=mu)
        np.testing.assert_allclose(scheduler.sigmas, result.schedule.flow_time, atol=1e-6)


def velocity_at(x, t):
    """The ideal velocity of flow matching; pure noise says the mean alone."""
    s = float(t) / 1000
    lam, mu = (torch.from_numpy(np.array(a)) for a in (SPECTRUM.eigenvalues, SPECTRUM.mean))
    x0 = ((1 - s) * lam * x + s**2 * mu) / ((1 - s) ** 2 * lam + s**2)
    return (x - x0) / s


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_plan_of_flow_matching_from_pure_noise_does_what_transfer_predicts(shift, monkeypatch):
    levels = NoiseSchedule([-np.inf, -4.0, -1.5, 0.0, 1.5, 4.0, np.inf])
    result = replace(fitted(6), schedule=levels, nodes=None, process="flow")
    config = {"num_train_timesteps": 1000, "shift": shift}
    wanted = transfer(plan("ddim", levels, process="flow"), SPECTRUM)
    np.testing.assert_allclose(
        transfer(plan("ddim", levels, process="vp"), SPECTRUM).variance, wanted.variance, rtol=1e-12
    )
    document = json.loads(export(result, "diffusers", config=config).content)
    assert document["flow_sigmas"][0] == 1
    assert document["scheduler"] is None
    own = diffusers.FlowMatchEulerDiscreteScheduler(**config)
    own.set_timesteps(sigmas=document["flow_sigmas"])
    planned = importlib.import_module("specjax.interop.diffusers").PlanScheduler
    for scheduler in (own, planned.from_plan(result, own.config)):
        mean, std, calls, _ = moments(scheduler, monkeypatch, velocity_at, start=1.0)
        assert calls == 6
        np.testing.assert_allclose(std, np.sqrt(wanted.variance), rtol=STEP, atol=ROUNDING)
        np.testing.assert_allclose(mean, wanted.mean_gain * SPECTRUM.mean, rtol=STEP, atol=4 * F32)


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DDPMScheduler"])
def test_pure_noise_of_zero_terminal_snr_reaches_diffusers(kind, monkeypatch):
    """Of v-prediction; Euler has the level that diffusers puts in its place."""
    config = {
        "beta_schedule": "linear", "rescale_betas_zero_snr": True, "num_train_timesteps": 1000,
    }  # fmt: skip
    grid = TrainingGrid.from_config("zero", config)
    levels = NoiseSchedule(np.append(grid.logsnr[[999, 700, 400, 100]], np.inf))
    sampler = "ddim" if kind == "EulerDiscreteScheduler" else "ddpm"
    result = replace(fitted(4, sampler=sampler), schedule=levels, nodes=None)
    document = json.loads(export(result, "diffusers", grid=grid).content)
    scheduler = make(document, {**config, "prediction_type": "v_prediction"})
    assert document["timesteps"] == [999, 700, 400, 100]

    def network(x, t):
        alpha_bar = 1 / (1 + np.exp(-grid.logsnr_at(np.float64(t))))
        alpha, sigma = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        lam, mu = (torch.from_numpy(np.array(a)) for a in (SPECTRUM.eigenvalues, SPECTRUM.mean))
        x0 = (alpha * lam * x + sigma**2 * mu) / (alpha**2 * lam + sigma**2)
        return (alpha * x - x0) / sigma  # alpha eps - sigma x0

    found = moments(scheduler, monkeypatch, network)
    wanted = transfer(plan(sampler, levels), SPECTRUM)
    np.testing.assert_allclose(found[1], np.sqrt(wanted.variance), rtol=TABLE, atol=TABLE)
    np.testing.assert_allclose(found[0], wanted.mean_gain * SPECTRUM.mean, rtol=TABLE, atol=TABLE)


def test_time_that_runs_the_other_way_stays_so():
    result, kind = replace(fitted(8), nodes=None), diffusers.FlowMatchEulerDiscreteScheduler
    document = exported(result)
    inverted = kind.from_config(
        kind(invert_sigmas=True, shift=3.0).config, **document["flow_scheduler"]["arguments"]
    )
    inverted.set_timesteps(sigmas=document["flow_sigmas"])
    np.testing.assert_allclose(1 - inverted.sigmas, result.schedule.flow_time, atol=2 * F32)


def test_a_configuration_says_the_grid():
    result = replace(fitted(6), nodes=None)
    config = diffusers.DDIMScheduler(**GRIDS["sd"].config).config
    document = json.loads(export(result, "diffusers", config=config).content)
    assert document["timesteps"] == exported(result)["timesteps"]
    video = diffusers.CogVideoXDDIMScheduler().config  # snr_shift_scale
    assert json.loads(export(result, "diffusers", config=video).content)["scheduler"] is None
    for wrong in ({"config": config, "grid": "sd"}, {"config": {"sigma_data": 0.5}}):
        with pytest.raises(UserError):
            export(result, "diffusers", **wrong)


def test_a_schedule_that_stops_early_runs_all_its_steps_in_euler(monkeypatch):
    stops = NoiseSchedule(fitted(6).schedule.logsnr[:-1])
    document = exported(stops)
    assert document["sigmas"][-1] > 0
    assert any("no trailing 0" in note for note in document["notes"])
    scheduler = make(document, timestep_spacing="linspace")
    found = moments(scheduler, monkeypatch)
    assert found[2] == 5
    assert_same(found, transfer(plan("ddim", stops, process="ve"), SPECTRUM), STEP)


def test_euler_without_the_trailing_zero_drops_a_step_and_flow_with_one_wastes_a_call():
    document = exported(fitted(6))
    euler = diffusers.EulerDiscreteScheduler()
    euler.set_timesteps(sigmas=document["sigmas"][:-1])
    assert len(euler.timesteps) == 5
    euler.set_timesteps(sigmas=document["sigmas"])
    assert len(euler.timesteps) == 6
    flow = diffusers.FlowMatchEulerDiscreteScheduler()
    flow.set_timesteps(sigmas=[*document["flow_sigmas"], 0.0])
    assert len(flow.timesteps) == 7
    flow.set_timesteps(sigmas=document["flow_sigmas"])
    assert len(flow.timesteps) == 6


def test_whole_timesteps_survive_and_floats_are_cut_off():
    document = exported(fitted(10, sampler="dpmpp_2m"))
    asked = document["timesteps"]
    for scheduler in (diffusers.DDPMScheduler(), make(document)):
        scheduler.set_timesteps(timesteps=asked)
        assert scheduler.timesteps.tolist() == asked
        scheduler.set_timesteps(timesteps=[t + 0.9 for t in asked[1:]])
        assert scheduler.timesteps.tolist() == asked[1:]
    with pytest.raises(ValueError, match="descending"):
        diffusers.DDPMScheduler().set_timesteps(timesteps=[500, 500])
    lcm = diffusers.LCMScheduler()
    lcm.set_timesteps(timesteps=asked, original_inference_steps=1000)
    assert lcm.timesteps.tolist() == asked


@pytest.mark.parametrize("grid", ["sd", "ddpm"])
def test_euler_calls_the_network_at_the_timesteps_of_the_grid(grid):
    result = fitted(20, grid=grid)
    scheduler = make(exported(result, grid))
    wanted = GRIDS[grid].timestep(result.schedule.logsnr[:-1])
    np.testing.assert_allclose(scheduler.timesteps, wanted, rtol=TABLE)


@pytest.mark.parametrize(
    ("sampler", "process"), [("ddim", "vp"), ("ddim", "ve"), ("heun", "vp"), ("dpmpp_2m", "vp")]
)
def test_the_start_is_the_schedulers(sampler, process):
    document = exported(fitted(4, sampler=sampler, process=process))
    start = float(make(document).init_noise_sigma)
    assert document["scheduler"]["init_noise_sigma"] == pytest.approx(start, rel=1e-6)
    if sampler == "ddim":  # the numbers of Stable Diffusion
        assert start == pytest.approx({"vp": 14.649, "ve": 14.615}[process], abs=5e-4)


def test_clipping_samples_breaks_the_linear_analysis(monkeypatch):
    document = exported(fitted(8, sampler="ddpm"))
    assert document["scheduler"]["arguments"]["clip_sample"] is False
    std = moments(make(document), monkeypatch)[1]
    clipped = moments(make(document, clip_sample=True), monkeypatch)[1]
    assert clipped[0] < 0.9 * std[0]


def test_levels_outside_the_grid_are_clipped_because_the_network_sees_a_clamped_timestep():
    wide = NoiseSchedule.from_sigmas([80.0, 14.0, 3.0, 0.5, 0.002, 0.0])
    document = exported(wide)
    scheduler = make(document)
    assert any("2 level(s) clipped" in note for note in document["notes"])
    np.testing.assert_allclose(scheduler.timesteps[[0, -1]], [999, 0], atol=1e-3)
    table = np.exp(-table_of(scheduler) / 2)
    np.testing.assert_allclose(scheduler.sigmas[[0, -2]], table[[999, 0]], rtol=TABLE)
    scheduler.set_timesteps(sigmas=list(wide.sigmas))  # the trap: the same timesteps, sigma 80
    np.testing.assert_allclose(scheduler.timesteps[[0, -1]], [999, 0], atol=1e-3)


def test_which_schedulers_take_a_list_is_as_the_table_says():
    def takes(name):
        return set(inspect.signature(getattr(diffusers, name).set_timesteps).parameters)

    for client in CLIENTS.values():
        known = {"sigmas"} if client.name == "EulerDiscreteScheduler" else {"timesteps"}
        assert known <= takes(client.name), client.name
        accepted = inspect.signature(getattr(diffusers, client.name)).parameters
        assert set(client.arguments) <= set(accepted), client.name
    # If this fails, diffusers has become able to run more samplers: extend CLIENTS.
    for name in ("DDIMScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler"):
        assert not {"sigmas", "timesteps"} & takes(name), name


@pytest.mark.parametrize("name", ["ddpm", "sd", "cosine"])
def test_grids_are_the_schedulers_and_come_from_their_configuration(name):
    scheduler = diffusers.DDPMScheduler(**GRIDS[name].config)
    alpha_bar = scheduler.alphas_cumprod.numpy().astype(np.float64)
    ours = 1 / (1 + np.exp(-GRIDS[name].logsnr))
    tolerance = 1e-2 if name == "cosine" else 1e-4  # 1 - 0.999 in float32, and its products
    np.testing.assert_allclose(ours, alpha_bar, rtol=tolerance)
    mine = TrainingGrid.from_config("mine", scheduler.config)
    np.testing.assert_array_equal(mine.logsnr, GRIDS[name].logsnr)
    betas = scheduler.betas.numpy()
    trained = diffusers.DDPMScheduler(trained_betas=betas.tolist())
    np.testing.assert_allclose(
        TrainingGrid.from_config("mine", trained.config).logsnr,
        TrainingGrid.from_betas("mine", betas).logsnr,
    )


@pytest.mark.parametrize(
    ("table", "name"),
    [("sd15", "StableDiffusion"), ("sdxl", "StableDiffusionXL"), ("svd", "StableDiffusionVideo")],
)
def test_align_your_steps_is_diffusers_table(table, name):
    published = AysSchedules[f"{name}Sigmas"]
    found = family("align_your_steps", 10, table=table)
    np.testing.assert_allclose(found.sigmas, published, rtol=1e-12)


def test_karras_and_uniform_logsnr_are_the_schedulers():
    ends = {"sigma_min": 0.05, "sigma_max": 12.0}
    for name, option in (
        ("karras", "use_karras_sigmas"),
        ("uniform_logsnr", "use_exponential_sigmas"),
    ):
        scheduler = diffusers.EulerDiscreteScheduler(**{option: True}, **ends)
        scheduler.set_timesteps(9)
        np.testing.assert_allclose(family(name, 9, **ends).sigmas, scheduler.sigmas, rtol=1e-6)


def test_the_flow_shift_is_the_schedulers():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=np.linspace(1, 0.1, 10))
    found = family("flow", 10, shift=3.0).flow_time
    np.testing.assert_allclose(found, scheduler.sigmas, atol=1e-7)  # theirs are float32


def test_the_beta_family_has_diffusers_quantiles_of_time():
    """With use_beta_sigmas FlowMatchEuler puts its times, from 1 to the least, at quantiles."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_beta_sigmas=True)
    scheduler.set_timesteps(9)
    times = scheduler.sigmas.numpy()[:-1].astype(float)
    shares = (times - times[-1]) / (times[0] - times[-1])
    levels = SCHEDULES["beta"].curve(np.linspace(1, 0, 9)[:-1])
    of_time = SCHEDULES["linear"].curve(np.linspace(1, 1e-6, 100_001))
    found = np.interp(levels, of_time, np.linspace(1, 1e-6, 100_001))
    np.testing.assert_allclose(found, shares[:-1], atol=1e-5)  # float32
