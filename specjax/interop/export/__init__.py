"""Schedules in the forms that other software reads.

:func:`export` makes the text (or bytes) and writes no file. To add a target, write a function
``Request -> (content, remarks)`` and name it in TARGETS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from specjax._core import checks
from specjax.fitting.learned import LearnedResult
from specjax.interop.export import diffusers, plain, plans, sigma_lists
from specjax.interop.export.form import Request, Written
from specjax.schedules.grids import TrainingGrid, check_grid
from specjax.schedules.schedule import NoiseSchedule

__all__ = ["TARGETS", "Export", "Target", "export"]


class Target(NamedTuple):
    """A row of the table: what writes it, the usual ending of its file, a line.

    ``write_plan`` writes the rows of a plan; without it, a target takes levels alone.
    """

    write: Callable[[Request], Written]
    suffix: str
    summary: str
    write_plan: Callable[[LearnedResult], Written] | None = None


TARGETS = {
    "diffusers": Target(diffusers.write, ".json", "sigmas, timesteps and flow sigmas, as JSON"),
    "k-diffusion": Target(sigma_lists.write_k_diffusion, ".json", "sigmas and the sample_* to run"),
    "comfyui": Target(sigma_lists.write_comfyui, ".txt", "the text of a ManualSigmas node"),
    "csv": Target(plain.write_csv, ".csv", "a row per level", plans.write_csv),
    "npz": Target(plain.write_npz, ".npz", "NumPy arrays without pickle", plans.write_npz),
    "json": Target(plain.write_json, ".json", "plain lists", plans.write_json),
}


@dataclass(frozen=True)
class Export:
    """A schedule in another program's form.

    Attributes:
      target: a name in :data:`TARGETS`.
      content: the text of the file; bytes for "npz".
      suffix: the usual ending of its name.
      notes: one-line remarks: levels that were clipped, a sampler without a counterpart, ...
    """

    target: str
    content: str | bytes
    suffix: str
    notes: tuple[str, ...]


def export(
    schedule: LearnedResult | NoiseSchedule,
    target: str,
    *,
    grid: str | TrainingGrid | None = "ddpm",
    shift: float = 1.0,
) -> Export:
    """A schedule in the form of another program.

    Args:
      schedule: a fit's result, or a bare schedule (without sampler, and so without losses); a
        plan goes with its rows, in the plain forms ("csv", "npz", "json").
      target: a name in :data:`TARGETS`.
      grid: the noise levels that the network was trained on: a name in
        :data:`specjax.schedules.grids.GRIDS`, one's own, or None for a network of continuous level.
        Sigmas outside its range are clipped (a network's timestep stops at its ends), and a
        remark says so; plain forms keep the levels.
      shift: the flow-matching shift that the other program applies ("diffusers").

    Returns:
      An :class:`Export`. Lists have S + 1 levels ("steps" counts intervals) unless the target
      adds the noise-free end itself.

    Raises:
      ValueError: for an unknown target or grid, a schedule outside the grid, for "diffusers"
        one of more steps than the grid has levels, or a plan with corrections where their target
        takes levels alone.

    Example:
      >>> export(NoiseSchedule.from_sigmas([14.6, 1.0, 0.001, 0.0]), "comfyui", grid=None).content
      '14.6, 1.0, 0.001, 0.0\\n'
    """
    row = TARGETS[checks.one_of("target", target, TARGETS)]
    if isinstance(schedule, LearnedResult) and schedule.corrections is not None:
        content, notes = _write_plan(row, target, schedule)
        return Export(target, content, row.suffix, tuple(notes))
    request = Request(
        schedule if isinstance(schedule, NoiseSchedule) else schedule.schedule,
        None if isinstance(schedule, NoiseSchedule) else schedule,
        None if grid is None else check_grid(grid),
        checks.positive("shift", shift),
    )
    content, notes = row.write(request)
    return Export(target, content, row.suffix, tuple(notes))


def _write_plan(row: Target, target: str, plan: LearnedResult) -> Written:
    if row.write_plan is None:
        forms = ", ".join(name for name, one in TARGETS.items() if one.write_plan)
        raise ValueError(
            f"target = {target!r}: takes levels alone, which without the plan's coefficients are "
            f"another sampler; run the plan by specjax.interop (docs/plans.md), or give {forms}"
        )
    return row.write_plan(plan)
