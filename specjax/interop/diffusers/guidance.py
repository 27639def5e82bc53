"""Weights of guidance that differ from call to call, in pipelines that have a callback.

guide = guidance_callback(plan, pipe)
image = pipe("a lighthouse", num_inference_steps=6, **guide.arguments).images[0]
"""

from __future__ import annotations

import inspect
import os
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import torch

from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.interop.stepping import as_result

_JUST_GUIDED = 1 + 1e-6  # the least guidance_scale by which a pipeline prepares for guidance


@dataclass(eq=False)
class GuidanceCallback:
    """What is passed as ``callback_on_step_end``, see :func:`guidance_callback`.

    Attributes:
      weights: [S], of each call.
      tensors: those inputs of the callback that have rows with and without the prompt.
    """

    weights: list[float]
    tensors: list[str]
    _whole: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the pipeline's call: the first weight, the callback, its tensors."""
        return {
            "guidance_scale": max(self.weights[0], _JUST_GUIDED),
            "callback_on_step_end": self,
            "callback_on_step_end_tensor_inputs": ["latents", *self.tensors],
        }

    def __call__(
        self, pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Set the weight of the call after this step."""
        if step == 0:
            self._begin(pipe, kwargs)
        if step + 1 == len(self.weights):
            return {}
        pipe.scheduler.is_guided = True
        pipe._guidance_scale = weight = self.weights[step + 1]
        if weight == 1:  # the network is called with the prompt alone
            return {name: x.chunk(2)[1] for name, x in self._whole.items()}
        return dict(self._whole)

    def _begin(self, pipe: Any, kwargs: dict[str, Any]) -> None:
        given = pipe.guidance_scale
        if abs(given - self.arguments["guidance_scale"]) > 1e-5:
            warnings.warn(
                f"guidance_scale = {given:g}, but the plan was learned for {self.weights[0]:g} in "
                "its first call: it runs, give **guidance_callback(plan, pipe).arguments",
                stacklevel=3,
            )
        rows = 2 * len(kwargs["latents"])
        found = {name: kwargs[name] for name in self.tensors}
        self._whole = {n: x for n, x in found.items() if x is not None and len(x) == rows}


def guidance_callback(plan: LearnedResult | str | os.PathLike[str], pipe: Any) -> GuidanceCallback:
    """Make the callback of a plan whose calls have weights of guidance of their own.

    A call of weight 1 is one call of the network, but for the first one: a pipeline prepares for
    guidance or does not.

    Args:
      plan: what :func:`learn` returned with "guidance" among its groups, or its file; a plan that
        was learned for one ``guidance_scale`` has it in all calls.
      pipe: the pipeline, with ``callback_on_step_end`` and a ``guidance_scale`` that is a weight.

    Raises:
      UserError: for a plan without guidance, a pipeline without such a callback, and weights below
        1, which pipelines do not know.
    """
    result = as_result(plan)
    learned_for = result.source.get("pipeline", {}).get("guidance_scale")
    weights = [learned_for] * result.steps if result.guidance is None else list(result.guidance)
    if weights[0] is None:
        raise UserError("plan: it was learned without guidance; run it without a callback")
    takes = inspect.signature(type(pipe).__call__).parameters
    if not {"callback_on_step_end", "guidance_scale"} <= takes.keys():
        raise UserError(
            f"pipe: {type(pipe).__name__} has no callback_on_step_end beside a guidance_scale; "
            "learn a plan for one scale"
        )
    if not re.search(_WEIGHS, inspect.getsource(inspect.unwrap(type(pipe).__call__))):
        raise UserError(
            f"pipe: {type(pipe).__name__} keeps its first guidance_scale for all calls; learn a "
            "plan for one scale"
        )
    if min(weights) < 1:
        raise UserError(
            f"plan: it has a weight of {min(weights):.4g}, and pipelines guide by 1 and more; "
            "sample by specjax.generate"
        )
    inputs = [name for name in pipe._callback_tensor_inputs if name in _OF_PROMPTS]
    return GuidanceCallback([float(w) for w in weights], inputs)


_WEIGHS = r"self\.guidance_scale \*|self\._guidance_scale \*|\+ self\.guidance_scale"
"""How a pipeline's loop guides by a weight that can be set between its calls."""

_OF_PROMPTS = (
    "prompt_embeds", "pooled_prompt_embeds", "add_text_embeds", "add_time_ids",
    "prompt_attention_mask",
)  # fmt: skip
"""Inputs of callbacks that pipelines join from those without and with the prompt."""
