"""The calls of specjax that experiments share: schedules, probes, networks and features.

All schedules run between the same two ends.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import specjax as sx
from specjax.learning.teacher import fine_plan as _fine_plan
from specjax.schedules.level_range import LevelRange

ENDS = (4.0358e-5, 1.0)
HEURISTICS = ("cosine", "linear", "sigmoid", "karras", "uniform_logsnr", "align_your_steps")


def heuristic(name: str, steps: int) -> sx.NoiseSchedule:
    """Make a schedule of a family, pinned to the two ends."""
    return sx.family(name, steps, alpha_bar_range=ENDS)


def spectral(spectrum: sx.Spectrum, steps: int, loss: str = "w2") -> sx.NoiseSchedule:
    """Make the closed-form schedule of a spectrum."""
    return sx.spectral(spectrum, steps, loss=loss, alpha_bar_range=ENDS)


def fit(
    spectrum: sx.Spectrum, steps: int, sampler: str, loss: str = "w2", **task: Any
) -> sx.FitResult:
    """Learn a schedule, for a denoiser without errors unless ``denoiser_error`` is given."""
    task = {"denoiser_error": 0.0, **task}
    return sx.fit(spectrum, steps, sampler=sampler, loss=loss, alpha_bar_range=ENDS, **task)


def fine_plan(prior: Any, steps: int) -> sx.SamplerPlan:
    """Make the fine solution that judges, that of the teacher, which is of third order.

    When the committed results were made it was that of DPM-Solver++(2M).
    """
    return _fine_plan(prior, steps, LevelRange(ENDS))


def learned_plan(result: sx.PlanResult) -> sx.SamplerPlan:
    """Give the plan of a learned result, in VP."""
    return result.plan_in("vp")


def train(
    data: sx.data.Dataset, folder: Path, *, width: int, updates: int,
    model: dict[str, Any] | None = None, optimiser: dict[str, Any] | None = None, **options: Any,
) -> sx.nn.Run:  # fmt: skip
    """Open the network in a folder, or train it as ``specjax train`` does.

    Args:
      width, updates: of the network and its training. model, optimiser: more options of theirs.
      options: other fields of :class:`specjax.nn.TrainConfig`.
    """
    default = sx.nn.TrainConfig()
    config = replace(
        default,
        model=replace(default.model, width=width, **(model or {})),
        optimiser=replace(default.optimiser, updates=updates, **(optimiser or {})),
        keeping=replace(default.keeping, samples_every=0),
        **options,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    return sx.nn.train(data, folder, config, progress=lambda done, most, text: None)


def digits_network(work: Path, width: int, updates: int) -> sx.nn.Run:
    """Open or train the network on the digits that several experiments share."""
    return train(sx.data.open("digits"), work / "network", width=width, updates=updates)


def features(data: sx.data.Dataset, path: Path, updates: int) -> Any:
    """Open the features of a classifier in a file, or train it on labelled data."""
    from specjax.evaluate.classifier_features import open_features, save_features
    from specjax.evaluate.classifier_training import TrainOptions, train_features

    if not path.exists():
        options = TrainOptions(updates=updates)
        save_features(path, train_features(data, sx.data.collect(data), options))
    return open_features(path)


def rounded(values: Any, digits: int = 5) -> list[float]:
    """Round numbers as they are written."""
    return [round(float(x), digits) for x in np.asarray(values)]
