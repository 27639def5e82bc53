"""Configurations of diffusers' schedulers: which fields say what a level or an answer means.

A network of a training grid of betas is called at timesteps, and answers in one of a few ways. All
fields of such a configuration are in one of four groups: :data:`LEVELS` and :data:`ANSWERS` are
honoured, :data:`REFUSED` by name unless they say nothing, and :data:`STEPPING` is about the
scheduler's own steps, which a plan or a list of levels replaces. Configurations of flow matching
(:func:`is_flow`) have times in place of betas; what is about their scheduler's steps alone is kept
(:data:`FLOW`), because who hands levels to that scheduler has to undo it. All others without betas
(EDM, consistency models, discrete data) are refused as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specjax._core.checks import UserError

LEVELS = (
    "num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "trained_betas",
    "snr_shift_scale", "rescale_betas_zero_snr",
)  # fmt: skip
"""What makes the levels of a training grid."""

FLOW = (
    "num_train_timesteps", "prediction_type", "invert_sigmas", "use_flow_sigmas", "shift",
    "flow_shift", "use_dynamic_shifting", "base_shift", "max_shift", "base_image_seq_len",
    "max_image_seq_len", "time_shift_type", "shift_terminal", "use_karras_sigmas",
    "use_exponential_sigmas", "use_beta_sigmas", "stochastic_sampling", "_class_name",
)  # fmt: skip
"""What is kept of a configuration of flow matching: a network's times, and what changes levels."""

ANSWERS = ("prediction_type", "variance_type")
"""What the network answers: its prediction, and whether variances lie behind it."""

PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""The values of ``prediction_type`` that are an estimate of the clean data."""

WITH_VARIANCE = ("learned", "learned_range")
"""The values of ``variance_type`` that put as many channels of variances behind the prediction."""

_EDM = "levels and answers are EDM's, not those of the betas"
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "timestep_type": (("discrete",), "the network is called at log sigma, not at timesteps"),
    "sigma_min": ((), "its levels are not those of the betas"),
    "sigma_max": ((), "its levels are not those of the betas"),
    "sigma_data": ((), _EDM),
    "sigma_schedule": ((), _EDM),
    "use_flow_sigmas": ((False,), "its levels are those of flow matching, not of the betas"),
    "timestep_scaling": ((), "a consistency model's answers are no means of the clean data"),
}
"""Fields with the values that say nothing, and why any other is refused; null says nothing."""

STEPPING = (
    "timestep_spacing", "steps_offset", "set_alpha_to_one", "final_sigmas_type", "flow_shift",
    "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
    "interpolation_type", "lambda_min_clipped", "use_dynamic_shifting", "time_shift_type",
    "shift_terminal", "original_inference_steps", "clip_sample", "clip_sample_range",
    "thresholding", "dynamic_thresholding_ratio", "sample_max_value", "solver_order",
    "solver_type", "solver_p", "algorithm_type", "lower_order_final", "euler_at_final",
    "predictor_order", "corrector_order", "tau_func", "predict_x0", "disable_corrector",
    "skip_prk_steps", "noise_sampler_seed", "eta", "kwargs",
)  # fmt: skip
"""What the scheduler itself does between levels: nothing that its network knows of."""


def is_flow(config: Mapping[str, Any]) -> bool:
    """Tell whether a configuration is of flow matching: FlowMatchEuler, or ``use_flow_sigmas``."""
    if config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction":
        return True
    if "FlowMatch" in str(config.get("_class_name")):
        return True
    return "shift" in config and not {"beta_schedule", "trained_betas"} & config.keys()


FLOW_SCHEDULERS = (
    "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "UniPCMultistepScheduler",
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler",
    "SASolverScheduler", "PlanScheduler",
)  # fmt: skip
"""Schedulers of flow matching whose networks answer the velocity at T t.

Others turn it around (MiniMax-H3), have several stages (Helios) or ask for maps and policies.
"""


def check_flow(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a configuration of flow matching whose network answers something else.

    Raises:
      UserError: with the name of the field.
    """
    prediction, kind = config.get("prediction_type"), config.get("_class_name")
    if prediction not in (None, "flow_prediction"):
        raise UserError(
            f"{name}: prediction_type = {prediction!r} beside use_flow_sigmas; networks of flow "
            "matching answer 'flow_prediction'"
        )
    if kind not in (None, *FLOW_SCHEDULERS):
        raise UserError(
            f"{name}: _class_name = {kind!r}: whether its network answers eps - x0 at T t is not "
            "known; if so, give the configuration without the name"
        )


def check_betas(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a configuration whose network has no training grid of betas, or has more to it.

    Raises:
      UserError: with the name of the field.
    """
    given = {key: x for key, x in config.items() if x is not None}
    for field, (silent, why) in REFUSED.items():
        if field in given and given[field] not in silent:
            raise UserError(f"{name}: {field} = {given[field]!r}: {why}")
    if not {"beta_schedule", "trained_betas"} & given.keys():
        raise UserError(
            f"{name}: {given.get('_class_name', 'the configuration')} has no beta_schedule and no "
            "trained_betas (EDM?): give that of a network on a grid of betas, or of flow matching"
        )
