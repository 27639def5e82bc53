"""Many fits by one compiled program: batches over all devices, stragglers pooled.

A :class:`Group` is what a program is compiled for; its fits differ in numbers only
(:class:`Tables`, which every device holds, and a few indices a fit). A batch lies along the mesh
axis ``fits``: each device iterates its own part, without talking to the others, until all of it
has converged or a limit is reached; the fits that are still under way then wait for others like
them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from specjax._core.arrays import Array
from specjax.fitting.bfgs import BFGS, descend
from specjax.fitting.levels import levels_of
from specjax.fitting.problem import FitInputs, FitShape, closed_form, curvature, log_loss, starts
from specjax.gaussian.modes import Modes
from specjax.schedules.schedule import NoiseSchedule

AXIS = "fits"

_FIRST = 40  # iterations after which a batch is looked at: nearly all of DDIM and DDPM are done
_PATIENCE_SECONDS = 60.0  # after which those that wait go on in a batch that is not full
_CACHE_BYTES = 3 * 2**18  # of one array of a batch on a CPU: what the caches hold
_MEMORY_SHARE = 0.2  # of an accelerator's memory
_ARRAYS = 24  # of the size fits x steps x nodes that a gradient keeps


class Group(NamedTuple):
    """What the fits of one program share."""

    shape: FitShape
    restarts: int
    max_iterations: int
    tolerance: float
    overshoot: float


class Tables(NamedTuple):
    """What fits look up: spectra [n, K] by ``spectrum``, the rest by ``case``.

    ``ends`` [c, 2], ``idle`` [c] and ``rivals`` [c, F, S + 1], the levels of heuristic schedules.
    """

    nodes: Modes
    ends: Array
    idle: Array
    rivals: Array


class Fits(NamedTuple):
    """Indices into the tables and seeds, [N] each."""

    spectrum: np.ndarray
    case: np.ndarray
    seed: np.ndarray

    def at(self, index: np.ndarray) -> Fits:
        """Some of them."""
        return Fits(*(x[index] for x in self))


class Outcomes(NamedTuple):
    """What comes out, [N, ...]; ``rivals`` [N, 1 + F]: losses of closed form and heuristics."""

    levels: Any
    value: Any
    rivals: Any
    slope: Any
    iterations: Any
    done: Any


def local_mesh() -> Mesh:
    """All devices of this process along one axis."""
    devices = jax.local_devices()
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def _problem(tables: Tables, spectrum: jax.Array, case: jax.Array) -> FitInputs:
    nodes = jax.tree.map(lambda x: x[spectrum], tables.nodes)
    return FitInputs(nodes, tables.ends[case], tables.idle[case])


class _Started(NamedTuple):
    """Fits under way, [N, ...]: the closed form's levels, and states [N, restarts]."""

    closed: Any
    states: Any


def _begin(group: Group, tables: Tables, fits: Fits) -> _Started:
    def begin(spectrum: jax.Array, case: jax.Array, seed: jax.Array) -> _Started:
        problem = _problem(tables, spectrum, case)
        closed = closed_form(group.shape, problem)
        theta = starts(group.shape, problem, closed, group.restarts, seed)
        function = log_loss(group.shape, problem)
        states = jax.vmap(lambda x: BFGS.begin(function, x, curvature(problem, x), 0))(theta)
        return _Started(closed, states)

    return jax.vmap(begin)(*fits)  # type: ignore[arg-type]


def _finish(
    group: Group, tables: Tables, fits: Fits, started: _Started, tolerance: jax.Array
) -> Outcomes:
    shape = group.shape

    def finish(spectrum: jax.Array, case: jax.Array, closed: jax.Array, state: Any) -> Outcomes:
        problem = _problem(tables, spectrum, case)
        best = jnp.argmin(jnp.where(jnp.isnan(state.value), jnp.inf, state.value))
        theta, ends = state.theta[best], problem.ends
        judged = jnp.concatenate([closed[None], tables.rivals[case]])
        more = jax.vmap(lambda s: BFGS.wants_more(s, tolerance, group.max_iterations))(state)
        return Outcomes(
            levels=levels_of(theta, ends, ends_clean=shape.ends_clean, idle=problem.idle),
            value=jnp.exp(state.value[best]),
            rivals=jax.vmap(lambda x: shape.objective.of_levels(problem.nodes, x, problem.idle))(
                judged
            ),
            slope=state.slope[best],
            iterations=state.iteration[best],
            done=~more.any(),
        )

    return jax.vmap(finish)(fits.spectrum, fits.case, *started)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=256)
def program(group: Group, mesh: Mesh) -> Callable[..., tuple[Outcomes, _Started]]:
    """``(tables, fits, started or None, most) -> (outcomes, started)`` on the mesh."""

    def solve(
        tables: Tables, fits: Fits, started: _Started | None, most: jax.Array
    ) -> tuple[Outcomes, _Started]:
        tolerance = jnp.asarray(group.tolerance * group.overshoot, tables.ends.dtype)
        closed, states = _begin(group, tables, fits) if started is None else started
        batch = states.iteration.shape  # [N, restarts]
        flat = jax.tree.map(lambda x: x.reshape(batch[0] * batch[1], *x.shape[2:]), states)
        repeated = tuple(jnp.repeat(x, group.restarts, axis=0) for x in fits)

        def function_of(fit: Any) -> Any:
            return log_loss(group.shape, _problem(tables, fit[0], fit[1]))

        flat = descend(BFGS, function_of, repeated, flat, tolerance, most)
        states = jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), flat)
        started = _Started(closed, states)
        return _finish(group, tables, fits, started, tolerance), started

    split = P(AXIS)
    return jax.jit(
        jax.shard_map(
            solve, mesh=mesh, in_specs=(P(), split, split, P()), out_specs=(split, split),
            check_vma=False,
        )
    )  # fmt: skip


