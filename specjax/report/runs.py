"""The sentences of ``specjax train``, ``train-features`` and ``sample``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from specjax.files.forward_noise import ISOTROPIC
from specjax.report.table import report_console
from specjax.report.words import at_step

if TYPE_CHECKING:
    from specjax.evaluate.classifier_features import ClassifierFeatures
    from specjax.nn.config import TrainConfig
    from specjax.nn.run import Run


def training_facts(run: Run, folder: str, config: TrainConfig) -> dict[str, Any]:
    """Give where a training ended, and which share of a step's time each loss term took."""
    from specjax.nn.monitor import read_metrics, term_shares

    lines, weights = read_metrics(run.folder), config.loss.weights
    shares = term_shares(lines, config.loss)
    return {
        "run": folder,
        "updates": config.optimiser.updates,
        "best_step": run.step,
        "validation_loss": {x["step"]: x.get("validation_loss") for x in lines}.get(run.step),
        "noise": ISOTROPIC if run.noise is None else run.noise.name,
        "terms": {
            name: {"weight": weights[name], "share_of_step_time": shares[name]} for name in weights
        },
    }


def print_training(facts: Mapping[str, Any]) -> None:
    """Print what :func:`training_facts` gives."""
    under = "" if facts["noise"] == ISOTROPIC else f" under {facts['noise']} noise"
    report_console().print(
        f"trained {facts['updates']:,} updates{under}, best at step {facts['best_step']:,} "
        f"(validation loss {_known(facts['validation_loss'], '.4g')}): {facts['run']}"
    )
    if facts["terms"]:
        shares = {name: term["share_of_step_time"] for name, term in facts["terms"].items()}
        shown = (f"{name} {_known(share, '.2%')}" for name, share in shares.items())
        report_console().print(
            f"share of a step's time that each loss term took: {', '.join(shown)}"
        )


def _known(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def print_features(features: ClassifierFeatures, written: str) -> None:
    """Print how well a classifier does on held-out samples, and its file."""
    source = features.source
    report_console().print(
        f"{source['accuracy']:.2%} of {source['held_out']:,} held-out samples are classified "
        f"correctly ({len(features.classes)} classes, learned from {source['learned_from']:,})"
    )
    report_console().print(f"wrote {written}, which gives the {features.distance_name}")


def print_samples(facts: Mapping[str, Any], seconds: float, written: str) -> None:
    """Print what made samples, how long it took, and their file."""
    options = ", ".join(f"{k} = {v}" for k, v in facts["sampler_options"].items())
    noise, rate = facts["noise"], facts["n"] / max(seconds, 1e-9)
    digits = max(0, 1 - math.floor(math.log10(rate)))
    report_console().print(
        f"{facts['n']:,} samples of {facts['run']}{at_step(facts['step'])}: "
        f"{facts['sampler']}{f' ({options})' if options else ''}"
        f"{' corrected' if facts.get('corrections') else ''}, {facts['process']}, "
        f"{facts['calls']} calls along {facts['schedule']}, "
        f"{noise['name'] + ' noise, ' if noise else ''}seed {facts['seed']}; "
        f"{seconds:.1f} s, {rate:,.{digits}f} samples a second with compilation"
    )
    report_console().print(f"wrote {written}")
