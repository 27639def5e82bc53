"""A row a fit: the columns of a sweep's table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from specjax._core.checks import UserError
from specjax.spectra.power_law import power_law_fit
from specjax.spectra.spectrum import Spectrum
from specjax.sweep.axes import Sweep, options_json
from specjax.sweep.groups import Block
from specjax.sweep.noises import noise_columns
from specjax.sweep.solve import FitOutputs

if TYPE_CHECKING:
    import pyarrow as pa


class FittedBlock:
    """A block whose fits come in by and by: those of a batch, and later its stragglers.

    Attributes:
      outputs: of all its fits, None where there are none; then ``error`` says why. seconds: of each
        fit. missing: how many fits are not in yet.
    """

    def __init__(self, block: Block) -> None:
        self.block, self.missing = block, block.size
        self.seconds = np.zeros(block.size)
        self.outputs: Any = None
        self.error: str | None = None

    def add(self, fits: np.ndarray, outputs: FitOutputs, seconds: np.ndarray) -> None:
        """Put the outputs of some fits of the group into their rows."""
        rows = fits - self.block.first
        if self.outputs is None:
            self.outputs = jax.tree.map(
                lambda x: np.zeros((self.block.size, *x.shape[1:]), x.dtype), outputs
            )
        for column, some in zip(self.outputs, outputs, strict=True):
            column[rows] = some
        self.seconds[rows] = seconds
        self.missing -= rows.size

    @property
    def retry(self) -> bool:
        """Tell whether another machine may do better."""
        return self.error is not None and self.block.group.error is None


def spectrum_columns(sweep: Sweep) -> dict[str, np.ndarray]:
    """Make the columns of the effective spectra of a sweep, one row each."""
    known = sweep.effective_spectra
    columns: dict[str, Any] = {
        "spectrum": [one.name for one in known],
        "dimension": [one.spectrum.dimension for one in known],
        "exponent": [_exponent(one.spectrum) for one in known],
        "fingerprint": [one.spectrum.fingerprint for one in known],
    }
    if sweep.has_noise:
        noises = [noise_columns(one.spectrum.noise) for one in known]
        columns["noise"], columns["noise_parameters"] = zip(*noises, strict=True)
    if sweep.denoiser_error:
        columns["denoiser_error"] = [one.denoiser_error for one in known]
    return {name: np.array(values) for name, values in columns.items()}


def block_table(fitted: FittedBlock, spectra: dict[str, np.ndarray], nodes: int) -> pa.Table:
    """Make the rows of a block, with the columns of :func:`spectrum_columns`."""
    import pyarrow as pa

    block, group = fitted.block, fitted.block.group
    row, discretization, seed = group.indices(block.fits)
    steps = np.array([one.steps for one in group.discretizations])[discretization]
    every = np.array([one.levels.alpha_bar_range for one in group.discretizations])
    ends = every[discretization]
    sampler, loss, process = group.objective

    def same(value: Any) -> np.ndarray:
        return np.repeat(value, block.size)

    columns: dict[str, Any] = {
        **{name: values[row] for name, values in spectra.items()},
        "steps": steps,
        "sampler": same(sampler.name),
        "sampler_options": same(options_json(sampler)),
        "loss": same(loss.name),
        "process": same(process),
        "alpha_bar_noisy": ends[:, 0],
        "alpha_bar_clean": ends[:, 1],
        "seed": seed,
        "restarts": same(group.options.restarts),
        "nodes": same(nodes),
        "calls": group.calls[discretization],
        **_losses(fitted),
        "seconds": fitted.seconds,
        "error": pa.array([fitted.error] * block.size, pa.string()),
        "logsnr": _levels(fitted.outputs, steps),
    }
    return pa.table(columns)


def _exponent(spectrum: Spectrum) -> float:
    """Fit a power law; NaN where there are too few eigenvalues for one."""
    try:
        return power_law_fit(spectrum).exponent
    except UserError:
        return math.nan


def _losses(fitted: FittedBlock) -> dict[str, Any]:
    """Make the columns of losses and flags; NaN and False where nothing was fitted."""
    import pyarrow as pa

    size, group, outputs = fitted.block.size, fitted.block.group, fitted.outputs
    families = [family.name for family in group.families]
    if outputs is None:
        value = slope = np.full(size, np.nan)
        heuristics, iterations = np.full((size, 1 + len(families)), np.nan), np.zeros(size)
    else:
        value, slope = outputs.value, outputs.slope
        heuristics, iterations = outputs.heuristics, outputs.iterations
    # Families do not look at the data; the closed form of the spectrum, the first, does.
    of_families = np.where(np.isnan(heuristics[:, 1:]), np.inf, heuristics[:, 1:])
    best = of_families.argmin(1)
    best_value = heuristics[np.arange(size), 1 + best]
    finite = np.isfinite(value)
    names = ("spectral", *families)
    return {
        "value": value,
        "finite": finite,
        "converged": finite & (slope <= group.options.tolerance),
        "iterations": iterations.astype(np.int64),
        "slope": slope,
        "best_heuristic": pa.array(
            np.array(families)[best], pa.string(), mask=np.isnan(best_value)
        ),
        "best_heuristic_value": best_value,
        **{f"heuristic_{x}": losses for x, losses in zip(names, heuristics.T, strict=True)},
    }


def _levels(outputs: FitOutputs | None, steps: np.ndarray) -> pa.Array:
    """Make lists of the schedules, without the idle levels in front."""
    import pyarrow as pa

    if outputs is None:
        return pa.array([None] * len(steps), pa.list_(pa.float64()))
    width = outputs.levels.shape[1]
    kept = np.arange(width) >= width - (steps + 1)[:, None]
    offsets = np.concatenate([[0], np.cumsum(steps + 1)]).astype(np.int32)
    flat = np.ascontiguousarray(outputs.levels[kept], np.float64)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
