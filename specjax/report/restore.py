"""The tables of ``specjax restore``: a learned posterior sampler beside its rivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjax.files import numbers, plain
from specjax.report.table import Block, Column, Table, print_blocks
from specjax.report.words import count, wrote
from specjax.restoration.fit import ANALYSES, PosteriorResult
from specjax.restoration.posterior import RESTORATION_LOSSES


def posterior_title(result: PosteriorResult) -> str:
    """Say in a line what was learned."""
    measured = f"{result.measurement.name}, noise {float(result.measurement.sigma):g}"
    steps = count(result.steps, "step")
    return f"{result.method.name} with learned weights, {steps} of {result.sampler}: {measured}"


def posterior_json(result: PosteriorResult) -> dict[str, Any]:
    """Give a learned posterior sampler for machines."""
    return {
        "method": result.method.name,
        "knob": result.method.knob,
        "jacobian": result.method.jacobian,
        "measurement": result.measurement.name,
        "noise": float(result.measurement.sigma),
        "sampler": result.sampler,
        "sampler_options": plain(result.sampler_options),
        "process": result.process,
        "logsnr": numbers(result.schedule.logsnr),
        "weights": numbers(result.weights),
        "losses": plain(result.parts),
        "value": result.value,
        "analysis": result.analysis,
        "baselines": plain(result.baselines),
        "seconds": round(result.seconds, 3),
    }


def posterior_columns(result: PosteriorResult) -> dict[str, Any]:
    """Return a row for each call."""
    return {
        "call": list(range(len(result.weights))),
        "alpha": np.asarray(result.plan.alpha).tolist(),
        "sigma": np.asarray(result.plan.sigma).tolist(),
        "weight": result.weights.tolist(),
        "steer": np.asarray(result.plan.steer)[:, 0].tolist(),
    }


def posterior_lines(result: PosteriorResult) -> list[str]:
    """Say what was learned in a few lines, without rivals, which take a second."""
    losses = ", ".join(f"{name} {value:.4g}" for name, value in result.parts.items())
    return [posterior_title(result), losses]


def posterior_blocks(result: PosteriorResult, written: Sequence[str] = ()) -> list[Block]:
    """Report the losses of a learned sampler and of its rivals on Gaussian data."""
    rows: list[list[object]] = [["learned", *result.parts.values()]]
    for name, rival in result.rivals.items():
        told = f", {rival.levels} levels" if rival.levels else ""
        knob = f"knob {rival.method.knob:.3g}" if name == "constant" and rival.method else ""
        what = f" ({knob}{told})" if knob else ""
        rows.append([name + what, *rival.parts.values()])
    heads = [Column("sampler"), *(Column(name, "{:.4g}", align="right") for name in result.parts)]
    notes = [f"{name}: {text}" for name, text in RESTORATION_LOSSES.items()]
    notes.append(f"They are {ANALYSES[result.analysis]}.")
    return [Table(posterior_title(result), heads, rows), *notes, *wrote(written)]


def print_posterior(result: PosteriorResult, written: Sequence[str] = ()) -> None:
    """Print :func:`posterior_blocks`."""
    print_blocks(posterior_blocks(result, written))
