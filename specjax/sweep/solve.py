"""The batched solver: many fits by few compiled programs on all devices of a process.

Descents of one program (:class:`specjax.fitting.problem.FitShape`) differ in a few indices into
tables that every device holds (:class:`SharedInputs`). Three things need care:

- **Stragglers.** Most descents need far fewer iterations than a few do. So a program returns after
  a few iterations, and a lane that is done takes the next descent.
- **Compiling.** A program is compiled in another thread while those before it run (:meth:`Solver.
  prepare`); which loss is meant, and how many steps are idle, are numbers.
- **Padding.** Programs are compiled for few sizes: tables repeat their last rows up to a power of
  two, and lanes without a descent do nothing.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from specjax.fitting.bfgs import BFGS
from specjax.fitting.fit import OVERSHOOT
from specjax.fitting.levels import levels_of
from specjax.fitting.problem import (
    SIMPLE_STARTS,
    FitShape,
    curvature,
    more_starts,
    ordered_starts,
    padded_parameters,
    simple_levels,
    to_the_end,
)
from specjax.sampling.samplers import plan
from specjax.schedules.schedule import NoiseSchedule
from specjax.sweep.programs import (
    AXIS,
    FitIndices,
    LaneResults,
    Lanes,
    SharedInputs,
    closed_form_program,
    descent_program,
    values_program,
)

_CACHE_BYTES = 2**19  # of one array of all lanes on a CPU: what the caches hold
_STARTS = 16  # times the lanes, of fits whose starts are made at once
_CLOSED_FORMS = 8  # that a device computes at once
_MEMORY_SHARE = 0.2  # of an accelerator's memory
_WAVES = 16  # times that lanes are filled, at least: the last ones wait for the slowest descent
_ARRAYS = 24  # of the size lanes x steps x nodes that a gradient keeps


class SolverOptions(NamedTuple):
    """The options of descents: starts of a fit, iterations of each, tolerance of the gradient.

    The number of starts is that of each fit of a group.
    """

    restarts: int
    max_iterations: int
    tolerance: float


class FitOutputs(NamedTuple):
    """The outcome of N fits, [N, ...].

    Attributes:
      levels: [N, S + 1], logsnr with the idle levels in front. value: the learned loss.
      heuristics: [N, 1 + F], losses of the closed form and of the families. slope: the largest
        entry of the gradient. iterations: of the best start.
    """

    levels: Any
    value: Any
    heuristics: Any
    slope: Any
    iterations: Any


def batch_size(shape: FitShape, restarts: int, nodes: int, mesh: Mesh, count: int) -> int:
    """Choose the lanes on all devices: what a cache or a part of the memory holds.

    A power of two for each device, and fewer for ``count`` fits that would not fill them often.
    """
    two_steps = NoiseSchedule(np.array([-1.0, 0.0, 1.0]))
    calls = shape.steps * plan(shape.sampler, two_steps).calls / 2
    one = 8 * calls * nodes
    device = mesh.devices.flat[0]
    if device.platform == "cpu":
        each = int(_CACHE_BYTES / one)
    else:
        memory = (device.memory_stats() or {}).get("bytes_limit", 8 * 2**30)
        each = int(_MEMORY_SHARE * memory / (_ARRAYS * one + 24 * shape.steps**2))  # BFGS matrices
    each = 2 ** max(each.bit_length() - 1, 0)
    needed = -(-count * restarts // (_WAVES * mesh.size))
    return mesh.size * min(each, 2 ** (needed - 1).bit_length())


class _Waiting(NamedTuple):
    """Descents that wait for a lane: fits [q], starts [q, n] and inverse curvatures [q, n]."""

    fit: np.ndarray
    theta: np.ndarray
    scale: np.ndarray

    def and_then(self, more: _Waiting) -> _Waiting:
        """Return these, followed by others."""
        return _Waiting(*(np.concatenate(pair) for pair in zip(self, more, strict=True)))


class _Best(NamedTuple):
    """The best end of the starts of a fit so far."""

    value: float
    theta: np.ndarray
    slope: float
    iterations: int


class Solver:
    """Solves fits of one shape in lanes, whose number is halved where the memory is too small.

    Args:
      shape: of the fits.
      options: of all descents; the number of starts is that of each fit.
      shared: the tables.
      fits: what is fitted.
      mesh: the devices.
    """

    def __init__(
        self, shape: FitShape, options: SolverOptions, shared: SharedInputs, fits: FitIndices,
        mesh: Mesh,
    ) -> None:  # fmt: skip
        self.shape, self.options, self.fits, self.mesh = shape, options, fits, mesh
        nodes, restarts = shared.nodes.eigenvalues.shape[-1], int(fits.restarts.max(initial=1))
        self.size = batch_size(shape, restarts, nodes, mesh, len(fits.seed))
        self.tables = shared  # on the host
        # To all devices once, not with every call.
        self.shared = jax.device_put(_padded_tables(shared), NamedSharding(mesh, P()))
        self.parameters = shape.steps - shape.ends_clean
        self.tolerance = np.float64(options.tolerance * OVERSHOOT)

    def prepare(self) -> None:
        """Compile all programs, by running them on nothing."""
        some = np.zeros(0, np.int64)
        while True:
            try:
                self._descend(*self._free_lanes()[:2])
                self._values(some, some, some, np.zeros((0, self.shape.steps + 1)))
                self._closed_form(FitIndices(*(some,) * 5))
                return
            except jax.errors.JaxRuntimeError as error:
                self._halve(error)

    def _halve(self, error: jax.errors.JaxRuntimeError) -> None:
        """Take half the lanes after an error for want of memory; others are raised again."""
        if "RESOURCE_EXHAUSTED" not in str(error) or self.size == self.mesh.size:
            raise error
        self.size = max(self.size // 2, self.mesh.size)

    def solve(self) -> Iterator[tuple[np.ndarray, FitOutputs, np.ndarray]]:
        """Yield the numbers of finished fits, their outputs on the host, and their seconds.

        In no particular order. The outputs of a fit do not depend on those it is solved with.
        """
        count = len(self.fits.seed)
        self.best: dict[int, _Best] = {}
        self.left, self.seconds = self.fits.restarts.copy(), np.zeros(count)
        self.heuristics: dict[int, np.ndarray] = {}
        waiting = _Waiting(np.zeros(0, np.int64), *(np.zeros((2, 0, self.parameters))))
        lanes, states, task = self._free_lanes()
        following = 0  # the first fit whose starts are not made yet
        while following < count or len(waiting.fit) or (task >= 0).any():
            try:
                while following < count and len(waiting.fit) < self.size:
                    some = np.arange(following, min(following + _STARTS * self.size, count))
                    waiting = waiting.and_then(self._starts(some))
                    following += len(some)
                waiting = self._fill(lanes, task, waiting)
                started = time.perf_counter()
                states, found = self._descend(lanes, states)
            except jax.errors.JaxRuntimeError as error:
                self._halve(error)
                left = np.flatnonzero(task >= 0)  # they begin again
                again = _Waiting(task[left], lanes.theta[left], lanes.scale[left])
                waiting = waiting.and_then(again)
                lanes, states, task = self._free_lanes()
                continue
            busy = task >= 0
            np.add.at(self.seconds, task[busy], (time.perf_counter() - started) / busy.sum())
            lanes.fresh[:] = False
            finished = self._collect(np.flatnonzero(busy & ~found.more), lanes, task, found)
            if finished:
                yield self._outputs(np.array(finished))

    def _free_lanes(self) -> tuple[Lanes, Any, np.ndarray]:
        """Make lanes that do nothing, their states, and the fits that they work on (-1: none)."""
        index, numbers = np.zeros(self.size, np.int64), np.zeros((self.size, self.parameters))
        free = Lanes(
            index, index.copy(), index.copy(), np.zeros(self.size, bool), numbers, numbers + 1,
            np.zeros(self.size, np.int32),
        )  # fmt: skip
        one = BFGS.begin(jnp.sum, numbers[0], numbers[0] + 1, 0)
        states = jax.tree.map(lambda x: np.broadcast_to(x, (self.size, *x.shape)), one)
        states = jax.device_put(states, NamedSharding(self.mesh, P(AXIS)))
        return free, states, np.full(self.size, -1)

    def _descend(self, lanes: Lanes, states: Any) -> tuple[Any, LaneResults]:
        """Go on in all lanes; states stay on the devices."""
        go_on = descent_program(self.shape, self.mesh)
        states, found = go_on(self.shared, self.tolerance, lanes, states)
        return states, jax.tree.map(np.asarray, found)

    def _fill(self, lanes: Lanes, task: np.ndarray, waiting: _Waiting) -> _Waiting:
        """Give free lanes the next descents, and return those that still wait."""
        free = np.flatnonzero(task < 0)[: len(waiting.fit)]
        taken = _Waiting(*(x[: len(free)] for x in waiting))
        for own, given in zip(lanes, self.fits[:3], strict=False):
            own[free] = given[taken.fit]
        lanes.theta[free], lanes.scale[free] = taken.theta, taken.scale
        lanes.fresh[free], lanes.most[free], task[free] = (
            True,
            self.options.max_iterations,
            taken.fit,
        )
        return _Waiting(*(x[len(free) :] for x in waiting))

    def _collect(
        self, done: np.ndarray, lanes: Lanes, task: np.ndarray, found: LaneResults
    ) -> list[int]:
        """Take the ends of descents from their lanes, and return the fits that are finished."""
        finished = []
        for lane in done:
            fit, value = int(task[lane]), float(found.value[lane])
            known = self.best.get(fit)
            rank = np.inf if np.isnan(value) else value
            if known is None or rank < (np.inf if np.isnan(known.value) else known.value):
                self.best[fit] = _Best(
                    value, found.theta[lane].copy(), found.slope[lane], found.iteration[lane]
                )
            self.left[fit] -= 1
            if not self.left[fit]:
                finished.append(fit)
            task[lane], lanes.most[lane] = -1, 0
        return finished

    def _outputs(self, finished: np.ndarray) -> tuple[np.ndarray, FitOutputs, np.ndarray]:
        best = [self.best.pop(fit) for fit in finished]
        at = self.fits.discretization[finished]
        levels = levels_of(
            np.stack([one.theta for one in best]), self.tables.ends[at],
            ends_clean=self.shape.ends_clean, idle=self.tables.idle[at][:, None],
        )  # fmt: skip
        outputs = FitOutputs(
            levels,
            np.array([one.value for one in best]),
            np.array([self.heuristics.pop(fit) for fit in finished]),
            np.array([one.slope for one in best]),
            np.array([one.iterations for one in best]),
        )
        return finished, outputs, self.seconds[finished]

    def _starts(self, numbers: np.ndarray) -> _Waiting:
        """Make the starts of some fits, and evaluate the heuristics beside them."""
        fits = FitIndices(*(x[numbers] for x in self.fits))
        # Fits that differ in their seed alone share all that is computed here.
        keys = np.stack([fits.spectrum, fits.discretization, fits.loss], 1)
        _, first, same = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        same, alike = same.ravel(), FitIndices(*(x[first] for x in fits))
        at = alike.discretization
        ends, idle = np.asarray(self.tables.ends)[at], np.asarray(self.tables.idle)[at][:, None]
        simple = simple_levels(self._closed_form(alike), ends, idle)  # [u, 3, S + 1]
        every = np.concatenate([to_the_end(simple, ends), self.tables.families[at]], 1)
        each = every.shape[1]
        values = self._values(
            *(np.repeat(x, each) for x in (alike.spectrum, at, alike.loss)),
            every.reshape(-1, every.shape[-1]),
        ).reshape(-1, each)
        judged = np.delete(values, np.arange(1, SIMPLE_STARTS), 1)
        self.heuristics.update(zip(numbers.tolist(), judged[same], strict=True))
        theta = ordered_starts(simple, ends, values[:, :SIMPLE_STARTS], idle[..., None])
        if (fits.restarts == 1).all():
            made, fit = theta[same, 0], numbers
        else:
            own = zip(theta[same], idle[same, 0], fits.restarts, fits.seed, strict=True)
            made = np.concatenate(
                [
                    padded_parameters(more_starts(simple[:, n:], int(count), int(seed)), int(n))
                    for simple, n, count, seed in own
                ]
            )
            fit = np.repeat(numbers, fits.restarts)
        at = self.fits.discretization[fit]
        idle = np.asarray(self.tables.idle)[at][:, None]
        counts = np.arange(self.parameters) >= idle
        scale = curvature(self.shape.steps - idle, made, np.asarray(self.tables.ends)[at])
        return _Waiting(fit, np.where(counts, made, 0.0), np.where(counts, scale, 1.0))

    def _closed_form(self, fits: FitIndices) -> np.ndarray:
        """Compute the levels [N, S + 1] of the closed form, with idle ones in front."""
        nodes = jax.tree.map(lambda x: np.asarray(x)[fits.spectrum], self.tables.nodes)
        weights, quadratic = np.zeros_like(nodes.weights), np.zeros(len(fits.seed), bool)
        for k in np.unique(fits.loss):
            loss, some = self.shape.losses[k], fits.loss == k
            weights[some] = nodes.weights[some] * np.asarray(
                loss.importance(nodes.eigenvalues[some])
            )
            quadratic[some] = loss.quadratic
        idle = self.tables.idle[fits.discretization][:, None]
        order = np.maximum(np.arange(self.shape.steps + 1) - idle, 0)
        noisy, clean = self.tables.ends[fits.discretization, :2].T
        return self._in_batches(
            closed_form_program(self.mesh), _CLOSED_FORMS * self.mesh.size,
            nodes.eigenvalues, weights, quadratic, order / (self.shape.steps - idle), noisy, clean,
        )  # fmt: skip

    def _values(self, *fits: np.ndarray) -> np.ndarray:
        """Compute the losses [N] of levels [N, S + 1], the last of ``fits``."""
        run = functools.partial(values_program(self.shape, self.mesh), self.shared)
        return self._in_batches(run, self.size, *fits)

    def _in_batches(self, run: Callable[..., Any], size: int, *args: np.ndarray) -> np.ndarray:
        """Run a program on rows [N, ...], so many at a time, padded by rows of its own."""
        made = []
        for first in range(0, max(len(args[0]), 1), size):
            rows = [x[first : first + size] for x in args]
            filled = [np.resize(x, (size, *x.shape[1:])) for x in rows]  # zeros for none
            made.append(np.asarray(run(*filled))[: len(rows[0])])
        return np.concatenate(made)


def _padded_tables(shared: SharedInputs) -> SharedInputs:
    """Repeat the last rows of tables up to a power of two, so that few sizes are compiled."""

    def padded(x: np.ndarray) -> np.ndarray:
        index = np.minimum(np.arange(2 ** (len(x) - 1).bit_length()), len(x) - 1)
        return np.asarray(x)[index]

    return jax.tree.map(padded, shared)
