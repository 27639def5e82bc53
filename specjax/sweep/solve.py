"""The batched solver: many fits by one compiled program on all devices of a process.

Fits of one program (:class:`SolverOptions`) differ in a few indices into tables that every device
holds (:class:`SharedInputs`). Three things need care:

- **Sharding.** A batch lies along the mesh axis ``fits``. Under ``shard_map`` each device runs a
  loop of its own over its part, without talking to the others: under ``jit`` alone every iteration
  would wait for a collective that asks whether any fit on any device goes on.
- **Stragglers.** A batch iterates as long as its slowest fit, and most fits need far fewer
  iterations than a few do. So a batch stops after :data:`_FIRST_ITERATIONS`; the fits that are not
  done by then are put aside with their states, until there are enough of them for a batch.
- **Padding.** Programs are compiled for few sizes: a batch that is not full repeats its fits,
  tables repeat their last rows up to a power of two. What is repeated is dropped from the outputs.
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
from specjax.fitting.fit import OVERSHOOT
from specjax.fitting.levels import levels_of
from specjax.fitting.problem import FitInputs, FitShape, closed_form, curvature, log_loss, starts
from specjax.gaussian.modes import Modes
from specjax.schedules.schedule import NoiseSchedule

AXIS = "fits"

_FIRST_ITERATIONS = 40  # nearly all fits of DDIM and DDPM are done by then
_PATIENCE_SECONDS = 60.0  # after which stragglers go on in a batch that is not full
_CACHE_BYTES = 3 * 2**18  # of one array of a batch on a CPU: what the caches hold
_MEMORY_SHARE = 0.2  # of an accelerator's memory
_ARRAYS = 24  # of the size fits x steps x nodes that a gradient keeps


class SolverOptions(NamedTuple):
    """The static choices that a program is compiled for."""

    shape: FitShape
    restarts: int
    max_iterations: int
    tolerance: float


class SharedInputs(NamedTuple):
    """Tables that fits look up by the indices of :class:`FitIndices`.

    Attributes:
      nodes: [n, K], by ``spectrum``; the others by ``discretization``. ends: [c, 2], logsnr. idle:
        [c], steps in front that do nothing. families: [c, F, S + 1], the levels of heuristics.
    """

    nodes: Modes
    ends: Array
    idle: Array
    families: Array

    def of(self, spectrum: Any, discretization: Any) -> FitInputs:
        """Look up the inputs of one fit."""
        nodes = jax.tree.map(lambda x: x[spectrum], self.nodes)
        return FitInputs(nodes, self.ends[discretization], self.idle[discretization])


class FitIndices(NamedTuple):
    """The rows of fits in the tables, and their seeds, [N] each."""

    spectrum: np.ndarray
    discretization: np.ndarray
    seed: np.ndarray


class FitOutputs(NamedTuple):
    """The outcome of N fits, [N, ...].

    Attributes:
      levels: [N, S + 1], logsnr with the idle levels in front. value: the learned loss.
      heuristics: [N, 1 + F], losses of the closed form and of the families. slope: the largest
        entry of the gradient. iterations: of the best start. done: whether no start wants more.
    """

    levels: Any
    value: Any
    heuristics: Any
    slope: Any
    iterations: Any
    done: Any


class DescentStates(NamedTuple):
    """Fits on their way: levels of the closed form [N, S + 1], states of BFGS [N, restarts]."""

    closed: Any
    states: Any


def local_mesh() -> Mesh:
    """Lay all devices of this process along one axis."""
    devices = jax.local_devices()
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def _start(options: SolverOptions, shared: SharedInputs, fits: FitIndices) -> DescentStates:
    def start(spectrum: jax.Array, discretization: jax.Array, seed: jax.Array) -> DescentStates:
        inputs = shared.of(spectrum, discretization)
        closed = closed_form(options.shape, inputs)
        theta = starts(options.shape, inputs, closed, options.restarts, seed)
        loss = log_loss(options.shape, inputs)
        states = jax.vmap(lambda x: BFGS.begin(loss, x, curvature(inputs, x), 0))(theta)
        return DescentStates(closed, states)

    return jax.vmap(start)(*fits)  # type: ignore[arg-type]


def _outputs(
    options: SolverOptions, shared: SharedInputs, fits: FitIndices, descents: DescentStates,
    tolerance: jax.Array,
) -> FitOutputs:  # fmt: skip
    """Take the best start of each fit, and evaluate the heuristics beside it."""
    shape = options.shape

    def output(spectrum: Any, discretization: Any, closed: jax.Array, state: Any) -> FitOutputs:
        inputs = shared.of(spectrum, discretization)
        best = jnp.argmin(jnp.where(jnp.isnan(state.value), jnp.inf, state.value))
        judged = jnp.concatenate([closed[None], shared.families[discretization]])
        more = jax.vmap(lambda s: BFGS.wants_more(s, tolerance, options.max_iterations))(state)
        return FitOutputs(
            levels=levels_of(
                state.theta[best], inputs.ends, ends_clean=shape.ends_clean, idle=inputs.idle
            ),
            value=jnp.exp(state.value[best]),
            heuristics=jax.vmap(lambda x: shape.objective.of_levels(inputs.nodes, x, inputs.idle))(
                judged
            ),
            slope=state.slope[best],
            iterations=state.iteration[best],
            done=~more.any(),
        )

    return jax.vmap(output)(fits.spectrum, fits.discretization, *descents)


@functools.lru_cache(maxsize=64)
def program(options: SolverOptions, mesh: Mesh) -> Callable[..., tuple[FitOutputs, DescentStates]]:
    """Make the program ``(shared, fits, descents, most) -> (outputs, descents)`` on a mesh.

    It goes on from ``descents``, or from the starts where they are None, until each fit is done or
    has made ``most`` iterations. It is kept, so that another sweep compiles nothing.
    """

    def solve(
        shared: SharedInputs, fits: FitIndices, descents: DescentStates | None, most: jax.Array
    ) -> tuple[FitOutputs, DescentStates]:
        tolerance = jnp.asarray(options.tolerance * OVERSHOOT, shared.ends.dtype)
        closed, states = _start(options, shared, fits) if descents is None else descents
        # One axis of all starts of all fits: the loop is one, not one in another.
        count, restarts = states.iteration.shape
        flat = jax.tree.map(lambda x: x.reshape(count * restarts, *x.shape[2:]), states)
        repeated = jax.tree.map(lambda x: jnp.repeat(x, restarts, axis=0), fits)

        def loss_of_fit(fit: Any) -> Any:
            return log_loss(options.shape, shared.of(fit.spectrum, fit.discretization))

        flat = descend(BFGS, loss_of_fit, repeated, flat, tolerance, most)
        states = jax.tree.map(lambda x: x.reshape(count, restarts, *x.shape[1:]), flat)
        descents = DescentStates(closed, states)
        return _outputs(options, shared, fits, descents, tolerance), descents

    # Every device has the whole tables, its part of the fits, and a loop of its own. Nothing is
    # exchanged, so there is nothing for check_vma to check (it does not know while loops whose
    # lengths differ from device to device).
    split = P(AXIS)
    return jax.jit(
        jax.shard_map(
            solve, mesh=mesh, in_specs=(P(), split, split, P()), out_specs=(split, split),
            check_vma=False,
        )
    )  # fmt: skip


def batch_size(options: SolverOptions, shared: SharedInputs, mesh: Mesh, count: int) -> int:
    """Choose the fits of a batch on all devices: what a cache or a part of the memory holds.

    A power of two for each device, and no more than ``count`` fits need.
    """
    two_steps = NoiseSchedule(np.array([-1.0, 0.0, 1.0]))
    calls = options.shape.steps * options.shape.objective.plan(two_steps).calls / 2
    one = 8 * calls * options.restarts * shared.nodes.eigenvalues.shape[-1]
    device = mesh.devices.flat[0]
    if device.platform == "cpu":
        each = int(_CACHE_BYTES / one)
    else:
        memory = (device.memory_stats() or {}).get("bytes_limit", 8 * 2**30)
        state = 8 * 3 * options.restarts * options.shape.steps**2  # BFGS matrices
        each = int(_MEMORY_SHARE * memory / (_ARRAYS * one + state))
    each = 2 ** max(each.bit_length() - 1, 0)
    needed = -(-count // mesh.size)
    return mesh.size * min(each, 2 ** (needed - 1).bit_length())


def solve(
    options: SolverOptions, shared: SharedInputs, fits: FitIndices, mesh: Mesh
) -> Iterator[tuple[np.ndarray, FitOutputs, float]]:
    """Yield the numbers of finished fits, their outputs on the host, and the seconds they took.

    In no particular order. The outputs of a fit do not depend on those it is solved with.
    """
    solver = _Solver(options, shared, fits, mesh)
    count, size, most = len(fits.seed), solver.size, options.max_iterations
    for first in range(0, count, size):
        numbers = np.arange(first, min(first + size, count))
        yield from solver.run(numbers, None, min(_FIRST_ITERATIONS, most))
        while len(solver.stragglers) >= solver.size or solver.overdue:
            yield from solver.finish_stragglers()
    while solver.stragglers:
        yield from solver.finish_stragglers()


class _Solver:
    """Runs batches of one size, which is halved where the memory does not hold it."""

    def __init__(
        self, options: SolverOptions, shared: SharedInputs, fits: FitIndices, mesh: Mesh
    ) -> None:
        self.options, self.fits, self.mesh = options, fits, mesh
        self.size = batch_size(options, shared, mesh, len(fits.seed))
        # To all devices once, not with every batch.
        self.shared = jax.device_put(_padded_tables(shared), NamedSharding(mesh, P()))
        self.program = program(options, mesh)
        self.stragglers: list[tuple[int, DescentStates]] = []  # on the host
        self.last_finished = time.monotonic()

    def run(
        self, numbers: np.ndarray, descents: list[DescentStates] | None, most: int
    ) -> Iterator[tuple[np.ndarray, FitOutputs, float]]:
        """Solve fits from their starts, or from where they are; put aside those not done."""
        while len(numbers):
            started = time.perf_counter()
            some = numbers[: self.size]
            try:
                outputs, reached = self._batch(some, descents and descents[: self.size], most)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error) or self.size == self.mesh.size:
                    raise
                self.size = max(self.size // 2, self.mesh.size)
                continue
            done = outputs.done[: len(some)]
            if not done.all():
                reached = jax.tree.map(np.asarray, reached)
                self.stragglers += [
                    (int(some[i]), jax.tree.map(lambda x, i=i: x[i].copy(), reached))
                    for i in np.flatnonzero(~done)
                ]
            finished = np.flatnonzero(done)
            seconds = time.perf_counter() - started
            yield some[finished], jax.tree.map(lambda x, f=finished: x[f], outputs), seconds
            numbers, descents = numbers[len(some) :], descents and descents[len(some) :]

    def _batch(
        self, numbers: np.ndarray, descents: list[DescentStates] | None, most: int
    ) -> tuple[FitOutputs, DescentStates]:
        """Solve one batch, padded to its size by fits of its own."""
        stacked = None
        if descents is not None:
            padding = descents[:1] * (self.size - len(descents))
            stacked = jax.tree.map(lambda *x: np.stack(x), *descents, *padding)
            numbers = np.append(numbers, np.full(len(padding), numbers[0]))
        rows = np.resize(numbers, self.size)
        fits = FitIndices(*(x[rows] for x in self.fits))
        outputs, reached = self.program(self.shared, fits, stacked, np.int32(most))
        return jax.tree.map(np.asarray, outputs), reached

    @property
    def overdue(self) -> bool:
        """Tell whether stragglers have waited for long, and hold up their blocks."""
        waited = time.monotonic() - self.last_finished
        return bool(self.stragglers) and waited > _PATIENCE_SECONDS

    def finish_stragglers(self) -> Iterator[tuple[np.ndarray, FitOutputs, float]]:
        """Solve a batch of stragglers to their end."""
        self.last_finished = time.monotonic()
        some, self.stragglers = self.stragglers[: self.size], self.stragglers[self.size :]
        numbers = np.array([number for number, _ in some])
        yield from self.run(numbers, [state for _, state in some], self.options.max_iterations)


def _padded_tables(shared: SharedInputs) -> SharedInputs:
    """Repeat the last rows of tables up to a power of two, so that few sizes are compiled."""

    def padded(x: np.ndarray) -> np.ndarray:
        index = np.minimum(np.arange(2 ** (len(x) - 1).bit_length()), len(x) - 1)
        return np.asarray(x)[index]

    return jax.tree.map(padded, shared)
