"""What plans are judged by: a prior, noise, and what should come of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax import _check
from specjax._values import Array, value
from specjax.losses import LOSSES, evaluate
from specjax.programs import Shell
from specjax.sample import call_row, first_registers, scan_rows
from specjax.spectrum import Spectrum
from specjax.steps import Row, SamplerPlan
from specjax.transfer import transfer

TERMS = {
    "transfer": "the loss of the closed-form transfer on the prior's spectrum",
    "teacher": "mean squared distance to a fine solution from the same noise",
    "energy": "energy distance to data (to fine solutions of other noise, where none are given)",
}


@value(
    data=["arrays", "noise", "keys", "target", "data", "spectrum"],
    static=["shell", "weights", "loss", "batch", "by_calls"],
)
@dataclass(frozen=True, eq=False)
class Judge:
    """A prior with noise and what its plans should make of it; a pytree.

    Attributes:
      arrays, shell: of the prior, see :func:`specjax.programs.split`.
      noise: [n, *shape], unit noise to start from. keys: [n], of the noise of the steps.
      target: [n, *shape], the fine solution from the same noise, or None.
      data: [m, *shape], what outputs should be distributed as, or None.
      spectrum: for the closed-form transfer, or None.
      weights: (term, weight) of the logarithms. loss: a name in LOSSES, of the transfer.
      batch: samples in one call, or None for all.
      by_calls: whether each call is a program of its own: XLA's convolutions do not use threads
        inside a scan on a CPU, and one program then serves any number of steps.
    """

    arrays: list[Array]
    noise: Array
    keys: Array
    target: Array | None
    data: Array | None
    spectrum: Spectrum | None
    shell: Shell
    weights: tuple[tuple[str, float], ...]
    loss: str
    batch: int | None
    by_calls: bool

    def outputs(self, plan: SamplerPlan) -> jax.Array:
        """Samples [n, *shape] by a plan, differentiable in it."""
        run = _by_calls if self.by_calls else _scanned
        size = self.batch or len(self.noise)
        parts = [slice(begun, begun + size) for begun in range(0, len(self.noise), size)]
        made = [run(self.shell, self.arrays, plan, self.noise[p], self.keys[p]) for p in parts]
        return made[0] if len(made) == 1 else jnp.concatenate(made)

    def terms(self, plan: SamplerPlan) -> dict[str, jax.Array]:
        """The terms [] of a plan by name, positive."""
        found = {}
        names = dict(self.weights)
        if "transfer" in names:
            assert self.spectrum is not None
            found["transfer"] = _transfer_loss(plan, self.spectrum, self.loss)
        if {"teacher", "energy"} & set(names):
            samples = self.outputs(plan)
            if self.target is not None and "teacher" in names:
                found["teacher"] = _squared_distance(samples, self.target)
            if self.data is not None and "energy" in names:
                found["energy"] = _energy(samples, self.data)
        return found

    def value(self, plan: SamplerPlan) -> jax.Array:
        """The objective []: the weighted sum of the logarithms of the terms."""
        return self.total(self.terms(plan))

    def total(self, terms: Mapping[str, Array]) -> jax.Array:
        """The objective [] of the terms."""
        return jnp.stack([weight * _log(terms[name]) for name, weight in self.weights]).sum()


def _log(x: Array) -> jax.Array:
    return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


def terms_of(judge: Judge, plan: SamplerPlan) -> dict[str, jax.Array]:
    """The terms [] of a plan, compiled."""
    return judge.terms(plan) if judge.by_calls else _compiled_terms(judge, plan)


_compiled_terms = jax.jit(lambda judge, plan: judge.terms(plan))


def check_objective(objective: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """The weights of terms that exist."""
    for name, weight in objective.items():
        _check.one_of("objective", name, TERMS)
        _check.positive(f"objective[{name!r}]", weight)
    if not objective:
        raise ValueError(f"objective = {{}}: give a weight for one of {', '.join(TERMS)}")
    return tuple((name, float(objective[name])) for name in TERMS if name in objective)


def _rows(plan: SamplerPlan, dtype: Any) -> Row:
    """Known numbers stay NumPy's, of which slices are free."""
    return Row(*(x.astype(dtype) for x in plan.rows))


def _begin(plan: SamplerPlan, noise: Array) -> jax.Array:
    first = jnp.asarray(plan.start, noise.dtype) * noise
    return first_registers(first, plan.registers)


def _noise_of(keys: Array, k: Any, like: Array) -> jax.Array:
    """Unit noise [n, *shape] of row k."""

    def one(key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.fold_in(key, k), like.shape[1:], like.dtype)

    return jax.vmap(one)(jnp.asarray(keys))


def _scanned(
    shell: Shell, arrays: list[Array], plan: SamplerPlan, noise: Array, keys: Array
) -> jax.Array:
    """All calls as one scan; what happens inside a call is computed again going backwards."""
    denoise = jax.checkpoint(lambda x, alpha, sigma: shell(arrays)(x, alpha, sigma))

    def pushed(k: Any) -> jax.Array:
        return _noise_of(keys, k, noise)

    rows = _rows(plan, noise.dtype)
    return scan_rows(denoise, _begin(plan, noise), rows, pushed if plan.stochastic else None)[0]


def _by_calls(
    shell: Shell, arrays: list[Array], plan: SamplerPlan, noise: Array, keys: Array
) -> jax.Array:
    """The same, call by call; between calls the registers alone are kept."""
    rows, r = _rows(plan, noise.dtype), _begin(plan, noise)
    for k in range(plan.calls):
        row = Row(*(x[k] for x in rows))
        z = _noise_of(keys, k, noise) if plan.stochastic else None
        r = _one_call(shell, arrays, r, row, z)
    return r[0]


@functools.partial(jax.jit, static_argnames="shell")
def _one_call(
    shell: Shell, arrays: list[Array], r: jax.Array, row: Row, z: jax.Array | None
) -> jax.Array:
    return jax.checkpoint(lambda r, row, z: call_row(shell(arrays), r, row, z))(r, row, z)


@functools.partial(jax.jit, static_argnames="loss")
def _transfer_loss(plan: SamplerPlan, spectrum: Spectrum, loss: str) -> jax.Array:
    return jnp.asarray(evaluate(LOSSES[loss], transfer(plan, spectrum), spectrum))


@jax.jit
def _squared_distance(a: jax.Array, b: Array) -> jax.Array:
    """The mean over samples of the squared distance, summed over a sample."""
    return ((a - b) ** 2).sum() / len(a)


@jax.jit
def _energy(a: jax.Array, b: Array) -> jax.Array:
    """``2 E|x - y| - E|x - x'| - E|y - y'|`` of all pairs, never negative."""
    a, b = (x.reshape(len(x), -1) for x in (a, jnp.asarray(b)))
    return 2 * _mean_distance(a, b) - _mean_distance(a, a) - _mean_distance(b, b)


def _mean_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    inner = jnp.matmul(a, b.T, precision="highest")
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * inner
    apart = squared > 1e-6 * ((a**2).sum(1).mean() + (b**2).sum(1).mean())
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), 0).mean()


def keys_of(seed: int, n: int) -> jax.Array:
    """Typed keys [n]."""
    return jax.random.split(jax.random.key(np.uint32(seed)), n)
