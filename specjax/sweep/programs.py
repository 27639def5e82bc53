"""The compiled programs of the batched solver, on a mesh of devices.

Lanes lie along the mesh axis ``fits``. Under ``shard_map`` each device runs a loop of its own over
its part, without talking to the others: under ``jit`` alone every iteration would wait for a
collective that asks whether any lane on any device goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from specjax._core.arrays import Array
from specjax._core.programs import quick_options
from specjax.fitting.bfgs import BFGS, descend
from specjax.fitting.problem import FitInputs, FitShape, log_loss, loss_of_levels
from specjax.fitting.spectral import spectral_levels
from specjax.gaussian.modes import Modes

AXIS = "fits"
_CHUNK = 8  # iterations between two looks at which lanes are done


class SharedInputs(NamedTuple):
    """Tables that fits look up by the indices of :class:`FitIndices`.

    Attributes:
      nodes: [n, K], by ``spectrum``; the others by ``discretization``.
      ends: [c, 2], logsnr, or [c, 3] with a bound (:mod:`specjax.fitting.levels`).
      idle: [c], steps in front that do nothing.
      families: [c, F, S + 1], the levels of heuristics.
    """

    nodes: Modes
    ends: Array
    idle: Array
    families: Array

    def of(self, spectrum: Any, discretization: Any, loss: Any) -> FitInputs:
        """Look up the inputs of one fit."""
        nodes = jax.tree.map(lambda x: x[spectrum], self.nodes)
        return FitInputs(nodes, self.ends[discretization], self.idle[discretization], loss)


class FitIndices(NamedTuple):
    """The choices of N fits, [N] each: rows of the tables, a loss of the shape, seed and starts."""

    spectrum: np.ndarray
    discretization: np.ndarray
    loss: np.ndarray
    seed: np.ndarray
    restarts: np.ndarray


class Lanes(NamedTuple):
    """The descents that B lanes work on, [B, ...].

    Attributes:
      spectrum, discretization, loss: as in :class:`FitIndices`.
      fresh: whether a lane begins a descent, at ``theta`` [B, n] with the inverse curvature
        ``scale`` [B, n].
      most: the most iterations, 0 for a lane that is free.
    """

    spectrum: Any
    discretization: Any
    loss: Any
    fresh: Any
    theta: Any
    scale: Any
    most: Any


class LaneResults(NamedTuple):
    """The points that B descents have reached, and whether they want to go on."""

    theta: Any
    value: Any
    slope: Any
    iteration: Any
    more: Any


def local_mesh() -> Mesh:
    """Lay all devices of this process along one axis."""
    devices = jax.local_devices()
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def _on_cpu(mesh: Mesh) -> bool:
    """Tell whether lanes are worked on one after another.

    A core has nothing to gain from several at once: one after another they compile in three
    quarters of the time and run in half to three quarters, and none waits for a longer one.
    """
    return mesh.devices.flat[0].platform == "cpu"


def _sharded(function: Callable[..., Any], mesh: Mesh, split: tuple[bool, ...]) -> Any:
    """Compile a function for a mesh; arguments that are not ``split`` are whole on each device.

    Nothing is exchanged, so there is nothing for check_vma to check (it does not know while loops
    whose lengths differ from device to device).
    """
    options = quick_options() if _on_cpu(mesh) else None
    specs = tuple(P(AXIS) if one else P() for one in split)
    mapped = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False)
    return jax.jit(mapped, compiler_options=options)


@functools.lru_cache(maxsize=64)
def descent_program(shape: FitShape, mesh: Mesh) -> Any:
    """Make the program ``(shared, tolerance, lanes, states) -> (states, results)`` on a mesh.

    It makes at most _CHUNK iterations in each lane. It is kept, so that another sweep compiles
    nothing.
    """
    method = BFGS._replace(together=not _on_cpu(mesh))

    def go_on(
        shared: SharedInputs, tolerance: jax.Array, lanes: Lanes, states: Any
    ) -> tuple[Any, LaneResults]:
        begun = jax.vmap(lambda x, scale: BFGS.begin(jnp.sum, x, scale, 0))(
            lanes.theta, lanes.scale
        )

        def chosen(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(lanes.fresh.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

        states = jax.tree.map(chosen, begun, states)
        problems = (lanes.spectrum, lanes.discretization, lanes.loss)

        def loss_of_fit(problem: tuple[Any, Any, Any]) -> Any:
            return log_loss(shape, shared.of(*problem))

        until = jnp.minimum(states.iteration + _CHUNK, lanes.most)
        states = descend(method, loss_of_fit, problems, states, tolerance, until)
        more = jax.vmap(lambda s, most: BFGS.wants_more(s, tolerance, most))(states, lanes.most)
        return states, LaneResults(
            states.theta, jnp.exp(states.value), states.slope, states.iteration, more
        )

    return _sharded(go_on, mesh, (False, False, True, True))


@functools.lru_cache(maxsize=64)
def values_program(shape: FitShape, mesh: Mesh) -> Any:
    """Make the program ``(shared, spectrum, discretization, loss, levels) -> [B] losses``."""

    def value(shared: SharedInputs, *fits: Any) -> jax.Array:
        def one(spectrum: Any, discretization: Any, loss: Any, levels: jax.Array) -> jax.Array:
            return loss_of_levels(shape, shared.of(spectrum, discretization, loss), levels)

        if _on_cpu(mesh):
            return jax.lax.map(lambda given: one(*given), fits)
        return jax.vmap(one)(*fits)

    return _sharded(value, mesh, (False, True, True, True, True))


@functools.lru_cache(maxsize=8)
def closed_form_program(mesh: Mesh) -> Any:
    """Make the program of :func:`spectral_levels` for B fits."""
    return _sharded(jax.vmap(spectral_levels), mesh, (True,) * 6)
