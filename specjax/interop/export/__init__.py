"""Schedules and plans in the forms that other software reads.

:func:`export` makes the text (or bytes) and writes no file. A new target is an object like
:class:`ExportTarget`: pass it as ``to``, or name it in :data:`TARGETS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.learned import LearnedResult
from specjax.interop.export import diffusers, plain, sigma_lists
from specjax.interop.export.target import ExportTarget, Target
from specjax.schedules.grids import FlowGrid, GridLike, check_grid
from specjax.schedules.schedule import NoiseSchedule

__all__ = ["TARGETS", "Export", "ExportTarget", "export"]

AS_LEARNED = "as learned"
"""The grid that a result was learned for, or else DDPM's."""

_TARGETS = (
    Target("diffusers", "sigmas, timesteps and flow sigmas", ".json", diffusers.write),
    Target("k-diffusion", "sigmas and the sample_* to run", ".json", sigma_lists.write_k_diffusion),
    Target("comfyui", "the text of a ManualSigmas node", ".txt", sigma_lists.write_comfyui),
    Target(
        "stable-diffusion.cpp",
        "the text for --sigmas",
        ".txt",
        sigma_lists.write_stable_diffusion_cpp,
    ),
    Target("csv", "a row per level, or per call of a plan", ".csv", plain.write_csv),
    Target("npz", "NumPy arrays without pickle", ".npz", plain.write_npz),
    Target("json", "plain lists", ".json", plain.write_json),
)

TARGETS: dict[str, ExportTarget] = {target.name: target for target in _TARGETS}
"""Every target by its name."""


@dataclass(frozen=True)
class Export:
    """A schedule or plan in another program's form.

    Attributes:
      target: the name of the target.
      content: the text of the file; bytes for "npz".
      suffix: the usual ending of its name.
      notes: one-line remarks: levels that were clipped, a sampler without a counterpart, ...
    """

    target: str
    content: str | bytes
    suffix: str
    notes: tuple[str, ...]


def export(
    result: LearnedResult | NoiseSchedule,
    to: str | ExportTarget,
    *,
    grid: GridLike | None = AS_LEARNED,
    shift: float | None = None,
    config: Mapping[str, Any] | None = None,
) -> Export:
    """Write a schedule or a plan in the form of another program.

    Args:
      result: what :func:`fit` or :func:`learn` returned, or a bare schedule (without sampler, and
        so without losses). A plan with corrections goes with its rows, in the plain forms ("csv",
        "npz", "json").
      to: a name in :data:`TARGETS`, or an :class:`ExportTarget` of one's own.
      grid: the noise levels that the network was trained on: a name in
        :data:`specjax.schedules.grids.GRIDS`, one's own, or None for a network of continuous level;
        by default that which the result was learned for, or else "ddpm". A network's timestep stops
        at its ends: where levels lie outside, what was learned is learned again within it, and
        sigmas of your own are clipped; a remark says so. Plain forms keep the levels. For a network
        of flow matching lists of sigmas are its times.
      shift: the flow-matching shift that the other program applies ("diffusers"); by default that
        of the network's configuration, or 1.
      config: ``pipe.scheduler.config``, which says grid or shift in their place.

    Returns:
      An :class:`Export`. Lists have S + 1 levels ("steps" counts intervals) unless the target
      adds the noise-free end itself.

    Raises:
      UserError: for an unknown target or grid, a config of neither grid nor shift or beside one of
        them, a schedule outside the grid, for "diffusers" one of more steps than the grid has
        levels, or a plan with corrections where their target takes levels alone.

    Example:
      >>> export(NoiseSchedule.from_sigmas([14.6, 1.0, 0.001, 0.0]), "comfyui", grid=None).content
      '14.6, 1.0, 0.001, 0.0\\n'
    """
    target = TARGETS[checks.one_of("to", to, TARGETS)] if isinstance(to, str) else to
    if isinstance(result, NoiseSchedule):
        result = LearnedResult.from_schedule(result)
    if config is not None:
        if grid != AS_LEARNED or shift is not None:
            raise UserError("config: it says grid and shift; leave these out")
        grid = config
    if grid == AS_LEARNED:
        grid = result.grid or "ddpm"
    levels = None if grid is None else check_grid(grid)
    if shift is None and isinstance(levels, FlowGrid):
        shift = levels.config.get("shift", levels.config.get("flow_shift"))
    shift = checks.positive("shift", 1.0 if shift is None else shift)
    content, notes = target.write(result, levels, shift)
    return Export(target.name, content, target.suffix, tuple(notes))
