"""The document of a schedule file: levels, and the fit that they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from specjax.files.documents import finite, levels_document, numbers, or_nan, plain
from specjax.files.noise_file import noise_field, noise_in
from specjax.fitting.learned import LearnedResult
from specjax.noise.noise_spectrum import anisotropic
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.response import Measured
from specjax.spectra.spectrum import Spectrum

FORMAT = "specjax.schedule"
VERSION = 4
"""2 has nodes with a measured denoiser, 3 a noise, 4 a denoiser's error; a fit without any is still
written as 1."""


def schedule_document(value: LearnedResult | NoiseSchedule) -> dict[str, Any]:
    """The document of a fit or of bare levels."""
    if isinstance(value, LearnedResult):
        return _result_document(value)
    return levels_document(FORMAT, 1, value)


def schedule_of(
    document: Mapping[str, Any], path: Any = "the file"
) -> LearnedResult | NoiseSchedule:
    """What a document holds; ``path`` is named in errors."""
    schedule = NoiseSchedule(np.array(document["logsnr"], np.float64))
    return schedule if "fit" not in document else _result_of(schedule, document, path)


def _result_document(result: LearnedResult) -> dict[str, Any]:
    nodes = result.nodes
    names = ("eigenvalues", "mean", "weights", "mean_weights")
    fit = {
        "sampler": result.sampler,
        "sampler_options": plain(result.sampler_options),
        "process": result.process,
        "alpha_bar_range": list(result.alpha_bar_range),
        "loss": result.loss,
        "value": finite(result.value if result.finite else np.nan),
        "node_value": finite(result.node_value),
        "converged": result.converged,
        "iterations": result.iterations,
        "seed": int(result.seed),
        "seconds": round(float(result.seconds), 6),
        "baselines": finite(result.baselines),
    }
    document = {
        **levels_document(FORMAT, 1, result.schedule),
        "fit": fit,
        "data": plain(result.source),
        "spectrum_nodes": {name: numbers(getattr(nodes, name)) for name in names},
    }
    if nodes.denoiser is not None:
        document["format_version"] = 2
        document["spectrum_nodes"]["denoiser"] = {
            one.name: np.asarray(getattr(nodes.denoiser, one.name), np.float64).tolist()
            for one in dataclasses.fields(nodes.denoiser)
        }
    noise = anisotropic(result.noise)
    if noise is not None:
        document |= {"format_version": 3, **noise_field(noise)}
    if nodes.denoiser_error is not None:
        document["format_version"] = VERSION
        document["spectrum_nodes"]["denoiser_error"] = float(nodes.denoiser_error)
    return document


def _result_of(schedule: NoiseSchedule, document: Mapping[str, Any], path: Any) -> LearnedResult:
    fit = document["fit"]
    return LearnedResult(
        schedule=schedule,
        value=or_nan(fit["value"]),
        converged=fit["converged"],
        finite=fit["value"] is not None,
        history=np.full(fit["iterations"] + 1, np.nan),
        sampler=fit["sampler"],
        sampler_options=fit["sampler_options"],
        loss=fit["loss"],
        process=fit["process"],
        alpha_bar_range=tuple(fit["alpha_bar_range"]),
        nodes=_nodes_of(document["spectrum_nodes"]),
        node_value=or_nan(fit["node_value"]),
        baselines={name: or_nan(x) for name, x in fit["baselines"].items()},
        source=document["data"],
        noise=noise_in(document, path),
        seed=fit["seed"],
        seconds=fit["seconds"],
    )


def _nodes_of(columns: Mapping[str, Any]) -> Spectrum:
    known: dict[str, Any] = dict(columns)
    if "denoiser" in known:
        parts = {name: np.array(x, np.float64) for name, x in known["denoiser"].items()}
        known["denoiser"] = Measured(**parts)
    part = known.pop("denoiser_error", 0.0)
    return Spectrum(**known).with_denoiser_error(part)
