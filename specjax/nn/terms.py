"""The frequency terms of a training: which, how much each counts, and what each takes of the time.

    loss = plain loss + min(1, step / warm-up) sum_k weight_k mean_i [ level(s_i) term_k(i) ]

with the terms of :data:`specjax.nn.losses.FREQUENCY_LOSSES` on the estimate of x0, and a
sample's noise level s counting as :data:`specjax.nn.losses.TERM_LEVELS` says.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from specjax.nn.config import LossConfig
from specjax.nn.losses import FREQUENCY_LOSSES, TERM_LEVELS
from specjax.nn.sharding import over_samples, place
from specjax.nn.wavelets import check_scales

_TIMES = 3


def check_terms(config: LossConfig, sides: tuple[int, ...]) -> None:
    """Refuse terms that samples of these sides are too small for.

    Raises:
      ValueError: naming the field, the sides and what they allow.
    """
    if "wavelet" in config.weights:
        check_scales(config.wavelet_scales, sides)


def term_values(
    config: LossConfig, estimate: jax.Array, clean: jax.Array, sigma: jax.Array, sigma_data: float
) -> dict[str, jax.Array]:
    """Each term's mean [] over a batch [n, *sides, channels] at levels s = sigma [n], by name.

    Without its weight, and without the warm-up.
    """
    level = TERM_LEVELS[config.term_levels].weight(sigma, sigma_data)
    found = {}
    for name in config.weights:
        row = FREQUENCY_LOSSES[name]
        options = {each: getattr(config, field) for each, field in row.options.items()}
        found[name] = jnp.mean(level * row.value(estimate, clean, **options))
    return found


def ramp(config: LossConfig, step: Any) -> Any:
    """What the weights are multiplied with at an update: from 0 to 1 over the warm-up."""
    return jnp.minimum(1.0, step / config.term_warmup) if config.term_warmup else 1.0


def weighted(config: LossConfig, values: Mapping[str, Any], at: Any) -> Any:
    """What the terms add to the plain loss, at a ramp ``at``."""
    return at * sum(weight * values[name] for name, weight in config.weights.items())


class TermCost:
    """What each term takes of an update's time: its value and gradient alone, a program of its own.

    Inside of an update some of it may run beside other work, so this is rather too much than too
    little. Every process must ask at once; samples lie over the mesh as they do in training.

    Args:
      shape: [*sides, channels] of a sample. batch: samples in one part of an update. parts: how
        many parts there are.
    """

    def __init__(
        self, config: LossConfig, shape: tuple[int, ...], *, batch: int, parts: int, mesh: Mesh
    ):
        random = np.random.default_rng(0)
        samples = random.normal(size=(2, batch, *shape)).astype(np.float32)
        arrays = (samples[0], samples[1], np.ones(batch, np.float32))
        self._arguments = place(arrays, (over_samples(mesh),) * 3)
        self._parts = parts
        self._programs = {name: _alone(config, name) for name in config.weights}
        for program in self._programs.values():  # compiled here
            jax.block_until_ready(program(*self._arguments))

    def seconds(self) -> dict[str, float]:
        """Of each term in one update: the median of a few calls."""
        return {name: self._parts * self._median(call) for name, call in self._programs.items()}

    def _median(self, program: Callable[..., Any]) -> float:
        seconds = []
        for _ in range(_TIMES):
            begun = time.perf_counter()
            jax.block_until_ready(program(*self._arguments))
            seconds.append(time.perf_counter() - begun)
        return statistics.median(seconds)


def _alone(config: LossConfig, name: str) -> Callable[..., Any]:
    """One term's value and gradient with respect to the estimate."""
    one = config.only(name)
    return jax.jit(jax.value_and_grad(partial(_value, one, name)))


def _value(config: LossConfig, name: str, estimate: Any, clean: Any, sigma: Any) -> jax.Array:
    return term_values(config, estimate, clean, sigma, 1.0)[name]


def shares(lines: Iterable[Mapping[str, Any]], config: LossConfig) -> dict[str, float | None]:
    """The part of the step time that each term took: the median over a run's lines of metrics.

    None where a training was too short to tell (one line of metrics, whose time has compilation
    in it).
    """
    lines = list(lines)
    found = {}
    for name in config.weights:
        told = [line[f"share_{name}"] for line in lines if f"share_{name}" in line]
        found[name] = statistics.median(told) if told else None
    return found
