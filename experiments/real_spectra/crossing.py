"""What the schedule of one spectrum, or a heuristic, costs on the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.real_spectra.config import Config, Regime
from experiments.real_spectra.halves import half_error
from experiments.real_spectra.schedules import cost, families, levels_of
from experiments.real_spectra.spectra import Subject


def crossed(
    subjects: list[Subject], found: list[dict[str, Any]], regime: Regime, config: Config
) -> dict[str, Any]:
    """Ratios of losses to the optimum of the spectrum that judges, with standard errors.

    Args:
      subjects, found: the spectra, and what was learned on them, in the same order.

    Returns:
      "rows": names, of the spectra and of the heuristics; "ratio" and "error" [rows, spectra]. A
      spectrum's own ratio is 1 by construction: "held_out" [spectra] is what is learned on a half
      costs on the other half, with its error.
    """
    learned = [one["regimes"][str(regime)] for one in found]
    names = [x.title for x in subjects]
    ratio = _matrix([x.spectrum() for x in subjects], learned, regime, config, None)
    halves = [
        _matrix([x.half(k, side) for x in subjects], learned, regime, config, (k, side))
        for k in range(config.splits)
        for side in (0, 1)
    ]
    held_out = np.array([np.ravel(one["halves"]["held_out"]) for one in learned])
    return {
        "rows": [*names, *families(regime.steps)],
        "ratio": ratio.tolist(),
        "error": half_error(np.array(halves)).tolist(),
        "held_out": held_out.mean(axis=1).tolist(),
        "held_out_error": half_error(held_out, axis=1).tolist(),
    }


def _matrix(
    spectra: list[Any], learned: list[dict[str, Any]], regime: Regime, config: Config, half: Any
) -> np.ndarray:
    """[rows, spectra]: of all the data, or of a half (split, side) of each."""
    own = [_of(one, half) for one in learned]
    levels = [levels_of(one[0], regime.steps) for one in own]
    rows = [*levels, *families(regime.steps).values()]
    judged = [(x, best) for x, (_, best) in zip(spectra, own, strict=True)]
    return np.array(
        [[cost(x, row, regime, config.floor) / best for x, best in judged] for row in rows]
    )


def _of(one: dict[str, Any], half: tuple[int, int] | None) -> tuple[list[float], float]:
    """Levels and their own loss."""
    if half is None:
        return one["logsnr"], one["value"]
    split, side = half
    return one["halves"]["levels"][split][side], one["halves"]["value"][split][side]
