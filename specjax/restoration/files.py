"""The file of a learned posterior sampler: what it was learned for, its parameters and its rows.

From the spectrum, the measurement and the options the problem is made again, and from that and the
parameters the result; the rows in the file run anywhere, and must be the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.files.kinds import (
    KINDS,
    Arrays,
    Header,
    Kind,
    check_rows,
    grid_field,
    grid_in,
    inside,
    rows_of,
    within,
)
from specjax.files.schema import check_fields, finite
from specjax.restoration.fit import PosteriorResult, problem_of
from specjax.restoration.measure import downsample
from specjax.restoration.measurement import Diagonal, Downsample, Measurement
from specjax.restoration.methods import METHODS
from specjax.sampling.samplers import SAMPLERS, sampler_of
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum

_DOMAINS = ("samples", "fourier", "basis")


@dataclass(frozen=True)
class _Learned:
    """The fields of a header that are plain values."""

    method: str
    knob: float
    jacobian: bool
    sampler: str
    process: str
    loss: Mapping[str, float]
    alpha_bar_range: tuple[float, float]
    denoiser_error: float
    cells: int | None
    converged: bool
    seconds: float


@dataclass(frozen=True)
class _Measured:
    """The fields of a measurement that are plain values."""

    name: str
    sigma: float
    shape: tuple[int, ...] | None
    spatial: int


def encode(result: PosteriorResult) -> tuple[Header, Mapping[str, Any]]:
    """Write down a result.

    Raises:
      UserError: for a measurement by functions, and a method or sampler that is none of specjax's.
    """
    problem, plan, method = result.problem, result.plan, result.method
    known = METHODS.get(method.name)
    if known is None or known(knob=method.knob, jacobian=method.jacobian) != method:
        raise UserError(f"method = {method.name}: it is none in METHODS, which files can name")
    if result.sampler not in SAMPLERS:
        raise UserError(f"sampler = {result.sampler}: it is none in SAMPLERS, which files can name")
    spectrum, of_spectrum = KINDS["spectrum"].encode(problem.spectrum)
    measurement, of_measurement = _encode_measurement(result.measurement)
    header = {
        "learned": {
            "method": method.name, "knob": method.knob, "jacobian": method.jacobian,
            "sampler": result.sampler, "sampler_options": result.sampler_options,
            "process": result.process, "loss": result.loss,
            "alpha_bar_range": problem.levels.alpha_bar_range,
            "denoiser_error": problem.denoiser_error, "cells": problem.cells,
            "converged": result.converged, "seconds": result.seconds,
        },
        "value": result.value, "parts": result.parts, "analysis": result.analysis,
        "plan": {"calls": plan.calls, "registers": plan.registers,
                 "stochastic": bool(plan.stochastic)},
        "spectrum": spectrum, "measurement": measurement,
        **grid_field(problem.levels.grid),
    }  # fmt: skip
    given = problem.inputs.logsnr
    return header, {
        "logsnr": result.schedule.logsnr, "weights": result.weights, "theta": result.theta,
        "history": result.history, **({} if given is None else {"given": given}),
        **within("rows", rows_of(plan)), **within("spectrum", of_spectrum),
        **within("measurement", of_measurement),
    }  # fmt: skip


def decode(header: Header, arrays: Arrays) -> PosteriorResult:
    """Make the result of a file again."""
    check_fields(_Learned, header["learned"])
    learned = dict(header["learned"])
    about = {name: learned.pop(name) for name in ("converged", "seconds")}
    method = METHODS[checks.one_of("method", learned.pop("method"), METHODS)]
    method = method(knob=learned.pop("knob"), jacobian=learned.pop("jacobian"))
    sampler = sampler_of(learned.pop("sampler"), **learned.pop("sampler_options"))
    spectrum = KINDS["spectrum"].decode(header["spectrum"], inside("spectrum", arrays))
    measurement = _decode_measurement(header["measurement"], inside("measurement", arrays))
    given, levels = arrays.get("given"), NoiseSchedule(arrays["logsnr"])
    problem = problem_of(
        spectrum, measurement, levels.steps, method=method, sampler=sampler, grid=grid_in(header),
        schedule=None if given is None else NoiseSchedule(given), **learned,
    )  # fmt: skip
    theta = finite("theta", arrays["theta"])
    result = problem.result(theta, history=arrays["history"], **about)
    check_rows(result.plan, inside("rows", arrays), header["plan"])
    return result


def _encode_measurement(measurement: Measurement) -> tuple[Header, Arrays]:
    if not isinstance(measurement, Diagonal | Downsample):
        raise UserError(
            f"measurement = {measurement.name}: its functions cannot be written to a file; give "
            "one of the others in specjax.measure"
        )
    header: Header = {
        "name": measurement.name, "sigma": float(measurement.sigma), "shape": measurement.shape,
        "spatial": measurement.spatial,
    }  # fmt: skip
    if isinstance(measurement, Downsample):
        return {**header, "factor": measurement.factor}, {}
    header["domain"] = measurement.domain
    arrays: Arrays = {"multipliers": np.asarray(measurement.multipliers)}
    if measurement.basis is not None:
        ones = Spectrum(np.ones(arrays["multipliers"].size), basis=measurement.basis)
        header["basis"], of_basis = KINDS["spectrum"].encode(ones)
        arrays |= within("basis", of_basis)
    return header, arrays


def _decode_measurement(header: Header, arrays: Arrays) -> Measurement:
    check_fields(_Measured, header)
    sigma = checks.not_negative("sigma", header["sigma"])
    shape: Any = None if header["shape"] is None else tuple(header["shape"])
    if "factor" in header:
        return downsample(header["factor"], shape, sigma=sigma, spatial=header["spatial"])
    h = arrays["multipliers"]
    if h.dtype.kind not in "fiuc" or not np.isfinite(h).all():
        raise ValueError("multipliers has values that are no finite numbers")
    domain = checks.one_of("domain", header["domain"], _DOMAINS)
    made = Diagonal(h, sigma, header["name"], domain, shape, header["spatial"])
    if "basis" not in header:
        return made
    of_basis = KINDS["spectrum"].decode(header["basis"], inside("basis", arrays))
    return replace(made, basis=of_basis.basis)


KIND = Kind(PosteriorResult, 1, "npz", encode, decode)
"""The row of :mod:`specjax.files.kinds` for learned posterior samplers."""
