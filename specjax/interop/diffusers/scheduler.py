"""Plans in diffusers: ``pipe.scheduler = PlanScheduler.from_file("plan.json")``.

The scheduler works on the sample that diffusers' networks see, and calls them at timesteps
that are interpolated on their training grid.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_ddpm import DDPMSchedulerOutput
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor

from specjax._core.checks import UserError
from specjax.files.codec import kind_of
from specjax.fitting.learned import LearnedResult
from specjax.interop.diffusers.network import ConfiguredNetwork, Thresholds
from specjax.interop.diffusers.plan_config import (
    check_noise,
    differences,
    pipeline_of,
    rows_in_config,
    settings_of,
    thresholds_of,
)
from specjax.interop.on_grid import within
from specjax.interop.stepping import advance, as_result, is_noisy
from specjax.schedules.schedule import sigmoid

_NEARLY_PURE = 0.99  # the part of noise in a first sample
_OF_SOLVERS = ("sigmas", "sigma_min", "sigma_max", "lambda_t", "alpha_t", "sigma_t", "one")
"""Attributes of schedulers that pipelines for one solver read."""


class MissingError(UserError, AttributeError):
    """A mistake that is an attribute which the scheduler of a plan does not have."""


class PlanScheduler(SchedulerMixin, ConfigMixin):
    """A plan as a scheduler of diffusers; make it by :meth:`from_file` or :meth:`from_plan`.

    Its configuration holds the plan's numbers, so ``save_pretrained`` and ``from_pretrained`` need
    no plan file.

    Args:
      plan: rows in VP, see :data:`specjax.interop.stepping.Rows`, with ``steps``, the ``sampler``
        and the ``process`` that it was made from, and ``past_is_estimates``, whether all
        registers behind the sample are past estimates.
      num_train_timesteps: T, the levels of the network's training grid.
      beta_start: its first beta.
      beta_end: its last beta.
      beta_schedule: the betas between: "linear", "scaled_linear" or "squaredcos_cap_v2".
      trained_betas: all T betas, in place of these.
      prediction_type: what the network answers: "epsilon", "v_prediction" or "sample".
      snr_shift_scale: the factor of the signal-to-noise ratio, as CogVideoX has it.
      rescale_betas_zero_snr: whether the grid ends in pure noise.
      variance_type: "learned" and "learned_range" say that as many channels behind the answer are
        variances. They are cut off: how much noise a step adds is the plan's own.
      use_flow_sigmas: whether the network is of flow matching, called at T times the time.
      invert_sigmas: whether its time runs from noise to data, as Mochi's.

    Raises:
      UserError: without a plan, and for a grid or prediction that does not exist.
    """

    order = 1
    # Whose fields are known where a saved one is read.
    _compatibles = [  # noqa: RUF012
        *(one.name for one in KarrasDiffusionSchedulers), "FlowMatchEulerDiscreteScheduler",
    ]  # fmt: skip

    @register_to_config
    def __init__(
        self,
        plan: Mapping[str, Any] | None = None,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: Any = None,
        prediction_type: str = "epsilon",
        snr_shift_scale: float | None = None,
        rescale_betas_zero_snr: bool = False,
        variance_type: str | None = None,
        use_flow_sigmas: bool = False,
        invert_sigmas: bool = False,
    ) -> None:
        if plan is None:
            raise UserError("plan = None: make the scheduler by PlanScheduler.from_file(path)")
        self._step_index: int | None = None
        self._begin_index: int | None = None
        self._past: list[torch.Tensor] = []
        self._network = ConfiguredNetwork.of(self.config)
        self._rows = plan
        self.is_guided = False  # whether a callback sets the weights of guidance
        self._threshold = Thresholds(**plan.get("thresholds", {}))
        self.set_timesteps()

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], *args: Any, **options: Any) -> Any:
        """Load what ``save_pretrained`` wrote; a plan file is taken as by :meth:`from_file`.

        Args:
          path: a folder, a name on the hub, or a plan file.
          args: as of ``SchedulerMixin.from_pretrained``.
          options: likewise.
        """
        if os.path.isfile(path) and kind_of(path) is not None:
            return cls.from_file(path, *args, **options)
        return super().from_pretrained(path, *args, **options)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> PlanScheduler:
        """Make the scheduler of a plan file.

        Args:
          path: what ``specjax learn`` or :func:`specjax.save` wrote.
          config: ``pipe.scheduler.config``.
          options: those of :meth:`from_plan`.
        """
        return cls.from_plan(as_result(path), config, **options)

    @classmethod
    def from_plan(
        cls,
        plan: LearnedResult,
        config: Mapping[str, Any] | None = None,
        *,
        colored: bool = False,
        clip_sample: bool | None = None,
        thresholding: bool | None = None,
        **options: Any,
    ) -> PlanScheduler:
        """Make the scheduler of a plan.

        The network knows the levels of its training grid only. Where levels lie outside, those of
        :func:`specjax.fit` are learned again within it, with a warning, and plans with learned
        coefficients are refused: learn them with ``grid``.

        Args:
          plan: what :func:`specjax.learn` or :func:`specjax.fit` returned.
          config: ``pipe.scheduler.config``: the training grid and the kind of prediction are
            honoured, what else changes the meaning of a level or an answer is refused by name.
            What it says otherwise than where the plan was learned is a warning.
          colored: for a plan that was learned for noise with a spectrum: says that the pipeline
            will be given ``latents``, ``plan.noise.color(white noise)`` with channels first.
          clip_sample: whether estimates of x0 are clipped to ``clip_sample_range``; by default as
            where the plan was learned, which is not: solvers do not clip, whatever config says.
          thresholding: whether they are thresholded (dynamic thresholding); by default as where
            the plan was learned, or else as config says.
          options: these by name, see the class; they go before config. By default those of the
            grid that was learned for, or else of ``DDPMScheduler``.

        Raises:
          UserError: for an unknown option, a config that has neither a training grid of betas nor
            the times of flow matching (EDM), or more to it, a plan with levels outside of the grid
            that cannot be learned again, one with noise that is not white, pure noise for a network
            that predicts noise.
        """
        plan = as_result(plan)
        check_noise(plan, colored)
        if config is None and plan.grid is not None:
            config = plan.grid.config
        settings = settings_of(config, options)
        network = ConfiguredNetwork.of(settings)
        plan, remarks = within(plan, network.grid)
        if network.prediction == "epsilon" and plan.schedule.starts_pure:
            raise UserError(
                "prediction_type = 'epsilon': the plan starts from pure noise, where a network "
                "of noise says nothing of the data; learn one for this network, by grid=..."
            )
        for remark in [*remarks, *differences(plan, network, config or {})]:
            warnings.warn(f"PlanScheduler: {remark}", stacklevel=2)
        rows = rows_in_config(plan, network.process)
        thresholds = thresholds_of(plan, {**(config or {}), **options}, clip_sample, thresholding)
        learned_for = {k: x for k, x in pipeline_of(plan).items() if k in ("shape", "dtype")}
        rows |= {"thresholds": thresholds, "learned_for": learned_for}
        if network.process == "flow" and rows["start"] < _NEARLY_PURE:
            warnings.warn(
                f"PlanScheduler: the plan starts at t = {rows['sigma'][0]:.4g}, and pipelines of "
                "flow matching from noise alone: learn it with alpha_bar_range=(0.0, 1.0)",
                stacklevel=2,
            )
        return cls.with_rows(rows, config, options)

    @classmethod
    def with_rows(
        cls,
        rows: Mapping[str, Any],
        config: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make the scheduler of rows; config and options are as in :meth:`from_plan`."""
        settings = settings_of(config, options or {})
        made = cls(plan=rows, **settings)
        # What else the configuration says goes back to a scheduler that is made from this one.
        own = {*settings, "plan"}
        kept = {k: x for k, x in (config or {}).items() if k not in own and k[0] != "_"}
        made.register_to_config(**kept)
        return made

    @property
    def network(self) -> ConfiguredNetwork:
        """What the configuration says of the network."""
        return self._network

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in _OF_SOLVERS:
                raise
            raise MissingError(
                f"PlanScheduler has no {name!r}: a plan has its own rows in place of a sampler's "
                "steps; use a pipeline that calls set_timesteps() and step() alone, or sample by "
                "specjax"
            ) from None

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)

    @property
    def alphas_cumprod(self) -> torch.Tensor:
        """The signal's share of the variance [T] at the timesteps of the training grid."""
        return torch.from_numpy(sigmoid(self._network.grid.logsnr)).float()

    @property
    def betas(self) -> torch.Tensor:
        """``1 - alpha_bar_t / alpha_bar_(t-1)`` [T] of the training grid."""
        alpha_bar = self.alphas_cumprod.double()
        return (1 - alpha_bar / torch.cat([torch.ones(1), alpha_bar[:-1]])).float()

    @property
    def init_noise_sigma(self) -> float:
        """Standard deviation of the noise that a sample starts from."""
        return float(self._rows["start"])

    @property
    def step_index(self) -> int | None:
        """The number of the next call; None before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The call that a pipeline begins at, if it has set one."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin at a later call, number ``begin_index`` (image to image)."""
        self._begin_index = begin_index

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Any = None,
        mu: float | None = None,
        **others: Any,
    ) -> None:
        """Prepare for a new sample.

        Args:
          num_inference_steps: S of the plan, or None.
          device: that of ``timesteps``.
          sigmas: what pipelines of flow matching give by themselves: S numbers, not used.
          mu: likewise, a shift that the plan's levels do not take.
          others: what other schedulers take; refused if it asks for anything.

        Raises:
          UserError: for another number of steps than the plan's, or other levels.
        """
        steps, flow = self._rows["steps"], self._network.process == "flow"
        if flow and sigmas is not None:
            num_inference_steps = len(sigmas)
        others |= {} if flow else {"sigmas": sigmas, "mu": mu}
        _refuse(others, "the plan has its own levels")
        if num_inference_steps not in (None, steps):
            raise UserError(
                f"num_inference_steps = {num_inference_steps}: the plan has {steps} steps; give "
                f"{steps}, or learn a plan of {num_inference_steps}"
            )
        timesteps = self._network.timesteps(self._rows["alpha"], self._rows["sigma"])
        self.timesteps = torch.from_numpy(timesteps).to(device)
        if flow:
            end = np.float32(len(self) if self.config.invert_sigmas else 0)
            self.sigmas = torch.from_numpy(np.append(timesteps, end) / np.float32(len(self)))
        self.num_inference_steps = steps
        self._step_index = self._begin_index = None
        self._past = []

    def scale_model_input(
        self, sample: torch.Tensor, timestep: float | torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return ``sample`` as it is, whatever the ``timestep``: it is in the network's scale."""
        return sample

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        generator: Any = None,
        return_dict: bool = True,
        **others: Any,
    ) -> DDPMSchedulerOutput | tuple[torch.Tensor, torch.Tensor]:
        """Apply one row of the plan after a call of the network.

        Args:
          model_output: the network's answer to ``sample`` at ``timestep``.
          timestep: that of the call; it matters in the first one alone, to find where to begin.
          sample: [n, ...], what the network was called with.
          generator: draws the noise of a plan with noise.
          return_dict: False for a tuple.
          others: what other schedulers take, such as ``eta``; refused if it asks for anything.

        Raises:
          UserError: for an answer of another shape; behind the last call; for a timestep that the
            plan does not have; for a start in the middle of a plan whose past is not estimates.
        """
        _refuse(others, "how the plan steps is learned")
        model_output = self._network.prediction_in(model_output, sample)
        if self._step_index is None:
            self._compare(sample)
        k = self._call_index(timestep)
        x, d = self._estimate(self._rows["alpha"][k], self._rows["sigma"][k], sample, model_output)
        z = None
        if is_noisy(self._rows, k):
            z = randn_tensor(
                model_output.shape, generator=generator, device=model_output.device,
                dtype=model_output.dtype,
            ).to(x.dtype)  # fmt: skip
        self._name_guidance(k)
        r = advance([x, *self._past_registers(k, d)], self._rows, k, d, z)
        self._past, self._step_index = r[1:], k + 1
        before = r[0].to(model_output.dtype)
        return DDPMSchedulerOutput(before, d) if return_dict else (before, d)

    def add_noise(
        self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Return ``alpha original_samples + sigma noise`` at timesteps [n] of the grid."""
        alpha, sigma = self._network.scales_at(timesteps, original_samples)
        return alpha * original_samples + sigma * noise

    def scale_noise(
        self, sample: torch.Tensor, timestep: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Return the same as :meth:`add_noise`, by the name that flow matching has for it."""
        return self.add_noise(sample, noise, timestep)

    def get_velocity(
        self, sample: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Return ``alpha noise - sigma sample``, what a network of v predicts, at timesteps [n]."""
        alpha, sigma = self._network.scales_at(timesteps, sample)
        return alpha * noise - sigma * sample

    def _estimate(
        self, alpha: float, sigma: float, sample: torch.Tensor, answer: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a sample, and the estimate of x0 from the answer to it, in single or double."""
        x = sample if sample.dtype == torch.float64 else sample.to(torch.float32)
        return x, self._threshold(self._network.estimate(x, answer.to(x.dtype), alpha, sigma))

    def _compare(self, sample: torch.Tensor) -> None:
        """Warn of samples of another shape or dtype than the plan was learned for."""
        learned: Mapping[str, Any] = self._rows.get("learned_for", {})
        here = {"shape": list(sample.shape[1:]), "dtype": str(sample.dtype)}
        for name, is_ in here.items():
            if learned.get(name, is_) != is_:
                warnings.warn(
                    f"PlanScheduler: samples have {name} {is_}, the plan was learned for "
                    f"{learned[name]}: it runs, learn it for these to have its quality",
                    stacklevel=3,
                )

    def _name_guidance(self, k: int) -> None:
        """Warn, in the second call, of weights of guidance that nobody sets."""
        if k == 1 and self._rows.get("guidance") is not None and not self.is_guided:
            warnings.warn(
                "PlanScheduler: the plan has a weight of guidance for each call, and the pipeline "
                "one for all: give **guidance_callback(plan, pipe).arguments",
                stacklevel=3,
            )

    def _call_index(self, timestep: float | torch.Tensor) -> int:
        """Return the number of this call: one after another, from where the pipeline began."""
        calls = len(self._rows["alpha"])
        if self._step_index is None:
            self._step_index = self._begin_index
        if self._step_index is None:
            self._step_index = self._index_of(timestep)
        if self._step_index >= calls:
            raise UserError(
                f"all {calls} calls of the plan are done: call set_timesteps() before a new sample"
            )
        return self._step_index

    def _index_of(self, timestep: Any) -> int:
        """Find the call of a timestep.

        It is found by where it lies in memory, so that nobody waits for a device, or else by its
        number.
        """
        if torch.is_tensor(timestep) and timestep.device == self.timesteps.device:
            one, all_ = timestep.untyped_storage(), self.timesteps.untyped_storage()
            if one.data_ptr() == all_.data_ptr():
                return int(timestep.storage_offset())
        apart = (self.timesteps.cpu() - float(timestep)).abs()
        k = int(apart.argmin())
        if apart[k] > 1:
            raise UserError(
                f"timestep = {float(timestep):g} is none of the plan's: take those of "
                "scheduler.timesteps"
            )
        return k

    def _past_registers(self, k: int, d: torch.Tensor) -> list[torch.Tensor]:
        """Return the registers behind the sample; at a later start, the first estimate."""
        if self._past:
            return self._past
        others = len(self._rows["pull"][0]) - 1
        if k and others and not self._rows["past_is_estimates"]:
            raise UserError(
                f"a plan of {self._rows['sampler']} cannot begin at call {k}: begin at its start "
                "(strength = 1)"
            )
        return [d if k else torch.zeros_like(d)] * others


def _refuse(given: Mapping[str, Any], why: str) -> None:
    """Refuse keywords of other schedulers that ask for something."""
    for name, value in given.items():
        if not (value is None or (isinstance(value, bool | int | float) and not value)):
            raise UserError(f"{name} = {value!r}: {why}; leave it out")
