"""What plans are judged by: a prior, noise, and what should come of it."""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, value
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import loss_of_plan
from specjax.learning.energy_distance import biased_energy_distance
from specjax.noise.noise_spectrum import NoiseSpectrum, colored
from specjax.sampling.programs import Shell
from specjax.sampling.sample import call_row, first_registers, scan_rows
from specjax.sampling.step import Row, SamplerPlan

TERMS = {
    "transfer": "the loss of the closed-form transfer on the prior's spectrum",
    "teacher": "mean squared distance to a fine solution from the same noise",
    "energy": "energy distance to data (to fine solutions of other noise, where none are given)",
}


@value(
    data=["arrays", "noise", "keys", "target", "data", "data_spread", "modes", "forward"],
    static=["shell", "weights", "loss", "batch", "by_calls"],
)
@dataclass(frozen=True, eq=False)
class Judge:
    """A prior with noise and what its plans should make of it; a pytree.

    Attributes:
      arrays, shell: of the prior, see :func:`specjax.sampling.programs.split`.
      noise: [n, *shape], noise to start from, of the forward process. keys: [n], of the noise of
        the steps.
      target: [n, *shape], the fine solution from the same noise, or None.
      data: [m, *shape], what outputs should be distributed as, or None. data_spread: [], the mean
        distance of its pairs, by :func:`mean_pairwise_distance`.
      modes: for the closed-form transfer, or None.
      weights: (term, weight) of the logarithms. loss: a name in LOSSES, of the transfer.
      batch: samples in one call, or None for all.
      by_calls: whether each call is a program of its own: XLA's convolutions do not use threads
        inside a scan on a CPU, and one program then serves any number of steps.
      forward: the noise of the forward process, None where it is white.
    """

    arrays: list[Array]
    noise: Array
    keys: Array
    target: Array | None
    data: Array | None
    data_spread: Array | None
    modes: Modes | None
    shell: Shell
    weights: tuple[tuple[str, float], ...]
    loss: str
    batch: int | None
    by_calls: bool
    forward: NoiseSpectrum | None = None

    def outputs(self, plan: SamplerPlan) -> jax.Array:
        """Samples [n, *shape] by a plan, differentiable in it."""
        if self.batch in (None, len(self.noise)):
            return self._outputs(plan, self.noise, self.keys)
        if self.by_calls:
            parts = zip(*self._parts(), strict=True)
            made = jnp.stack([self._outputs(plan, *part) for part in parts])
        else:
            made = jax.lax.map(lambda part: self._outputs(plan, *part), self._parts())
        return jnp.swapaxes(made, 0, 1).reshape(self.noise.shape)

    def called(self, plan: SamplerPlan) -> Iterator[Iterator[jax.Array]]:
        """For each part of the noise the registers [H, batch, *shape] after each call of a plan."""
        for part in zip(*self._parts(), strict=True):
            yield self._by_calls(plan, *part)

    def _parts(self) -> tuple[jax.Array, jax.Array]:
        """Noise [parts, batch, *shape] and its keys [parts, batch].

        Part i has every parts-th from the i-th on, so that each has its share of each device.
        """
        size = self.batch or len(self.noise)
        noise = jnp.reshape(self.noise, (size, -1, *self.noise.shape[1:]))
        return jnp.swapaxes(noise, 0, 1), jnp.swapaxes(jnp.reshape(self.keys, (size, -1)), 0, 1)

    def _outputs(self, plan: SamplerPlan, noise: Array, keys: Array) -> jax.Array:
        if self.by_calls:
            return _last(self._by_calls(plan, noise, keys))[0]
        return self._scanned(plan, noise, keys)

    def _by_calls(self, plan: SamplerPlan, noise: Array, keys: Array) -> Iterator[jax.Array]:
        """The registers [H, n, *shape] after each call: all that is kept for the way back."""
        known = isinstance(plan.keep, np.ndarray)
        rows = (_row_by_row if known else _compiled_row_by_row)(plan, noise.dtype)
        r = _begin(plan.start, noise, plan.registers)
        for k, row in enumerate(rows):
            z = _noise_of(keys, noise, self.forward, k) if plan.stochastic else None
            r = _one_call(self.shell, self.arrays, r, row, z)
            yield r

    def _scanned(self, plan: SamplerPlan, noise: Array, keys: Array) -> jax.Array:
        """All calls as one scan; what happens inside a call is computed again going backwards."""
        denoise = jax.checkpoint(lambda x, alpha, sigma: self.shell(self.arrays)(x, alpha, sigma))
        pushed = functools.partial(_noise_of, keys, noise, self.forward)
        begun = _begin(plan.start, noise, plan.registers)
        rows = _rows(plan, noise.dtype)
        return scan_rows(denoise, begun, rows, pushed if plan.stochastic else None)[0]

    def terms(self, plan: SamplerPlan) -> dict[str, jax.Array]:
        """The terms [] of a plan by name, positive."""
        found = {}
        names = dict(self.weights)
        if "transfer" in names:
            assert self.modes is not None
            found["transfer"] = jnp.asarray(loss_of_plan(plan, self.modes, LOSSES[self.loss]))
        if {"teacher", "energy"} & set(names):
            samples = self.outputs(plan)
            if self.target is not None and "teacher" in names:
                found["teacher"] = _squared_distance(samples, self.target)
            if self.data is not None and "energy" in names:
                assert self.data_spread is not None
                found["energy"] = biased_energy_distance(samples, self.data, self.data_spread)
        return found

    def value(self, plan: SamplerPlan) -> jax.Array:
        """The objective []: the weighted sum of the logarithms of the terms."""
        return self.total(self.terms(plan))

    def total(self, terms: Mapping[str, Array]) -> jax.Array:
        """The objective [] of the terms."""
        return _total(self.weights, dict(terms))


