"""The objective of a plan: noise through a denoiser, and how far what comes out is from the target.

One objective is minimised, on training noise; another, of held-out noise and a held-out prior,
decides which plan is kept, and a third judges it (:mod:`specjax.learning.objectives`).
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array, value
from specjax.gaussian.losses import Loss
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import loss_of_plan
from specjax.learning.energy_distance import biased_energy_distance
from specjax.learning.terms import TAUGHT, Distances, Weights, weighted_logarithms, weighted_sum
from specjax.noise.noise_spectrum import NoiseSpectrum, colored
from specjax.sampling.denoisers import Denoiser
from specjax.sampling.guidance import weights_of
from specjax.sampling.programs import program_of
from specjax.sampling.sample import call_row, first_registers, scan_rows
from specjax.sampling.step import Row, SamplerPlan


@value(
    data=[
        "denoise",
        "noise",
        "keys",
        "target",
        "target_error",
        "data",
        "data_spread",
        "modes",
        "forward",
    ],
    static=["weights", "loss", "batch", "call_by_call"],
)
@dataclass(frozen=True, eq=False)
class PlanObjective:
    """A function of plans to minimise; a pytree, with the denoiser in it.

    Attributes:
      denoise: ``(x, alpha, sigma) -> x0``; None where the transfer is all that counts.
      noise: [n, *shape], noise to start from, of the forward process. keys: [n], of the noise of
        the steps.
      target: [n, *shape], the fine solution from the same noise, or None. target_error: [], its
        own squared error.
      data: [m, *shape], what samples should be distributed as, or None. data_spread: [], the mean
        distance of its pairs, by :func:`mean_pairwise_distance`.
      modes: for the closed-form transfer, or None.
      weights: (term, weight) of the logarithms. loss: of the transfer.
      batch: samples in one call, or None for all.
      call_by_call: whether each call is a program of its own: XLA's convolutions do not use threads
        inside a scan on a CPU, and one program then serves any number of steps.
      forward: the noise of the forward process, None where it is white.
    """

    denoise: Denoiser | Any
    noise: Array
    keys: Array
    target: Array | None
    target_error: Array | float
    data: Array | None
    data_spread: Array | None
    modes: Modes | None
    weights: Weights
    loss: Loss
    batch: int | None
    call_by_call: bool
    forward: NoiseSpectrum | None = None

    def value(self, plan: SamplerPlan) -> jax.Array:
        """Compute the weighted sum [] of the logarithms of the terms."""
        return weighted_logarithms(self.weights, self.terms(plan))

    def terms(self, plan: SamplerPlan) -> dict[str, jax.Array]:
        """Compute the terms [] of a plan by name, positive, and what is reported beside them."""
        terms: dict[str, Any] = {}
        names = dict(self.weights)
        if self.modes is not None and "transfer" in names:
            terms["transfer"] = jnp.asarray(loss_of_plan(plan, self.modes, self.loss))
        if {*TAUGHT, "energy"} & set(names):
            samples = self.samples(plan)
            if self.target is not None and set(TAUGHT) & set(names):
                terms |= Distances.between(samples, self.target, self.target_error).report
            if self.data is not None and self.data_spread is not None and "energy" in names:
                terms["energy"] = biased_energy_distance(samples, self.data, self.data_spread)
        return terms

    def report(self, plan: SamplerPlan) -> dict[str, float]:
        """Compute :meth:`terms` of a plan of known numbers, compiled."""
        return {name: float(x) for name, x in terms_of(self, plan).items()}

    def worth(self, plan: SamplerPlan) -> float:
        """Compute the objective of a plan of known numbers."""
        return weighted_sum(self.weights, self.report(plan))

    def samples(self, plan: SamplerPlan) -> jax.Array:
        """Make samples [n, *shape] by a plan, differentiable in it."""
        if self.batch in (None, len(self.noise)):
            return self._samples_of(plan, self.noise, self.keys)
        if self.call_by_call:
            parts = zip(*self._parts(), strict=True)
            made = jnp.stack([self._samples_of(plan, *part) for part in parts])
        else:
            made = jax.lax.map(lambda part: self._samples_of(plan, *part), self._parts())
        return jnp.swapaxes(made, 0, 1).reshape(self.noise.shape)

    def _parts(self) -> tuple[jax.Array, jax.Array]:
        """Cut into noise [parts, batch, *shape] and keys [parts, batch].

        Part i has every parts-th sample from the i-th on, so that each has its share of each
        device.
        """
        size = self.batch or len(self.noise)
        noise = jnp.reshape(self.noise, (size, -1, *self.noise.shape[1:]))
        return jnp.swapaxes(noise, 0, 1), jnp.swapaxes(jnp.reshape(self.keys, (size, -1)), 0, 1)

    def _samples_of(self, plan: SamplerPlan, noise: Array, keys: Array) -> jax.Array:
        if self.call_by_call:
            return collections.deque(self._by_calls(plan, noise, keys), maxlen=1)[0][0]
        return self._scanned(plan, noise, keys)

    def _by_calls(self, plan: SamplerPlan, noise: Array, keys: Array) -> Iterator[jax.Array]:
        """Yield the registers [H, n, *shape] after each call: all that is kept for the way back."""
        known = isinstance(plan.keep, np.ndarray)
        rows = (_row_by_row if known else _compiled_row_by_row)(plan, noise.dtype)
        program, arrays = program_of(self.denoise)
        r = _first(plan.start, noise, plan.registers)
        weights = weights_of(plan, self.denoise)
        for k, row in enumerate(rows):
            z = _noise_of_row(keys, noise, self.forward, k) if plan.stochastic else None
            weight = None if weights is None else weights[k]
            r = program.compiled(_one_call)(arrays, r, row, z, weight)
            yield r

    def _scanned(self, plan: SamplerPlan, noise: Array, keys: Array) -> jax.Array:
        """Make all calls as one scan; each is computed again going backwards."""
        of_row = functools.partial(_noise_of_row, keys, noise, self.forward)
        first = _first(plan.start, noise, plan.registers)
        rows = _rows(plan, noise.dtype)
        weights = weights_of(plan, self.denoise)
        noise_of = of_row if plan.stochastic else None
        return scan_rows(self.denoise, first, rows, noise_of, weights, _one_call)[0]


def compiled(
    function: Callable[..., Any], objective: PlanObjective, *args: Any, static: Any = ()
) -> Any:
    """Evaluate ``function(objective, *args)``, compiled as a whole unless it goes call by call.

    What is compiled belongs to the denoiser and dies with it (:mod:`specjax.sampling.programs`).

    Args:
      function: one of a module. static: names of its arguments that shape the program.
    """
    if objective.call_by_call:
        return function(objective, *args)
    program, arrays = program_of(objective)
    return program.compiled(function, static_argnames=static)(arrays, *args)


def terms_of(objective: PlanObjective, plan: SamplerPlan) -> dict[str, jax.Array]:
    """Compute the terms [] of a plan, compiled."""
    found: dict[str, jax.Array] = compiled(PlanObjective.terms, objective, plan)
    return found


def _rows(plan: SamplerPlan, dtype: Any) -> Row:
    return Row(*(x.astype(dtype) for x in plan.rows))


def _row_by_row(plan: SamplerPlan, dtype: Any) -> list[Row]:
    """Cut a plan into its K rows. Known numbers stay NumPy's, of which slices are free."""
    rows = _rows(plan, dtype)
    return [Row(*(x[k] for x in rows)) for k in range(plan.calls)]


_compiled_row_by_row = jax.jit(_row_by_row, static_argnames="dtype")


@functools.partial(jax.jit, static_argnames="registers")
def _first(start: Array, noise: Array, registers: int) -> jax.Array:
    return first_registers(jnp.asarray(start, noise.dtype) * noise, registers)


@jax.jit
def _noise_of_row(keys: Array, like: Array, forward: NoiseSpectrum | None, k: Any) -> jax.Array:
    """Draw the noise [n, *shape] of row k."""

    def one(key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, k), like.shape[1:], like.dtype)

    return colored(forward, jax.vmap(one)(jnp.asarray(keys)))


def _one_call(
    denoise: Denoiser, r: jax.Array, row: Row, z: jax.Array | None, weight: Any
) -> jax.Array:
    return jax.checkpoint(lambda *of_row: call_row(denoise, *of_row))(r, row, z, weight)
