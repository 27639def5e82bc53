"""The peers: SciPy's SLSQP on losses written from the closed forms, not from specjax."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import clock
from scipy.optimize import minimize

import specjax as sx

OPTIONS = {"ftol": 1e-12, "maxiter": 5000}


def ddim_w2(lam: Any, mean: Any, logsnr: Any, xp: Any) -> Any:
    """Give the squared W2 of DDIM (VP): a product of cosines of angle differences.

    With s = exp(-logsnr / 2) and phi = arctan(s / sqrt(lambda)), in logs; the mean by
    ``D2 = sqrt(alpha_bar_clean) - sqrt(alpha_bar_noisy) D1``.
    """
    root = xp.sqrt(lam)
    s = xp.exp(-logsnr / 2)
    phi = xp.arctan(s[:, None] / root)
    log_scale = (xp.log1p(s[0] ** 2) - xp.log1p(s[-1] ** 2)) / 2
    turned = xp.log(xp.cos(phi[:-1] - phi[1:])).sum(0)
    ends = xp.log(xp.cos(phi[0])) - xp.log(xp.cos(phi[-1]))
    gain = xp.exp(log_scale + ends + turned)
    mean_gain = 1 / xp.sqrt(1 + s[-1] ** 2) - gain / xp.sqrt(1 + s[0] ** 2)
    return ((root - gain) ** 2 + (mean * (1 - mean_gain)) ** 2).sum()


def slsqp_exact(loss: Callable[[jax.Array], jax.Array], levels: np.ndarray) -> dict[str, Any]:
    """Run SLSQP in its best form: log increments, log loss, jitted float64 gradients of JAX.

    ``loss`` takes logsnr [S + 1]. ``levels`` [S + 1] is where it starts; the first is fixed, a
    last one at +inf stays there.
    """
    noisy, gaps = levels[0], np.diff(levels[np.isfinite(levels)])
    endless = np.isinf(levels[-1])
    ends_at = None if endless else levels[-1]

    def levels_of(theta: jax.Array) -> jax.Array:
        total = jnp.cumsum(jnp.exp(theta))
        if ends_at is not None:
            return noisy + jnp.concatenate([jnp.zeros(1), total / total[-1] * (ends_at - noisy)])
        return jnp.concatenate([noisy[None], noisy + total, jnp.array([jnp.inf])])

    objective = jax.jit(jax.value_and_grad(lambda theta: jnp.log(loss(levels_of(theta)))))
    start = np.log(gaps)
    compile_seconds, _ = clock(objective, start)
    return {**_minimised(objective, start), "compile_seconds": compile_seconds}


def _minimised(objective: Callable[..., Any], start: np.ndarray) -> dict[str, Any]:
    """Run SLSQP on the log of a loss, given with its gradient by JAX."""

    def value_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(theta)
        return float(value), np.asarray(gradient)

    seconds, found = clock(lambda: minimize(
        value_and_gradient, start, jac=True, method="SLSQP", options=OPTIONS
    ))  # fmt: skip
    return {
        "seconds": seconds,
        "loss": float(np.exp(found.fun)),
        "iterations": int(found.nit),
        "converged": bool(found.success),
    }


@partial(jax.jit, static_argnames=("sampler", "loss"))
def _log_loss_of_nodes(
    gaps: jax.Array, noisy: jax.Array, nodes: Any, sampler: str, loss: str
) -> tuple[jax.Array, jax.Array]:
    """Give the log loss of log gaps [S - 1] behind the noisy end, and its gradient.

    The last level is noise-free.
    """

    def value(gaps: jax.Array) -> jax.Array:
        levels = noisy + jnp.cumsum(jnp.exp(gaps))
        levels = jnp.concatenate([noisy[None], levels, jnp.array([jnp.inf])])
        schedule = jax.tree.unflatten(_SCHEDULE, [levels])
        return jnp.log(sx.loss(nodes, schedule, sampler=sampler, loss=loss))

    return jax.value_and_grad(value)(gaps)


_SCHEDULE = jax.tree.structure(sx.NoiseSchedule(np.array([0.0, 1.0])))


def slsqp_of_nodes(nodes: Any, sampler: str, loss: str, levels: np.ndarray) -> dict[str, Any]:
    """Run SLSQP with exact gradients on nodes; compiled once for all spectra and ends."""
    noisy, start = jnp.asarray(levels[0]), np.log(np.diff(levels[:-1]))
    nodes = jax.tree.map(jnp.asarray, nodes)

    def objective(gaps: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return _log_loss_of_nodes(gaps, noisy, nodes, sampler, loss)

    jax.block_until_ready(objective(start))
    return _minimised(objective, start)


def slsqp_paper(
    lam: np.ndarray, mean: np.ndarray, alpha_bar: np.ndarray, most_seconds: float
) -> dict[str, Any]:
    """Run the paper's way: SLSQP on alpha_bar, monotone constraints, finite differences."""
    begun = time.perf_counter()

    def full(inner: np.ndarray) -> np.ndarray:
        return np.concatenate([alpha_bar[:1], inner, alpha_bar[-1:]])

    def loss(inner: np.ndarray) -> float:
        levels = np.clip(full(inner), 1e-12, 1 - 1e-12)
        return float(ddim_w2(lam, mean, np.log(levels) - np.log1p(-levels), np))

    class TimeUpError(Exception):
        pass

    best = {"loss": loss(alpha_bar[1:-1])}

    def watch(inner: np.ndarray) -> None:
        best["loss"] = min(best["loss"], loss(inner))
        if time.perf_counter() - begun > most_seconds:
            raise TimeUpError

    monotone = {"type": "ineq", "fun": lambda inner: np.diff(full(inner))}
    try:
        found = minimize(
            loss, alpha_bar[1:-1], method="SLSQP", constraints=[monotone], callback=watch,
            bounds=[(alpha_bar[0], alpha_bar[-1])] * (len(alpha_bar) - 2),
            options=OPTIONS,
        )  # fmt: skip
        end = {"loss": float(found.fun), "converged": bool(found.success)}
    except TimeUpError:
        end = {**best, "converged": False}
    return {"seconds": time.perf_counter() - begun, **end}


def best_of(runs: list[dict[str, Any]], tolerance: float) -> dict[str, Any]:
    """Choose the quickest run among those whose loss is within a tolerance of the least."""
    least = min(run["loss"] for run in runs)
    near = [run for run in runs if run["loss"] <= least * (1 + tolerance)]
    return min(near, key=lambda run: run["seconds"])
