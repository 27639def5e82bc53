"""What a scheduler's configuration says of its network: its levels, timesteps and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import torch

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.schedules.configurations import PREDICTIONS, WITH_VARIANCE, is_flow
from specjax.schedules.grids import TrainingGrid, grid_of_config
from specjax.schedules.schedule import alpha_sigma


@dataclass(frozen=True, eq=False)
class ConfiguredNetwork:
    """A network of diffusers as its scheduler's configuration describes it.

    Attributes:
      grid: the levels that it was trained on.
      process: the scale of the samples that it sees, "vp" or "flow".
      prediction: what it answers, a ``prediction_type``; of flow matching, "flow_prediction".
      learned_variance: whether as many channels behind the answer are variances.
    """

    grid: TrainingGrid
    process: str
    prediction: str
    learned_variance: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ConfiguredNetwork:
        """Read a configuration.

        Raises:
          UserError: for a prediction or levels that are not known.
        """
        flow = is_flow(config)
        known = ("flow_prediction",) if flow else PREDICTIONS
        return cls(
            grid=grid_of_config("of the network", config),
            process="flow" if flow else "vp",
            prediction=checks.one_of(
                "prediction_type", config.get("prediction_type") or known[0], known
            ),
            learned_variance=config.get("variance_type") in WITH_VARIANCE,
        )

    def timesteps(self, alpha: Any, sigma: Any) -> np.ndarray:
        """Return what the network is called at, [...] in float32, for alpha and sigma [...]."""
        with np.errstate(divide="ignore"):
            s = np.asarray(sigma, np.float64) / np.asarray(alpha, np.float64)
        return np.asarray(self.grid.timestep_of_sigma(s), np.float32)

    def scale(self, alpha: float, sigma: float) -> float:
        """Return what divides a sample, and both, into the scale of the process."""
        return alpha + sigma if self.process == "flow" else float(np.hypot(alpha, sigma))

    def levels(self, timesteps: torch.Tensor) -> list[tuple[float, float]]:
        """Return alpha and sigma at each timestep, and at the end without noise."""
        found = alpha_sigma(self.grid.logsnr_at(timesteps.double().cpu().numpy()), self.process)
        return [*zip(*(np.asarray(x).tolist() for x in found), strict=True), (1.0, 0.0)]

    def reference(self, steps: int) -> Any:
        """Make diffusers' own scheduler of first order for the network, set to some steps."""
        config = self.grid.config
        if self.process == "flow":
            names = {"num_train_timesteps", "invert_sigmas"} & config.keys()
            flow = diffusers.FlowMatchEulerDiscreteScheduler(**{x: config[x] for x in names})
            flow.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist())
            flow.scale_model_input = lambda sample, timestep=None: sample
            flow.init_noise_sigma = 1.0  # pipelines for others ask for both
            return flow
        kind = "CogVideoXDDIMScheduler" if "snr_shift_scale" in config else "DDIMScheduler"
        ddim = getattr(diffusers, kind)(
            **config, prediction_type=self.prediction, timestep_spacing="trailing",
            set_alpha_to_one=True, clip_sample=False,
        )  # fmt: skip
        ddim.set_timesteps(steps)
        return ddim

    def scales_at(self, timesteps: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return alpha and sigma [n, 1, ...] at timesteps [n], for samples [n, ...]."""
        logsnr = self.grid.logsnr_at(timesteps.detach().cpu().numpy().astype(np.float64))
        return tuple(
            torch.from_numpy(np.asarray(scale))
            .to(like.device, like.dtype)
            .reshape(-1, *[1] * (like.ndim - 1))
            for scale in alpha_sigma(logsnr, self.process)
        )

    def prediction_in(self, answer: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """Return the prediction of an answer, of the sample's shape: learned variances are cut off.

        What has another shape might be broadcast, and make a sample of nothing.

        Raises:
          UserError: for an answer of another shape.
        """
        channels = sample.shape[1] if sample.ndim > 1 else 0
        if self.learned_variance and answer.shape[1:2] == (2 * channels,):
            answer = answer[:, :channels]
        if answer.shape != sample.shape:
            raise UserError(
                f"model_output has shape {tuple(answer.shape)}, the sample {tuple(sample.shape)}: "
                "give the prediction alone (variance_type = 'learned_range' cuts off variances)"
            )
        return answer

    def estimate(
        self, x: torch.Tensor, answer: torch.Tensor, alpha: float, sigma: float
    ) -> torch.Tensor:
        """Estimate x0 from an answer (2006.11239, eq. 15; 2202.00512, appendix D; 2210.02747)."""
        if self.process == "flow":  # with inverted times the answer is the velocity to the data
            return x + (sigma if self.grid.config.get("invert_sigmas") else -sigma) * answer
        if self.prediction == "epsilon":
            return (x - sigma * answer) / alpha
        return answer if self.prediction == "sample" else alpha * x - sigma * answer


@dataclass(frozen=True)
class Thresholds:
    """What is done to an estimate of x0 that leaves the range of images.

    Attributes:
      clip: the largest number that is kept; None keeps all.
      dynamic: the quantile and the largest number of dynamic thresholding (2205.11487, section
        2.3), or None.
    """

    clip: float | None = None
    dynamic: tuple[float, float] | None = None

    @classmethod
    def of(
        cls, config: Mapping[str, Any], clip_sample: bool = False, thresholding: bool | None = None
    ) -> Thresholds:
        """Read a configuration.

        Its ``clip_sample`` is a part of DDPM's and DDIM's own steps, which solvers do not have,
        diffusers' neither, so it says the range alone.

        Args:
          config: of the scheduler.
          clip_sample: whether estimates are clipped.
          thresholding: whether they are thresholded; None as the configuration says.
        """
        dynamic = config.get("thresholding") if thresholding is None else thresholding
        ratio = config.get("dynamic_thresholding_ratio") or 0.995
        return cls(
            clip=float(config.get("clip_sample_range") or 1.0) if clip_sample else None,
            dynamic=(float(ratio), float(config.get("sample_max_value") or 1.0))
            if dynamic
            else None,
        )

    def __call__(self, x0: torch.Tensor) -> torch.Tensor:
        """Return estimates [n, ...] within the range."""
        if self.dynamic is not None:
            ratio, most = self.dynamic
            size = torch.quantile(x0.flatten(1).abs(), ratio, dim=1).clamp(1, max(most, 1))
            size = size.reshape(-1, *[1] * (x0.ndim - 1))
            x0 = x0.clamp(-size, size) / size
        return x0 if self.clip is None else x0.clamp(-self.clip, self.clip)