@functools.partial(jax.jit, static_argnames="weights")
def _total(weights: tuple[tuple[str, float], ...], terms: dict[str, Array]) -> jax.Array:
    logs = (weight * jnp.log(_positive(terms[name])) for name, weight in weights)
    return jnp.stack(list(logs)).sum()


def _positive(x: Array) -> jax.Array:
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny)


def terms_of(judge: Judge, plan: SamplerPlan) -> dict[str, jax.Array]:
    """The terms [] of a plan, compiled."""
    return judge.terms(plan) if judge.by_calls else _compiled_terms(judge, plan)


_compiled_terms = jax.jit(lambda judge, plan: judge.terms(plan))


def check_objective(objective: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """The weights of terms that exist."""
    if not isinstance(objective, Mapping):
        raise ValueError(f"objective = {objective!r}: give weights by name, as in {{'teacher': 1}}")
    for name, weight in objective.items():
        checks.one_of("objective", name, TERMS)
        checks.positive(f"objective[{name!r}]", weight)
    if not objective:
        raise ValueError(f"objective = {{}}: give a weight for one of {', '.join(TERMS)}")
    return tuple((name, float(objective[name])) for name in TERMS if name in objective)


def _rows(plan: SamplerPlan, dtype: Any) -> Row:
    return Row(*(x.astype(dtype) for x in plan.rows))


def _row_by_row(plan: SamplerPlan, dtype: Any) -> list[Row]:
    """Its K rows. Known numbers stay NumPy's, of which slices are free."""
    rows = _rows(plan, dtype)
    return [Row(*(x[k] for x in rows)) for k in range(plan.calls)]


_compiled_row_by_row = jax.jit(_row_by_row, static_argnames="dtype")


@functools.partial(jax.jit, static_argnames="registers")
def _begin(start: Array, noise: Array, registers: int) -> jax.Array:
    return first_registers(jnp.asarray(start, noise.dtype) * noise, registers)


@jax.jit
def _noise_of(keys: Array, like: Array, forward: NoiseSpectrum | None, k: Any) -> jax.Array:
    """The noise [n, *shape] of row k."""

    def one(key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, k), like.shape[1:], like.dtype)

    return colored(forward, jax.vmap(one)(jnp.asarray(keys)))


def _last(many: Iterator[jax.Array]) -> jax.Array:
    return collections.deque(many, maxlen=1)[0]


@functools.partial(jax.jit, static_argnames="shell")
def _one_call(
    shell: Shell, arrays: list[Array], r: jax.Array, row: Row, z: jax.Array | None
) -> jax.Array:
    return jax.checkpoint(lambda r, row, z: call_row(shell(arrays), r, row, z))(r, row, z)


@jax.jit
def _squared_distance(a: jax.Array, b: Array) -> jax.Array:
    """The mean over samples of the squared distance, summed over a sample."""
    return ((a - b) ** 2).sum() / len(a)


def keys_of(seed: int, n: int) -> jax.Array:
    """Typed keys [n]."""
    return jax.random.split(jax.random.key(np.uint32(seed)), n)
