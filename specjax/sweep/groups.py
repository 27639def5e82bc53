"""Fits that share a compiled program, and what they look up while they are solved.

Fits of one sampler and process differ in numbers only, once their steps are padded to a common S by
idle steps in front, and their spectra to a common number of nodes by nodes of no weight. A group
has one loss and number of starts, too; consecutive groups of one shape are solved together.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from specjax._core.arrays import shared_size
from specjax._core.checks import UserError
from specjax.fitting.fit import restarts_for, tolerance_for
from specjax.fitting.levels import padded
from specjax.fitting.problem import FitShape
from specjax.gaussian.losses import LOSSES
from specjax.gaussian.modes import Modes, modes_of
from specjax.gaussian.task import Objective
from specjax.schedules.families import Family, family
from specjax.schedules.level_range import LevelRange
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr
from specjax.sweep.axes import Sweep
from specjax.sweep.programs import FitIndices, SharedInputs
from specjax.sweep.solve import SolverOptions

_STEP_SECONDS, _COMPILE_SECONDS = 2e-5, 2.0  # of a fit on a CPU core; only their ratio counts
_FAMILY_BYTES = 2**26  # of the families' levels, which all fits of a group share


class Discretization(NamedTuple):
    """S, and where its levels lie."""

    steps: int
    levels: LevelRange


@dataclass(frozen=True)
class FitGroup:
    """The product of some spectra, discretizations and seeds, in this order: fits of one program.

    Attributes:
      shape: what the program is compiled for. objective: sampler, loss and process. options: of
        its descents. spectra: indices into the sweep's effective spectra. discretizations, seeds:
        the other factors. families: what fits are judged beside.
      error: why none of them can be fitted, else None.
    """

    shape: FitShape
    objective: Objective
    options: SolverOptions
    spectra: tuple[int, ...]
    discretizations: tuple[Discretization, ...]
    seeds: tuple[int, ...]
    families: tuple[Family, ...]
    error: str | None

    @property
    def size(self) -> int:
        """The number of fits."""
        return len(self.spectra) * len(self.discretizations) * len(self.seeds)

    def indices(self, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Say which of the sweep's spectra, discretization and seed each of some fits has."""
        factors = (len(self.spectra), len(self.discretizations), len(self.seeds))
        spectrum, discretization, seed = np.unravel_index(fits, factors)
        return np.asarray(self.spectra)[spectrum], discretization, np.asarray(self.seeds)[seed]

    @functools.cached_property
    def calls(self) -> np.ndarray:
        """The calls of the denoiser of each discretization: Heun makes two a step."""
        counted = []
        for steps, within in self.discretizations:
            noisy, clean = alpha_bar_to_logsnr(within.alpha_bar_range)
            first = noisy if np.isfinite(noisy) else min(clean, 0.0) - 9
            levels = np.append(np.linspace(first, min(clean, first + 9), steps + 1)[:-1], clean)
            levels[0] = noisy
            counted.append(self.objective.plan(NoiseSchedule(levels)).calls)
        return np.array(counted)


def groups(sweep: Sweep) -> Iterator[FitGroup]:
    """Yield every group of a sweep, in an order that depends on the sweep alone.

    Discretizations are the outermost loop, so that the levels of families, which depend on nothing
    else, are made once for the groups that follow each other (:func:`_family_levels`).
    """
    objectives = [
        Objective(sampler, loss, process)
        for sampler, process, loss in itertools.product(
            sweep.samplers, sweep.processes, sweep.losses
        )
    ]
    known = tuple(LOSSES.values())
    losses = known if set(sweep.losses) <= set(known) else tuple(sweep.losses)
    tolerance = tolerance_for(np.float64, sweep.tolerance)
    alike = {objective: _alike(sweep, objective) for objective in objectives}
    for steps, discretizations in _padded_alike(sweep, len(objectives)):
        ends_clean = discretizations[0].levels.last_is_free
        for objective in objectives:
            shape = FitShape(objective.sampler, objective.process, losses, steps, ends_clean)
            for (restarts, error), spectra in alike[objective].items():
                options = SolverOptions(restarts, sweep.max_iterations, tolerance)
                yield FitGroup(
                    shape, objective, options, tuple(spectra), tuple(discretizations),
                    tuple(sweep.seeds), tuple(sweep.families), error,
                )  # fmt: skip


def _alike(sweep: Sweep, objective: Objective) -> dict[tuple[int, str | None], list[int]]:
    """Sort the spectra by the number of restarts, and by why a loss cannot take them."""
    found: dict[tuple[int, str | None], list[int]] = {}
    for i, spectrum in enumerate(sweep.effective_spectra):
        restarts, error = 1, None
        try:
            restarts = restarts_for(spectrum.task(objective).modes, sweep.restarts)
        except UserError as problem:
            error = str(problem)
        found.setdefault((restarts, error), []).append(i)
    return found


