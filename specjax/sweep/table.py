"""A row a fit: the columns of a sweep's table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

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


class FittedBlock(NamedTuple):
    """The fits of a block; without outputs, ``error`` says why there are none."""

    block: Block
    outputs: FitOutputs | None
    seconds: np.ndarray
    error: str | None

    @property
    def retry(self) -> bool:
        """Whether another machine may do better."""
        return self.error is not None and self.block.group.error is None


class SweepTable:
    """Makes the rows of blocks, with what the table says of the spectra of a sweep."""

    def __init__(self, sweep: Sweep) -> None:
        self.nodes = sweep.nodes
        known = sweep.effective_spectra
        columns = {
            "spectrum": [one.name for one in known],
            "dimension": [one.spectrum.dimension for one in known],
            "exponent": [_exponent(one.spectrum) for one in known],
            "fingerprint": [one.spectrum.fingerprint for one in known],
        }
        if sweep.has_noise:
            noises = [noise_columns(one.spectrum.noise) for one in known]
            names, parameters = zip(*noises, strict=True)
            columns |= {"noise": list(names), "noise_parameters": list(parameters)}
        if sweep.denoiser_error:
            columns["denoiser_error"] = [one.denoiser_error for one in known]
        self._of_spectra = {name: np.array(values) for name, values in columns.items()}

    def rows(self, fitted: FittedBlock) -> pa.Table:
        """Make the rows of a block."""
        import pyarrow as pa

        block, group = fitted.block, fitted.block.group
        fits = group.indices(block.fits)
        spectra = np.asarray(group.spectra)[fits.spectrum]
        steps = np.array([one.steps for one in group.discretizations])[fits.discretization]
        ends = np.array([one.alpha_bar_range for one in group.discretizations])
        same_for_all = {
            "sampler": group.objective.sampler.name,
            "sampler_options": options_json(group.objective.sampler),
            "loss": group.objective.loss.name,
            "process": group.objective.process,
            "restarts": group.options.restarts,
            "nodes": self.nodes,
        }
        repeated = {name: np.repeat(value, block.size) for name, value in same_for_all.items()}
        columns: dict[str, Any] = {
            **{name: values[spectra] for name, values in self._of_spectra.items()},
            "steps": steps,
            **{x: repeated[x] for x in ("sampler", "sampler_options", "loss", "process")},
            "alpha_bar_noisy": ends[fits.discretization, 0],
            "alpha_bar_clean": ends[fits.discretization, 1],
            "seed": fits.seed,
            "restarts": repeated["restarts"],
            "nodes": repeated["nodes"],
            "calls": group.calls[fits.discretization],
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