def batch_size(group: Group, tables: Tables, mesh: Mesh, count: int) -> int:
    """Fits of a batch, for all devices together: what a cache or a part of the memory holds."""
    two_steps = NoiseSchedule(np.array([-1.0, 0.0, 1.0]))
    rows_per_step = group.shape.objective.plan(two_steps).calls / 2
    rows = group.shape.steps * rows_per_step * group.restarts
    one = 8 * rows * tables.nodes.eigenvalues.shape[-1]
    device = mesh.devices.flat[0]
    if device.platform == "cpu":
        each = int(_CACHE_BYTES / one)
    else:
        memory = (device.memory_stats() or {}).get("bytes_limit", 8 * 2**30)
        state = 8 * 3 * group.restarts * group.shape.steps**2
        each = int(_MEMORY_SHARE * memory / (_ARRAYS * one + state))
    each = 2 ** max(each.bit_length() - 1, 0)
    needed = -(-count // mesh.size)
    return mesh.size * min(each, 2 ** (needed - 1).bit_length())


def _rounded(tables: Tables) -> Tables:
    """Tables of powers of two of rows, the last one repeated, so that few sizes are compiled."""

    def rounded(x: np.ndarray) -> np.ndarray:
        index = np.minimum(np.arange(2 ** (len(x) - 1).bit_length()), len(x) - 1)
        return np.asarray(x)[index]

    return jax.tree.map(rounded, tables)


def solve(
    group: Group, tables: Tables, fits: Fits, mesh: Mesh | None = None
) -> Iterator[tuple[np.ndarray, Outcomes, float]]:
    """Indices of finished fits, their outcomes on the host, and the seconds that they took.

    In no particular order. The numbers of a fit do not depend on those it is solved with.
    """
    mesh = local_mesh() if mesh is None else mesh
    tables, count = _rounded(tables), len(fits.seed)
    batches = _Batches(group, tables, fits, mesh)
    size, most = batches.size, group.max_iterations
    for first in range(0, count, size):
        index = np.arange(first, min(first + size, count))
        yield from batches.go(index, None, min(_FIRST, most))
        while len(batches.waiting) >= batches.size or batches.overdue:
            yield from batches.go_on()
    while batches.waiting:
        yield from batches.go_on()


class _Batches:
    """Batches of one size, which is halved where the memory does not hold it."""

    def __init__(self, group: Group, tables: Tables, fits: Fits, mesh: Mesh) -> None:
        self.group, self.fits, self.mesh = group, fits, mesh
        self.size = batch_size(group, tables, mesh, len(fits.seed))
        self.tables = jax.device_put(tables, NamedSharding(mesh, P()))  # once, not a batch
        self.run = program(group, mesh)
        self.waiting: list[tuple[int, _Started]] = []
        self.served = time.monotonic()

    def go(self, index: np.ndarray, rows: list[_Started] | None, most: int) -> Iterator[Any]:
        """Fit some, from the start or from where they are."""
        while len(index):
            began = time.perf_counter()
            some, chosen = index[: self.size], rows and rows[: self.size]
            try:
                outcomes, started = self._solved(some, chosen, most)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error) or self.size == self.mesh.size:
                    raise
                self.size = max(self.size // 2, self.mesh.size)
                continue
            done = np.flatnonzero(outcomes.done[: len(some)])
            left = np.flatnonzero(~outcomes.done[: len(some)])
            if left.size:
                kept = jax.tree.map(lambda x, left=left: np.asarray(x)[left], started)
                self.waiting += [
                    (int(some[i]), jax.tree.map(lambda x, k=k: x[k], kept))
                    for k, i in enumerate(left)
                ]
            seconds = time.perf_counter() - began
            yield some[done], jax.tree.map(lambda x, done=done: x[done], outcomes), seconds
            index, rows = index[len(some) :], rows and rows[len(some) :]

    @property
    def overdue(self) -> bool:
        """Whether some have waited for long, and hold up the parts that they belong to."""
        return bool(self.waiting) and time.monotonic() - self.served > _PATIENCE_SECONDS

    def _solved(
        self, index: np.ndarray, rows: list[_Started] | None, most: int
    ) -> tuple[Outcomes, _Started]:
        started = None
        if rows is not None:
            padded = rows + rows[:1] * (self.size - len(rows))
            started = jax.tree.map(lambda *x: np.stack(x), *padded)
        fits = self.fits.at(np.resize(index, self.size))
        outcomes, started = self.run(self.tables, fits, started, np.int32(most))
        return jax.tree.map(np.asarray, outcomes), started

    def go_on(self) -> Iterator[Any]:
        """Fit the first of those that wait to their end."""
        self.served = time.monotonic()
        some, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        index = np.array([i for i, _ in some])
        yield from self.go(index, [rows for _, rows in some], self.group.max_iterations)
