"""Every scheduler of diffusers, and every field of its configuration: honoured or refused."""

import contextlib
import inspect
import warnings

import numpy as np
import pytest
from checks import one_line
from test_plan_scheduler import plan_of

import specjax as sx
from specjax._core.checks import UserError
from specjax.schedules.configurations import ANSWERS, FLOW, LEVELS, REFUSED, STEPPING

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[interop]'")
diffusers = pytest.importorskip("diffusers", reason="needs it: pip install -e '.[interop]'")
PlanScheduler = pytest.importorskip("specjax.interop.diffusers").PlanScheduler

TABLE = 1e-6  # the schedulers' tables are float32

# Another value of each field that might change a level or an answer.
OTHER = {
    "num_train_timesteps": 500,
    "beta_start": 0.0003,
    "beta_end": 0.015,
    "beta_schedule": "squaredcos_cap_v2",
    "trained_betas": np.linspace(1e-3, 0.03, 400).tolist(),
    "rescale_betas_zero_snr": True,
    "snr_shift_scale": 2.0,
    "prediction_type": "v_prediction",
    "variance_type": "learned_range",
    "timestep_type": "continuous",
    "sigma_min": 0.1,
    "sigma_max": 10.0,
    "use_flow_sigmas": True,
}
REQUIRED = {
    "AmusedScheduler": {"mask_token_id": 3},
    "VQDiffusionScheduler": {"num_vec_classes": 3},
    "RFD4ProteinaScheduler": dict.fromkeys(("schedule_mode", "noise_mode", "tsr_k", "tsr_sigma")),
}
CLASSES = sorted(
    name for name in dir(diffusers) if name.endswith("Scheduler") and not name.startswith("Flax")
)
GIVEN = sx.LearnedResult.from_schedule(sx.NoiseSchedule([-3.0, 0.0, np.inf]))


def made(name, **options):
    """A scheduler, or None where it takes no such value or a library that is not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 2 on torch tensors
        try:
            scheduler = getattr(diffusers, name)(**REQUIRED.get(name, {}) | options)
        except (ImportError, NotImplementedError, TypeError, ValueError):
            return None
    return scheduler if hasattr(scheduler, "config") else None


def fields_of(scheduler):
    return set(inspect.signature(type(scheduler).__init__).parameters) - {"self"}


def served(scheduler):
    """The scheduler of a plan for the same network; None if it is refused."""
    with contextlib.suppress(UserError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # levels outside the range of a grid
        loaded = {**scheduler.config, "_class_name": type(scheduler).__name__}
        return PlanScheduler.from_plan(GIVEN, loaded)
    return None


def check_same_levels(scheduler, own):
    """Timesteps mean the levels of the scheduler's own table, down to what float32 knows."""
    if own.network.process == "flow":
        turned = scheduler.config.get("invert_sigmas")
        assert own.network.timesteps(0.75, 0.25) == (750 if turned else 250)
        return
    wanted = scheduler.alphas_cumprod.double().numpy()
    found = own.alphas_cumprod.double().numpy()
    assert len(own) == len(wanted)
    known = slice(0, -1) if own.config.rescale_betas_zero_snr else slice(None)
    np.testing.assert_allclose(found[known], wanted[known], rtol=0, atol=TABLE)
    assert own.config.prediction_type == scheduler.config.get("prediction_type", "epsilon")


@pytest.mark.parametrize("name", CLASSES)
def test_every_field_is_honoured_or_refused(name):
    scheduler = made(name)
    if scheduler is None:
        pytest.skip(f"{name} cannot be made here")
    own = served(scheduler)
    if own is None:
        return
    known = {*LEVELS, *ANSWERS, *REFUSED, *STEPPING, *FLOW}
    assert fields_of(scheduler) <= known, "say what it means in schedules/configurations.py"
    assert set(scheduler.config) <= set(own.config), "lost for a scheduler that is made from it"
    check_same_levels(scheduler, own)
    if own.network.process == "flow":
        return
    for field in fields_of(scheduler) & OTHER.keys():
        other = made(name, **{field: OTHER[field]})
        if other is None:
            continue
        again = served(other)
        assert (again is None) == (field in REFUSED), field
        if again is not None:
            check_same_levels(other, again)


def test_most_schedulers_are_tried_and_all_ways_of_refusal():
    config = diffusers.DDPMScheduler().config
    assert len([name for name in CLASSES if made(name) is not None]) >= 40
    for field in REFUSED:
        assert field in one_line(PlanScheduler.from_plan, plan_of(), {**config, field: "other"})
        PlanScheduler.from_plan(plan_of(), {**config, field: None})


def test_the_configuration_goes_back_to_a_scheduler_made_from_it():
    before = diffusers.DPMSolverMultistepScheduler(
        beta_schedule="scaled_linear", solver_order=3, use_karras_sigmas=True, steps_offset=1
    )
    own = PlanScheduler.from_plan(plan_of(), before.config)
    assert type(before) in own.compatibles
    after = diffusers.DPMSolverMultistepScheduler.from_config(own.config)
    changed = {k for k in before.config if before.config[k] != after.config[k]}
    assert changed <= {"_use_default_values"}


def test_a_grid_of_zero_terminal_snr_ends_in_pure_noise():
    config = {"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": True}
    grid = sx.TrainingGrid.from_config("zero", config)
    betas = np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2
    root = np.sqrt(np.cumprod(1 - betas))  # 2305.08891, algorithm 1
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    assert root[-1] == 0
    np.testing.assert_allclose(1 / (1 + np.exp(-grid.logsnr)), root**2, rtol=1e-9)
    assert grid.range[0] == -np.inf
