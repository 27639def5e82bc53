"""Plans for programs on k-diffusion: a sampler with the arguments of its ``sample_*``."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from specjax._core import checks
from specjax._core.arrays import namespace
from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.interop.stepping import Rows, advance, as_lists, as_result, check_colored, is_noisy


def sample_plan(
    model: Callable[..., Any],
    x: Any,
    plan: LearnedResult | str | os.PathLike[str],
    extra_args: Mapping[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    noise_sampler: Callable[[Any, Any], Any] | None = None,
    *,
    colored: bool = False,
    process: str | None = None,
) -> Any:
    """Sample along a plan, as ``k_diffusion.sampling.sample_euler`` does along sigmas.

    A plan of any process runs, in the scale of VE, or in that of flow matching, where sigma is the
    time t and x is ``(1 - t) x0 + t eps``.

    Args:
      model: ``(x, sigma, **extra_args) -> denoised``, sigma a vector [n].
      x: [n, ...], noise times the plan's first sigma: a torch tensor, or an array of NumPy or JAX.
        The model sees its dtype; between calls half precision is kept in float32.
      plan: what :func:`specjax.learn` or :func:`specjax.fit` returned, or the path of its file.
      extra_args: further arguments of the model. Of a plan with weights of guidance ``cond_scale``
        is that of each call, as CFGDenoiser takes it.
      callback: called after every call of the model with its number "i", "x", "sigma",
        "sigma_hat" (the same) and "denoised".
      disable: the progress bar (None: where there is no terminal).
      noise_sampler: ``(sigma, sigma_next) -> unit noise`` like x, for plans with noise; by
        default torch's ``randn_like``.
      process: "ve" or "flow", the scale of the program's samples; by default that of flow matching
        for its plans (as in ComfyUI, for such models).
      colored: for a plan that was learned for noise with a spectrum: says that x, and what
        noise_sampler draws, are ``plan.noise.color(white noise)``.

    Returns:
      Samples like x, at the plan's last level.

    Raises:
      UserError: if the plan is none, needs noise that nothing draws, or noise with a spectrum.
    """
    result = as_result(plan)
    scale = process or ("flow" if result.process == "flow" else "ve")
    rows = as_lists(result.plan_in(checks.one_of("process", scale, ("ve", "flow"))))
    last = result.schedule.flow_time if scale == "flow" else result.schedule.sigmas
    sigmas = [*rows["sigma"], float(last[-1])]
    check_colored(result, colored, "x")
    if colored and rows["stochastic"] and noise_sampler is None:
        raise UserError(
            "noise_sampler = None: the plan draws noise with a spectrum in its steps; give "
            "noise_sampler(sigma, sigma_next) -> plan.noise.color(white)"
        )
    more, guided = dict(extra_args or {}), rows.get("guidance", {})
    if guided and more.pop("cond_scale", None) is None:
        guided = {}
        warnings.warn(
            "the plan was learned with a weight of guidance for each call: give cond_scale among "
            "extra_args, whose value they replace",
            stacklevel=2,
        )
    draw = noise_sampler or _noise_like(x, rows)
    wide = _in_single(x)
    r = [wide, *([0 * wide] * (len(rows["pull"][0]) - 1))]
    with _without_gradients(x):
        for k in _counted(len(sigmas) - 1, disable):
            level, seen = _vector(x, sigmas[k]), _in_dtype_of(x, r[0])
            d = model(seen, level, **more, **(guided and {"cond_scale": guided[k]}))
            if callback is not None:
                callback({
                    "x": seen, "i": k, "sigma": level[0], "sigma_hat": level[0], "denoised": d,
                })  # fmt: skip
            z = draw(level[0], _vector(x, sigmas[k + 1])[0]) if is_noisy(rows, k) else None
            r = advance(r, rows, k, d, z)
    return _in_dtype_of(x, r[0])


def _in_single(x: Any) -> Any:
    """Return x in float32 if it is of half precision."""
    if x.dtype.itemsize >= 4:
        return x
    return x.float() if hasattr(x, "float") else x.astype("float32")


def _in_dtype_of(x: Any, wide: Any) -> Any:
    if wide.dtype == x.dtype:
        return wide
    return wide.to(x.dtype) if hasattr(wide, "to") else wide.astype(x.dtype)


def _vector(x: Any, sigma: float) -> Any:
    """Return sigma [n] in the library, dtype and device of x."""
    if hasattr(x, "new_ones"):
        return x.new_ones([x.shape[0]]) * sigma
    return namespace(x).full(x.shape[0], sigma, x.dtype)


def _torch_of(x: Any) -> Any:
    """Return torch if x is one of its tensors; it is not imported for others."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(x, torch.Tensor) else None


def _without_gradients(x: Any) -> Any:
    torch = _torch_of(x)
    return contextlib.nullcontext() if torch is None else torch.no_grad()


def _noise_like(x: Any, rows: Rows) -> Callable[[Any, Any], Any]:
    torch = _torch_of(x)
    if torch is None and rows["stochastic"]:
        raise UserError(
            f"noise_sampler = None: the plan adds noise, and x is a {type(x).__name__}; give "
            "noise_sampler(sigma, sigma_next) -> unit noise of the shape of x"
        )
    return lambda sigma, sigma_next: torch.randn_like(x)


def _counted(calls: int, disable: bool | None) -> Iterable[int]:
    """Count the calls, with a bar of tqdm where it is installed."""
    try:
        bar = importlib.import_module("tqdm").trange
    except ModuleNotFoundError:
        return range(calls)
    return bar(calls, disable=disable)
