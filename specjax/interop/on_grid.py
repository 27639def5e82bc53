"""Schedules on the training grid of a network: the grid from a file, and levels within it."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax import files
from specjax._core.checks import UserError
from specjax.files import inputs
from specjax.fitting.fit import fit
from specjax.fitting.learned import LearnedResult
from specjax.gaussian.modes import Modes
from specjax.gaussian.task import GaussianTask, Objective
from specjax.schedules.grids import TrainingGrid, check_grid, grid_of_config
from specjax.schedules.schedule import NoiseSchedule
from specjax.schedules.timesteps import LossOf


def read_config(path: str, name: str) -> dict[str, Any]:
    """Read a ``scheduler_config.json`` of diffusers, given as the argument ``name``.

    Raises:
      UserError: for a file that cannot be read or is no JSON object.
    """
    try:
        config = inputs.json_of(files.read_bytes(path))
    except ValueError as error:
        raise UserError(f"{name} = {path}: no JSON: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{name} = {path}: give a scheduler_config.json of diffusers")
    return config


def read_grid(text: str) -> TrainingGrid:
    """Return the training grid of a name, or of a ``scheduler_config.json`` of diffusers.

    Raises:
      UserError: for an unknown name, a file that cannot be read or says no such grid.
    """
    if not text.endswith(".json"):
        return check_grid(text)
    return grid_of_config(Path(text).name, read_config(text, "grid"))


def within(result: LearnedResult, grid: TrainingGrid) -> tuple[LearnedResult, list[str]]:
    """Bring levels into the range of a network's grid; return them, and remarks on what was done.

    Levels that were learned without the grid and lie outside are learned again within it: moved to
    its ends they would lose what was learned. Levels of somebody else, whose value nobody knows,
    are moved.

    Raises:
      UserError: for a plan with corrections, which takes its prior to learn; for levels that are
        all outside.
    """
    clipped, remarks = grid.clip(result.schedule)
    if not remarks or result.kept == "given":
        return replace(result, schedule=clipped), remarks
    least, greatest = grid.sigma_range
    count = remarks[0].split()[0]
    outside = (
        f"{count} level(s) outside the range of grid {grid.name!r}, sigma {least:.4g} to "
        f"{greatest:.4g}"
    )
    losses = losses_of(result)
    if losses is None:
        raise UserError(
            f"the plan has {outside}: learn it for that network, by grid=... or --grid ..."
        )
    task = GaussianTask.resolve(
        result.nodes, sampler=result.method, loss=result.loss, process=result.process,
        alpha_bar_range=result.alpha_bar_range, grid=grid,
    )  # fmt: skip
    again = fit(task, result.steps, nodes=None, seed=result.seed)
    lost = losses(np.asarray(clipped.logsnr, np.float64)[None])[0]
    fields = ("schedule", "value", "converged", "finite", "history", "node_value", "grid",
              "alpha_bar_range", "seconds")  # fmt: skip
    found = replace(result, **{name: getattr(again, name) for name in fields}, baselines={})
    return found, [
        f"{outside}: learned again within it, {result.loss} {again.value:.4g}; as it was learned "
        f"{result.value:.4g}, which in that range would be {lost:.4g}"
    ]


def losses_of(result: LearnedResult) -> LossOf | None:
    """Return a function for the losses of many schedules on the result's nodes, in float64."""
    if result.nodes is None:
        return None
    nodes = result.nodes
    chosen = GaussianTask.resolve(
        nodes, sampler=result.method, loss=result.loss, process=result.process
    ).objective

    def evaluate(levels: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(_values(chosen, nodes, jnp.asarray(levels, jnp.float64)))

    return evaluate


@functools.partial(jax.jit, static_argnames="chosen")
def _values(chosen: Objective, nodes: Modes, levels: jax.Array) -> jax.Array:
    """Return the losses [B] of levels [B, S + 1]."""
    return jax.vmap(lambda one: jnp.asarray(chosen.value(nodes, NoiseSchedule(one))))(levels)
