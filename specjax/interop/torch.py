"""Modules of PyTorch as denoisers: any plan, and :func:`specjax.learn`, through a torch network.

:func:`denoiser` makes a :class:`specjax.BlackBox` of a module, :func:`differentiable` a function
that JAX can trace and differentiate. Only the network's call crosses to torch: the formulas of its
prediction are those of :mod:`specjax.sampling.denoisers`. It takes ``pip install torch``.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.interop.on_grid import read_config
from specjax.sampling.black_box import BlackBox
from specjax.sampling.denoisers import Denoiser, from_edm, from_eps, from_flow, from_v, from_x0
from specjax.schedules.configurations import PREDICTIONS as OF_GRIDS
from specjax.schedules.configurations import WITH_VARIANCE, is_flow
from specjax.schedules.grids import FlowGrid, GridLike, TrainingGrid, check_grid

PREDICTIONS: dict[str, Callable[..., Denoiser]] = {
    "epsilon": from_eps,
    "v_prediction": from_v,
    "sample": from_x0,
    "flow": from_flow,
    "edm": from_edm,
}
"""What a network may predict, and the adapter of its formula."""

_BEYOND = 1.25  # of a grid's largest sigma: finite differences in half precision go so far


def denoiser(
    module: torch.nn.Module,
    prediction: str | None = None,
    *,
    shape: tuple[int, ...],
    batch: int = 32,
    grid: GridLike | Any = None,
    level: Callable[[Any], Any] | None = None,
    sigma_data: float = 0.5,
    kwargs: Mapping[str, Any] | Callable[[int], Mapping[str, Any]] | None = None,
    labels: str = "class_labels",
    learned_variance: bool | None = None,
) -> BlackBox:
    """Make a denoiser of a module, called under ``inference_mode`` on its own device.

    The module gets x [m, *shape] and its level [m], by the keyword ``timestep`` if its ``forward``
    has one, in its dtype (half precision too), and answers with a tensor like x, an object with
    one as ``sample``, or a tuple that begins with one. Parts of it that are in training mode are
    in evaluation mode during the call.

    Args:
      module: the network; its device and dtype are those of its first parameter.
      prediction: "epsilon", "v_prediction" or "sample" of a VP process, "flow" (eps - x0) or "edm"
        (F); by default what the configuration given as ``grid`` says, or else "epsilon".
      shape: of one sample, channels first for most modules.
      batch: the most samples in one call.
      grid: the training grid of a network that is called at timesteps, for the first three
        predictions: its name, a scheduler of diffusers or its configuration, the path of a
        ``scheduler_config.json``, or a :class:`specjax.TrainingGrid`.
        Configurations of flow matching say that it is called at T t, and predicts "flow".
      level: in place of a grid, what the network is conditioned on as a function of
        ``s = sigma / alpha``; whole numbers are given to the module as such. By default
        ``t = s / (1 + s)`` for "flow" (that of Flux; SD3's transformer takes 1,000 times that) and
        ``log(s) / 4`` for "edm".
      sigma_data: standard deviation of the data, of "edm".
      kwargs: more keyword arguments of the module, or a function ``m -> keyword arguments``, for
        those with a row for each sample of a batch.
      labels: the keyword for labels. The ``conditions`` of :func:`specjax.generate` are a dict of
        arrays [n, ...] by keyword.
      learned_variance: whether as many channels behind the prediction are variances, which are
        cut off; by default what the configuration says.

    Raises:
      UserError: for what is no module, an unknown prediction, a network without a level, options
        that contradict the configuration. In calls, for answers of another shape, and levels beyond
        the noisy end of the grid.

    Example:
      >>> class Net(torch.nn.Module):
      ...     def forward(self, x, timestep):
      ...         return x * (timestep / 1000)[:, None]
      >>> box = denoiser(Net(), "epsilon", shape=(2,), grid="ddpm")
      >>> box(np.ones((3, 2)), 0.6, 0.8).shape
      (3, 2)
    """
    network, adapt = _resolve(
        module, prediction, grid, level, sigma_data, kwargs, labels, learned_variance
    )
    rounding = max(torch.finfo(network.like.dtype).eps, float(np.finfo(np.float32).eps))
    return BlackBox(adapt(network), shape, batch, precision=rounding)


def differentiable(
    module: torch.nn.Module,
    prediction: str | None = None,
    *,
    grid: GridLike | Any = None,
    level: Callable[[Any], Any] | None = None,
    sigma_data: float = 0.5,
    kwargs: Mapping[str, Any] | Callable[[int], Mapping[str, Any]] | None = None,
    labels: str = "class_labels",
    learned_variance: bool | None = None,
) -> Denoiser:
    """Make a JAX function ``(x, alpha, sigma) -> x0`` of a module, with gradients of torch.

    The network is a ``jax.pure_callback``, and its derivatives in x and in the level are those of
    torch's autograd, in reverse mode and once; labels and conditions have none. Each call copies
    between the two libraries, so :func:`denoiser` is the better one wherever a black box is taken.

    Args:
      module: the network, as are all other arguments: see :func:`denoiser`.

    Raises:
      UserError: as :func:`denoiser`, for the arguments. What a call raises is JAX's own error, with
        torch's in its text.
    """
    network, adapt = _resolve(
        module, prediction, grid, level, sigma_data, kwargs, labels, learned_variance
    )

    @jax.custom_vjp
    def call(x: Any, level: Any, *more: Any) -> Any:
        return jax.pure_callback(
            network, jax.ShapeDtypeStruct(x.shape, x.dtype), x, level, *more,
            vmap_method="sequential",
        )  # fmt: skip

    def forward(x: Any, level: Any, *more: Any) -> Any:
        return call(x, level, *more), (x, level, more)

    def backward(saved: Any, cotangent: Any) -> Any:
        x, level, more = saved
        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (x, level)]
        found = jax.pure_callback(
            network.gradient, shapes, cotangent, x, level, *more, vmap_method="sequential"
        )
        return (*found, *(None for _ in more))

    call.defvjp(forward, backward)
    return adapt(lambda x, level, *more: call(*map(jax.numpy.asarray, (x, level)), *more))


@dataclass(frozen=True, eq=False)
class _Network:
    """A module as a function ``(x, level, *conditions) -> prediction`` of NumPy or JAX arrays."""

    module: torch.nn.Module
    kwargs: Mapping[str, Any] | Callable[[int], Mapping[str, Any]]
    labels: str
    learned_variance: bool

    def __call__(self, x: Any, level: Any, *more: Any) -> np.ndarray:
        """Return the prediction in the dtype of x."""
        with torch.inference_mode():
            return _array(self._call(*self._inputs(x, level), more), x)

    def gradient(self, cotangent: Any, x: Any, level: Any, *more: Any) -> tuple[np.ndarray, ...]:
        """Return the derivatives of ``sum(cotangent * prediction)`` in x and in the level."""
        inputs = seen, at = self._inputs(x, level)
        with torch.enable_grad():  # a leaf must not be written into, its clone may
            answer = self._call(seen.requires_grad_().clone(), at.requires_grad_(), more)
        found = torch.autograd.grad(
            answer, inputs, self._tensor(cotangent), allow_unused=True, materialize_grads=True
        )
        return tuple(_array(a, like) for a, like in zip(found, (x, level), strict=True))

    def _call(self, x: torch.Tensor, level: torch.Tensor, more: tuple[Any, ...]) -> torch.Tensor:
        """Call the module, and return the prediction alone."""
        options = self.kwargs(len(x)) if callable(self.kwargs) else self.kwargs
        named = dict(options)
        for told in more:
            told = told if isinstance(told, Mapping) else {self.labels: told}
            named |= {name: self._tensor(a) for name, a in told.items()}
        levels = level.expand(len(x))
        with _evaluating(self.module):
            if "timestep" in inspect.signature(self.module.forward).parameters:
                answer = self.module(x, timestep=levels, **named)
            else:
                answer = self.module(x, levels, **named)
        return self._prediction(answer, x)

    def _prediction(self, answer: Any, x: torch.Tensor) -> torch.Tensor:
        answer = getattr(answer, "sample", answer) if not torch.is_tensor(answer) else answer
        answer = answer[0] if isinstance(answer, tuple | list) and answer else answer
        if not torch.is_tensor(answer):
            raise UserError(
                f"the module returned {type(answer).__name__}: give one that returns a tensor, an "
                "object with one as 'sample', or a tuple that begins with one"
            )
        doubled = x.ndim > 1 and answer.shape == (len(x), 2 * x.shape[1], *x.shape[2:])
        if doubled and self.learned_variance:
            return answer[:, : x.shape[1]]
        if answer.shape != x.shape:
            hint = ": say learned_variance=True if the channels behind are variances"
            raise UserError(
                f"the module returned shape {tuple(answer.shape)} for x of shape "
                f"{tuple(x.shape)}{hint if doubled else ''}"
            )
        return answer

    def _inputs(self, x: Any, level: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x, and its level, on the module's device; no level is of half precision."""
        at = torch.tensor(np.asarray(level), device=self.like.device)
        single = torch.promote_types(self.like.dtype, torch.float32)
        return self._tensor(x), at.to(single) if at.is_floating_point() else at

    @property
    def like(self) -> torch.Tensor:
        """The first floating parameter or buffer, which has the module's device and dtype."""
        for tensors in (self.module.parameters(), self.module.buffers()):
            for one in tensors:
                if one.is_floating_point():
                    return one
        return torch.zeros(())

    def _tensor(self, x: Any) -> torch.Tensor:
        """Return an array as a tensor on the module's device, floats in its dtype.

        It is a copy, since a module may write into what it gets.
        """
        passed = isinstance(x, jax.Array) or x.flags.writeable  # NumPy's DLPack wants it so
        tensor, like = torch.from_dlpack(x if passed else x.copy()), self.like
        dtype = like.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(like.device, dtype, copy=True)


def _array(x: torch.Tensor, like: Any) -> np.ndarray:
    """Return a tensor as an array in the dtype of another."""
    single = torch.promote_types(x.dtype, torch.float32)  # NumPy has no bfloat16
    return np.from_dlpack(x.detach().to("cpu", single)).astype(like.dtype, copy=False)


def _timestep(grid: TrainingGrid, s: Any) -> Any:
    """Return the timestep of ``s = sigma / alpha``; known levels far beyond the grid are refused.

    The network would answer as if x were less noisy, and its estimate be off by a part of s. On the
    clean side nothing is lost.
    """
    most = float(grid.sigma_range[1])
    if isinstance(s, float) and s > _BEYOND * most:
        raise UserError(
            f"sigma / alpha = {s:.4g}: the network's grid {grid.name!r} ends at {most:.4g}; give a "
            "schedule within it, such as grid.clip(schedule)[0] or one learned with grid="
        )
    return grid.timestep_of_sigma(s)


@contextlib.contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Set what is in training mode to evaluation mode, and back."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _resolve(
    module: Any, prediction: str | None, grid: Any, level: Any, sigma_data: float, kwargs: Any,
    labels: str, learned_variance: bool | None,
) -> tuple[_Network, Callable[[Any], Denoiser]]:  # fmt: skip
    """Check the arguments of a denoiser; return the network and the adapter of its prediction."""
    if not isinstance(module, torch.nn.Module):
        raise UserError(f"module = {type(module).__name__}: give a torch.nn.Module")
    if isinstance(grid, str | Path) and str(grid).endswith(".json"):
        grid = read_config(str(grid), "grid")
    if not isinstance(grid, TrainingGrid):
        grid = getattr(grid, "config", grid)  # of a scheduler
    config = grid if isinstance(grid, Mapping) else {}
    said, times = config.get("prediction_type"), None
    if grid == "flow" or isinstance(grid, FlowGrid) or is_flow(config):
        said, times = "flow", check_grid(grid)
        if times.config.get("invert_sigmas"):
            raise UserError("grid: invert_sigmas turns time and answers around; give it without")
    prediction = checks.one_of("prediction", prediction or said or "epsilon", PREDICTIONS)
    if said is not None and said != prediction:
        raise UserError(
            f"prediction = {prediction!r}: the configuration says prediction_type = {said!r}"
        )
    if learned_variance is None:
        learned_variance = config.get("variance_type") in WITH_VARIANCE
    options: dict[str, Any] = {} if level is None else {"level": level}
    if prediction in OF_GRIDS:
        if (grid is None) == (level is None):
            raise UserError(
                f"grid and level: a network of {prediction!r} needs one of them, its training grid "
                "(such as 'ddpm', or pipe.scheduler.config) or a function of s = sigma / alpha"
            )
        if grid is not None:
            options["level"] = functools.partial(_timestep, check_grid(grid))
    elif times is not None and level is None:
        options["level"] = times.timestep_of_sigma
    elif grid is not None:
        raise UserError(
            f"grid: a network of {prediction!r} has none of betas; give level=, or for 'flow' a "
            "configuration of flow matching, not both"
        )
    if prediction == "edm":
        options["sigma_data"] = checks.positive("sigma_data", sigma_data)
    network = _Network(module, kwargs or {}, labels, learned_variance)
    return network, lambda one: PREDICTIONS[prediction](one, **options)
