"""A pipeline's loop, turned around: it is asked for the answer to any sample at any level.

The pipeline runs in a thread of its own with a scheduler whose ``step`` hands over the answer and
waits for the next question. So prompts, guidance, packed latents, several networks and whatever
else a pipeline does around its networks are as the pipeline has them.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMSchedulerOutput

from specjax._core.checks import UserError
from specjax.interop.diffusers.network import ConfiguredNetwork
from specjax.interop.diffusers.scheduler import PlanScheduler

QUESTIONS = 4096  # of one run: what the scheduler says is the number of its steps


class _Stop(BaseException):
    """Raised inside of a pipeline to leave it."""


class AskingScheduler(PlanScheduler):
    """The scheduler of a pipeline that is asked.

    Attributes:
      ask: ``(estimates of x0, sample, timestep) -> (timestep, next sample)``.
    """

    ask: Callable[[torch.Tensor, torch.Tensor, Any], tuple[torch.Tensor, tuple[float, float]]]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> AskingScheduler:
        """Make it of the configuration of a pipeline's own scheduler."""
        anywhere = {"alpha": [0.5], "sigma": [0.5], "start": 1.0, "steps": 1}
        made: AskingScheduler = cls.with_rows(anywhere, config)
        return made

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        sigmas: Any = None,
        mu: float | None = None,
        timesteps: Any = None,
        **others: Any,
    ) -> None:
        """Prepare timesteps that are written while the pipeline runs through them."""
        first = self._network.timesteps(self._rows["alpha"], self._rows["sigma"])[0]
        self.timesteps = torch.full((QUESTIONS,), float(first), device=device)
        if self._network.process == "flow":
            self.sigmas = torch.full((QUESTIONS + 1,), float(first) / len(self))
        self.num_inference_steps = QUESTIONS
        self._step_index = self._begin_index = None
        self._level = self._rows["alpha"][0], self._rows["sigma"][0]

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        *more: Any,
        return_dict: bool = True,
        **others: Any,
    ) -> Any:
        """Hand over the estimate, wait for the next question."""
        if self._step_index is None:
            self._step_index = self._begin_index or 0
        _, estimate = self._estimate(
            *self._level, sample, self._network.prediction_in(model_output, sample)
        )
        before, self._level = self.ask(estimate, sample, timestep)
        self._step_index += 1
        at = float(self._network.timesteps(*self._level))
        self.timesteps[self._step_index] = at
        if self._network.process == "flow":
            self.sigmas[self._step_index] = at / len(self)
        return DDPMSchedulerOutput(before, estimate) if return_dict else (before, estimate)


class Run:
    """One call of a pipeline that waits for questions.

    Args:
      pipe: it is not changed: a shallow copy of it runs.
      scheduler: that of the copy.
      arguments: of the call.

    Attributes:
      first: the sample that the pipeline itself began with.
    """

    def __init__(self, pipe: Any, scheduler: AskingScheduler, arguments: Mapping[str, Any]) -> None:
        self._questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._scheduler, self._sent = scheduler, None
        self.left = QUESTIONS - 1
        scheduler.ask = self._in_step
        self._pipe = silent_copy(pipe, scheduler)
        self._thread = threading.Thread(
            target=self._run, args=(dict(arguments),), daemon=True, name="a pipeline that is asked"
        )
        self._thread.start()
        _, self.first = self._taken()

    def __call__(self, x: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
        """Return the estimate [n, ...] of x0 for x in the network's scale."""
        self.left -= 1
        self._questions.put((x, (alpha, sigma)))
        return self._taken()[0]

    def close(self) -> None:
        """End the pipeline."""
        if self._thread.is_alive():
            self._questions.put(None)
            self._thread.join()

    def _taken(self) -> tuple[torch.Tensor, torch.Tensor]:
        found = self._answers.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def _run(self, arguments: dict[str, Any]) -> None:
        try:
            self._pipe(**arguments)
            self._answers.put(UserError("pipe: it ended before it was asked"))
        except _Stop:
            pass
        except BaseException as error:
            self._answers.put(error)

    def _in_step(
        self, estimate: torch.Tensor, sample: torch.Tensor, timestep: Any
    ) -> tuple[torch.Tensor, tuple[float, float]]:
        sent, wanted = self._sent, self._scheduler.timesteps[self._scheduler.step_index]
        if abs(float(timestep) - float(wanted)) > 1e-2:
            raise UserError(
                f"pipe: {type(self._pipe).__name__} does not step along "
                "scheduler.timesteps; learn through its network, by specjax.interop.torch.denoiser"
            )
        if sent is not None and not torch.equal(sent.to(sample.dtype), sample):
            raise UserError(
                f"pipe: {type(self._pipe).__name__} changes samples between its steps (as "
                "inpainting does); learn through the pipeline without, and use the plan in it"
            )
        self._answers.put((estimate, sample))
        question = self._questions.get()
        if question is None:
            raise _Stop
        x, level = question
        copies = len(sample) // len(x)  # some pipelines step twice the batch, for guidance
        self._sent = torch.cat([x] * copies).to(sample.device, sample.dtype)
        return self._sent, level


def silent_copy(pipe: Any, scheduler: Any) -> Any:
    """Return a copy of a pipeline with the same modules, another scheduler and no progress bar."""
    own = copy.copy(pipe)
    own.__dict__["scheduler"] = scheduler
    own.set_progress_bar_config(disable=True)
    return own


def steps_of(
    pipe: Any,
    scheduler: Any,
    network: ConfiguredNetwork,
    steps: int,
    arguments: Mapping[str, Any],
) -> list[torch.Tensor]:
    """Run the steps of a scheduler that is set to them in a pipeline.

    Returns:
      The samples [n, ...] before each of them, and after the last.
    """
    samples: list[torch.Tensor] = []
    step, timesteps = scheduler.step, scheduler.timesteps

    @functools.wraps(scheduler.set_timesteps)  # pipelines look at its parameters
    def as_set(*given: Any, device: Any = None, **options: Any) -> None:
        scheduler.timesteps = timesteps.to(device)

    @functools.wraps(step)
    def watched(answer: Any, timestep: Any, sample: Any, *given: Any, **options: Any) -> Any:
        samples.append(sample)
        made = step(network.prediction_in(answer, sample), timestep, sample, *given, **options)
        if len(samples) == steps:
            samples.append(made[0])
            raise _Stop
        return made

    scheduler.set_timesteps, scheduler.step = as_set, watched
    with contextlib.suppress(_Stop):
        silent_copy(pipe, scheduler)(**arguments)
    return samples