def _padded_alike(sweep: Sweep, objectives: int) -> Iterator[tuple[int, list[Discretization]]]:
    """Yield discretizations that share a program, and the S that they are padded to.

    An S is padded to a larger one where the idle steps of all its fits cost less time than another
    compilation. A noise-free end takes another program than a noisy one. Many discretizations are
    cut into pieces, which keeps the levels of the families small.
    """
    fits = sweep.size // len(sweep.steps) // objectives  # of each S and objective
    padded_to, current = {}, 0
    for steps in sorted(sweep.steps, reverse=True):
        if not current or fits * (current - steps) * _STEP_SECONDS > _COMPILE_SECONDS:
            current = shared_size(steps)
        padded_to[steps] = current
    sharing: dict[tuple[int, bool], list[Discretization]] = {}
    for own, ends in sorted(itertools.product(sweep.steps, sweep.alpha_bar_ranges)):
        made = Discretization(own, LevelRange(ends, sweep.grid))
        key = padded_to[own], ends[1] == 1
        sharing.setdefault(key, []).append(made)
    for (steps, _), discretizations in sharing.items():
        most = max(1, _FAMILY_BYTES // (8 * len(sweep.families) * (steps + 1)))
        for first in range(0, len(discretizations), most):
            yield steps, discretizations[first : first + most]


Quadratures = Mapping[tuple[int, bool], Modes]
"""Nodes by the index of the effective spectrum, and whether weights are in units of the data."""


def quadratures(sweep: Sweep) -> Quadratures:
    """Compute the nodes of all spectra, float64 and all of one length."""
    made = {
        (i, unit): modes_of(
            one.spectrum, denoiser_error=one.denoiser_error, in_data_units=unit
        ).quadrature(sweep.nodes)
        for i, one in enumerate(sweep.effective_spectra)
        for unit in {loss.in_data_units for loss in sweep.losses}
    }
    longest = max(modes.dimension for modes in made.values())
    errs = bool(sweep.denoiser_error)
    return {key: _padded_nodes(modes, longest, errs) for key, modes in made.items()}


def _padded_nodes(modes: Modes, count: int, errs: bool) -> Modes:
    """Append nodes of no weight; all modes have a denoiser's error, or none, to be stacked."""
    columns = modes.columns
    extra = count - modes.dimension
    lam = np.append(columns[0], np.full(extra, columns[0].max()))
    rest = np.pad(columns[1:], ((0, 0), (0, extra)))
    error = np.asarray(modes.denoiser_error or 0.0, np.float64) if errs else None
    return Modes(lam, *rest, denoiser_error=error)  # type: ignore[misc]


class Pool(NamedTuple):
    """Fits that are solved together: of groups of one shape with the same discretizations.

    Attributes:
      shape, options: of all of them.
      shared, fits: what the solver takes.
    """

    shape: FitShape
    options: SolverOptions
    shared: SharedInputs
    fits: FitIndices


def pool(wanted: Sequence[tuple[FitGroup, np.ndarray]], nodes: Quadratures) -> Pool:
    """Build the tables that some fits of groups of one shape look up, and their indices."""
    first = wanted[0][0]
    row_of: dict[tuple[int, bool], int] = {}
    columns = []
    for group, fits in wanted:
        spectrum, discretization, seed = group.indices(fits)
        unit = group.objective.loss.in_data_units
        rows = {i: row_of.setdefault((i, unit), len(row_of)) for i in np.unique(spectrum).tolist()}
        loss = group.shape.losses.index(group.objective.loss)
        columns.append(
            FitIndices(
                np.array([rows[i] for i in spectrum.tolist()]),
                discretization,
                np.full(len(fits), loss),
                seed,
                np.full(len(fits), group.options.restarts),
            )
        )
    grids = first.discretizations
    shared = SharedInputs(
        nodes=jax.tree.map(lambda *x: np.stack(x), *(nodes[key] for key in row_of)),
        ends=np.stack([one.levels.ends for one in grids]),
        idle=np.array([first.shape.steps - one.steps for one in grids]),
        families=_family_levels(first.families, grids, first.shape.steps),
    )
    together = FitIndices(*(np.concatenate(x) for x in zip(*columns, strict=True)))
    return Pool(first.shape, first.options, shared, together)


@functools.lru_cache(maxsize=1)  # at most _FAMILY_BYTES
def _family_levels(
    families: Sequence[Family], discretizations: Sequence[Discretization], steps: int
) -> np.ndarray:
    """Make the padded levels [c, F, S + 1]; NaN where a family has no level within the ends."""

    def levels(one: Family, own: int, within: LevelRange) -> np.ndarray:
        try:
            pinned = family(one, own, alpha_bar_range=within.alpha_bar_range)
            made = np.asarray(within.clip(pinned).logsnr)
        except UserError:
            made = np.full(own + 1, np.nan)
        return padded(made, steps - own)

    return np.array([[levels(one, *grid) for one in families] for grid in discretizations])


@dataclass(frozen=True)
class Block:
    """Consecutive fits of a group: the rows of one file.

    Attributes:
      number: of the block in the sweep. first: of its fits in the group. size: how many.
    """

    number: int
    group: FitGroup
    first: int
    size: int

    @property
    def fits(self) -> np.ndarray:
        """Their numbers in the group."""
        return np.arange(self.first, self.first + self.size)


def blocks(sweep: Sweep, rows: int) -> list[Block]:
    """Cut all groups into blocks of at most that many rows."""
    made: list[Block] = []
    for group in groups(sweep):
        for first in range(0, group.size, rows):
            made.append(Block(len(made), group, first, min(rows, group.size - first)))
    return made
