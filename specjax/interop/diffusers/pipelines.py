"""Plans learned through pipelines: ``learn(pipe, steps=6, prompts=[...], guidance_scale=5.0)``."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self

import diffusers
import numpy as np
import torch

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.interop.diffusers.network import Thresholds
from specjax.interop.diffusers.running import QUESTIONS, AskingScheduler, Run, steps_of
from specjax.learning.learn import learn as learn_plan
from specjax.learning.settings import LearnOptions
from specjax.priors import Network
from specjax.sampling.black_box import BlackBox
from specjax.sampling.guidance import guided
from specjax.schedules.configurations import FLOW_SCHEDULERS

_RUNS = 32  # pipelines that wait at once, one for each list of prompts in a batch
_STEPS, _AGREES = 4, 1e-4  # of the check against diffusers' own scheduler
_KEYWORDS = {"prompts": ("prompt",), "labels": ("class_labels", "labels")}
_OF_LEARN = {*LearnOptions.__annotations__, "start", "progress", "teacher_progress"} - {"labels"}


class PipelineDenoiser:
    """A pipeline of diffusers as a denoiser, guidance and all: ``(x, alpha, sigma, rows) -> x0``.

    The pipeline itself is run, up to its last step (nothing is decoded), and its scheduler asks for
    the answers; so it has to call ``set_timesteps`` and ``step`` as pipelines do. ``pipe`` is not
    changed. Use it in a ``with`` statement, which ends the runs that wait.

    Args:
      pipe: the pipeline.
      prompts: m prompts; the fourth argument has the number of each sample's prompt.
      labels: m classes in their place.
      guidance_scale: of the pipeline; by default its own.
      batch: the most samples in one call; a multiple of m where it is larger.
      clip_sample: whether estimates of x0 are clipped.
      thresholding: whether they are thresholded; by default as the scheduler's configuration says.
      arguments: more of the pipeline's own (height, width, negative_prompt, true_cfg_scale, ...).

    Attributes:
      box: this denoiser as a :class:`specjax.BlackBox`.
      network_calls: how many samples the networks were called with; with guidance by two answers
        these are two a sample.

    Raises:
      UserError: for a scheduler's configuration that says no levels, arguments that the pipeline
        does not take, prompts or labels where it takes none, or none where it needs them.
    """

    def __init__(
        self,
        pipe: Any,
        *,
        prompts: Sequence[str] | None = None,
        labels: Sequence[int] | None = None,
        guidance_scale: float | None = None,
        batch: int = 8,
        clip_sample: bool = False,
        thresholding: bool | None = None,
        **arguments: Any,
    ) -> None:
        self._takes = inspect.signature(type(pipe).__call__).parameters
        self._pipe, self._runs, self.network_calls = pipe, OrderedDict[Any, Run](), 0
        given = {"guidance_scale": guidance_scale, **arguments}
        self._arguments = {name: x for name, x in given.items() if x is not None}
        for name in self._arguments:
            checks.one_of(f"argument of {type(pipe).__name__}", name, self._takes)
        self._keyword, self._values = self._conditions(prompts, labels)
        batch = checks.whole_number("batch", batch)
        if self._values:
            batch -= batch % min(len(self._values), batch)
        names = [one.__name__ for one in type(pipe.scheduler).__mro__]
        kind = next((name for name in names if name in FLOW_SCHEDULERS), names[0])
        self.config = {**pipe.scheduler.config, "_class_name": kind}
        self.network = AskingScheduler.of(self.config).network
        self._threshold = Thresholds.of(self.config, clip_sample, thresholding)
        self._hooks = [
            module.register_forward_pre_hook(self._count, with_kwargs=True)
            for name, module in pipe.components.items()
            if isinstance(module, torch.nn.Module) and name.startswith(("unet", "transformer"))
        ]
        try:
            rows = np.arange(batch if self._is_batched else 1) % (self.rows or 1)
            self._like = self._run(tuple(rows.tolist())).first
        except BaseException:
            self.close()
            raise
        self.shape = tuple(self._like.shape[1:])
        rounding = max(torch.finfo(self._like.dtype).eps, float(np.finfo(np.float32).eps))
        self.box = BlackBox(self, self.shape, batch if self._is_batched else 1, precision=rounding)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the pipelines that wait, and take the counters off the networks."""
        for run in self._runs.values():
            run.close()
        for hook in self._hooks:
            hook.remove()
        self._runs.clear()
        self._pipe.maybe_free_model_hooks()

    @property
    def rows(self) -> int:
        """The number of prompts or labels."""
        return len(self._values or ())

    @property
    def about(self) -> dict[str, Any]:
        """What a plan that is learned through it is for, as kept in its file."""
        scale = self._arguments.get("guidance_scale", _default(self._takes, "guidance_scale"))
        return {
            "class": type(self._pipe).__name__,
            "conditions": self._keyword,
            "guidance_scale": scale,
            "prediction_type": self.network.prediction,
            "shape": list(self.shape),
            "dtype": str(self._like.dtype),
            "thresholds": asdict(self._threshold),
            "diffusers": diffusers.__version__,
        }

    def __call__(self, x: np.ndarray, alpha: float, sigma: float, rows: Any = None) -> np.ndarray:
        """Estimate x0 of x [m, *shape] with the prompts or labels of numbers rows [m]."""
        return np.asarray(self._threshold(self._asked(x, alpha, sigma, rows)).numpy())

    def check(self) -> None:
        """Compare four steps of the pipeline's own kind of scheduler with the same through this.

        Raises:
          UserError: where they differ: what the pipeline does depends on more than sample and
            level, or the configuration of its scheduler says something else of the network.
        """
        if self.network.grid.ends_pure and self.network.prediction == "epsilon":
            raise UserError(
                "prediction_type = 'epsilon': the grid ends in pure noise, by "
                "rescale_betas_zero_snr, where a network of noise says nothing of the data"
            )
        pattern = next(iter(self._runs))
        scheduler = self.network.reference(_STEPS)
        named = {"num_inference_steps": _STEPS} if "num_inference_steps" in self._takes else {}
        samples = steps_of(
            self._pipe, scheduler, self.network, _STEPS, {**self._named(pattern), **named}
        )
        rows = np.array(pattern)
        first, wanted = (x[: len(rows)].double().cpu().numpy() for x in (samples[0], samples[-1]))
        found, levels = first, self.network.levels(scheduler.timesteps)
        for (alpha, sigma), (alpha_next, sigma_next) in itertools.pairwise(levels):
            d = self._asked(found.astype(np.float32), alpha, sigma, rows).numpy()
            found = alpha_next * d + sigma_next * (found - alpha * d) / sigma
        apart, size = np.abs(found - wanted).max(), np.abs(wanted).max()
        if not apart <= max(_AGREES, 16 * self.box.precision) * size:
            raise UserError(
                f"pipe: four steps of {type(scheduler).__name__} in {type(self._pipe).__name__} "
                f"are not what its answers say (off by {apart:.2g} of {size:.2g}): it does more "
                "than to call its network at a level; learn through specjax.interop.torch.denoiser"
            )

    def _conditions(self, prompts: Any, labels: Any) -> tuple[str | None, list[Any] | None]:
        """Return the keyword of the pipeline for prompts or labels, and their list."""
        given = {"prompts": prompts, "labels": labels}
        for name, values in given.items():
            keyword = next((k for k in _KEYWORDS[name] if k in self._takes), None)
            if values is None:
                continue
            if keyword is None or (prompts is not None and labels is not None):
                raise UserError(f"{name}: {type(self._pipe).__name__} takes none, or not both")
            values = [values] if isinstance(values, str | int) else list(values)
            if not values:
                raise UserError(f"{name} = []: give at least one")
            return keyword, values
        for name, keywords in _KEYWORDS.items():
            for keyword in keywords:
                otherwise = "batch_size" in self._takes or f"{keyword}_embeds" in self._arguments
                if keyword in self._takes and not otherwise:
                    raise UserError(f"{name} = None: {type(self._pipe).__name__} needs some")
        return None, None

    @property
    def _is_batched(self) -> bool:
        """Tell whether a call of the pipeline makes as many samples as are asked for."""
        return self._keyword is not None or "batch_size" in self._takes

    def _named(self, pattern: tuple[int, ...]) -> dict[str, Any]:
        """Return the keyword arguments of one call, for samples of these prompts."""
        named = dict(self._arguments)
        count = len(pattern)
        for name, value in named.items():
            if isinstance(value, str) and name.startswith(("prompt_", "negative_prompt")):
                named[name] = [value] * count
        if self._keyword is not None:
            named[self._keyword] = [(self._values or [])[i] for i in pattern]
        elif self._is_batched:
            named["batch_size"] = count
        for name, value in {
            "num_inference_steps": QUESTIONS, "generator": torch.Generator().manual_seed(0),
        }.items():  # fmt: skip
            if name in self._takes:
                named.setdefault(name, value)
        return named

    def _run(self, pattern: tuple[int, ...]) -> Run:
        """Return a pipeline that waits, for samples of these prompts."""
        run = self._runs.pop(pattern, None)
        if run is not None and not run.left:
            run.close()
            run = None
        while run is None and len(self._runs) >= _RUNS:
            self._runs.popitem(last=False)[1].close()
        if run is None:
            run = Run(self._pipe, AskingScheduler.of(self.config), self._named(pattern))
        self._runs[pattern] = run
        return run

    def _asked(self, x: np.ndarray, alpha: float, sigma: float, rows: Any) -> torch.Tensor:
        """Return the pipeline's estimates, in float32 and on the host."""
        if not self._is_batched and len(x) > 1:
            return torch.cat([self._asked(one[None], alpha, sigma, None) for one in x])
        pattern = (0,) * len(x) if rows is None else tuple(np.asarray(rows).tolist())
        scale = self.network.scale(alpha, sigma)
        seen = torch.from_numpy(np.asarray(x / scale, np.float32))
        found = self._run(pattern)(seen, alpha / scale, sigma / scale)
        return found[: len(x)].float().cpu()

    def _count(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensors = [a for a in (*args, *kwargs.values()) if torch.is_tensor(a) and a.ndim]
        self.network_calls += len(tensors[0]) if tensors else 1


def _default(parameters: Any, name: str) -> Any:
    return parameters[name].default if name in parameters else None


def _two(pipe: Any, prompts: Any, options: dict[str, Any]) -> list[PipelineDenoiser]:
    """Return the pipeline's answers with the prompts and without, neither guided."""
    alone = {k: x for k, x in options.items() if not k.startswith("negative_prompt")}
    negative = options.get("negative_prompt") or ""
    if prompts is None or not isinstance(negative, str):
        raise UserError(
            "groups: weights of guidance are learned for prompts, and one negative_prompt for all"
        )
    return [
        PipelineDenoiser(pipe, prompts=one, guidance_scale=1.0, **alone)
        for one in (prompts, [negative])
    ]


def _check_guided(denoiser: PipelineDenoiser, denoise: Any) -> None:
    """Compare the pipeline's guidance with that by its two answers."""
    rows = np.arange(denoiser.rows)
    x = np.random.default_rng(0).normal(size=(len(rows), *denoiser.shape)).astype(np.float32)
    wanted, found = (one(x, 0.6, 0.8, rows) for one in (denoiser.box, denoise))
    if not np.abs(found - wanted).max() <= max(1e-3, 32 * denoiser.box.precision) * np.ptp(wanted):
        raise UserError(
            "groups: the pipeline's guidance is more than d_u + guidance_scale (d_c - d_u); learn "
            "without weights of guidance"
        )


def learn(
    pipe: Any,
    steps: int,
    *,
    prompts: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
    guidance_scale: float | None = None,
    batch: int = 8,
    clip_sample: bool = False,
    thresholding: bool | None = None,
    **options: Any,
) -> LearnedResult:
    """Learn a plan of S calls for a pipeline, through the pipeline itself.

    Prompts or labels are shared out among the noises. It is done at the pipeline's dtype, on its
    device, in its latents; run the plan by :class:`PlanScheduler`.

    Args:
      pipe: a pipeline of one loop: unconditional, of classes, Stable Diffusion's kind, DiT's, those
        of flow matching.
      steps: S.
      prompts: what it will be asked for, in kind.
      labels: classes in their place.
      guidance_scale: that it will be run with; by default the pipeline's own.
      batch: the most samples in one call.
      clip_sample: whether estimates of x0 are clipped, see :class:`PipelineDenoiser`.
      thresholding: likewise.
      options: those of :func:`specjax.learn` (n, max_calls, progress, cache, seed, ...), and
        arguments of the pipeline's call (height, negative_prompt, ...). With "guidance" among
        ``groups``, or ``network_calls``, each call has a weight of guidance of its own, see
        :func:`guidance_callback`.

    Returns:
      A :class:`specjax.LearnedResult`; its source has "pipeline", what it was learned for.

    Raises:
      UserError: as of :class:`PipelineDenoiser` and :func:`specjax.learn`, and for a pipeline whose
        answers do not make its own samples, see :meth:`PipelineDenoiser.check`.
    """
    of_learn = {name: options.pop(name) for name in _OF_LEARN & options.keys()}
    options |= {"batch": batch, "clip_sample": clip_sample, "thresholding": thresholding}
    with contextlib.ExitStack() as stack:
        denoiser = stack.enter_context(
            PipelineDenoiser(
                pipe, prompts=prompts, labels=labels, guidance_scale=guidance_scale, **options
            )
        )
        denoiser.check()
        rows = np.arange(denoiser.rows) if denoiser.rows else None
        parts: list[PipelineDenoiser] = [denoiser]
        denoise: Any = denoiser.box
        if "guidance" in of_learn.get("groups", ()) or of_learn.get("network_calls") is not None:
            parts += [stack.enter_context(part) for part in _two(pipe, prompts, options)]
            weight = denoiser.about["guidance_scale"]
            denoise = guided(parts[1].box, parts[2].box, weight)
            _check_guided(denoiser, denoise)
        prior = Network(denoise, denoiser.shape, conditions=rows)
        network = denoiser.network
        known: dict[str, Any] = {"grid": denoiser.config, "process": network.process}
        if network.grid.ends_pure:
            known["alpha_bar_range"] = (0.0, 1.0)
        result = learn_plan(prior, steps, **{**known, **of_learn})
        calls = sum(part.network_calls for part in parts[-2:])
        told = {"pipeline": denoiser.about, "network_calls": calls}
    return replace(result, source={**result.source, **told})
