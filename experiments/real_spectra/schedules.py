"""Schedules learned on a spectrum, and what they cost on others."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import specjax as sx
from experiments import methods
from experiments.real_spectra.spectra import SpectraOf, half_error
from specjax.fitting.compare import pinned_families
from specjax.schedules.level_range import LevelRange

OTHER_UNITS: dict[str, tuple[str, dict[str, Any]]] = {
    "digits": ("0 to 16, as they are stored", {}),
    "spoken_digits": ("16-bit numbers over 32,768, no file divided by its peak",
                      {"normalise": "none"}),
}  # fmt: skip
"""Datasets in other units than [-1, 1]: what those are, and options of ``sx.data.open``."""


def learn(spectrum: sx.Spectrum, regime: Any, floor: float) -> sx.FitResult:
    """Learn the schedule of a regime; for KL eigenvalues are lifted to the floor."""
    lifted = _lifted(spectrum, regime, floor)
    return methods.fit(lifted, regime.steps, regime.sampler, regime.loss)


def cost(spectrum: sx.Spectrum, levels: Any, regime: Any, floor: float) -> float:
    """Give the loss of a schedule, given by its levels logsnr [S + 1], on a spectrum."""
    schedule = sx.NoiseSchedule(np.asarray(levels))
    lifted = _lifted(spectrum, regime, floor)
    return float(sx.loss(lifted, schedule, sampler=regime.sampler, loss=regime.loss))


def _lifted(spectrum: sx.Spectrum, regime: Any, floor: float) -> sx.Spectrum:
    return spectrum.floor(floor) if regime.loss == "kl" else spectrum


@functools.cache
def families(steps: int) -> dict[str, np.ndarray]:
    """Give the levels [S + 1] of every heuristic, pinned to the ends."""
    made = pinned_families(LevelRange(methods.ENDS))
    return {name: np.asarray(make(steps).logsnr) for name, make in made.items()}


def area(alpha_bar: Any) -> float:
    """Give the area under the curve over equal times from 0 to 1.

    It is below 1/2 where the curve is convex, as t^2 is, above where it is concave, and 1/2 for
    cosine by symmetry.
    """
    return float(np.trapezoid(np.asarray(alpha_bar, np.float64), dx=1 / (len(alpha_bar) - 1)))


def middle(levels: Any) -> float:
    """Give the noise level sigma/alpha at half of the time."""
    levels = np.asarray(levels, np.float64)
    time = np.linspace(0, 1, levels.size)
    return float(np.exp(-np.interp(0.5, time, levels) / 2))


def in_regime(spectra: SpectraOf, regime: Any, config: Any, estimates: Any) -> dict[str, Any]:
    """Learn a dataset's schedules in a regime: on each estimate, beside heuristics, on halves."""
    full, floor = spectra.spectrum(), config.floor
    own = learn(full, regime, floor)
    compared = sx.compare(
        _lifted(full, regime, floor), regime.steps, sampler=regime.sampler, loss=regime.loss,
        learned=own, denoiser_error=0.0,
    )  # fmt: skip
    through = {}
    for method in estimates[1:]:
        other = learn(spectra.spectrum(method), regime, floor)
        levels = other.schedule.logsnr
        ratio = cost(full, levels, regime, floor) / own.value
        through[method] = {"ratio": ratio, "expected": other.value, "logsnr": _finite(levels)}
    halves = _halves(spectra, regime, config)
    return {
        "value": own.value,
        "value_error": float(half_error(np.ravel(halves["halves"]["value"]))),
        "converged": own.converged,
        "logsnr": _finite(own.schedule.logsnr),
        "ratio": {row.name: row.value / own.value for row in compared.rows},
        "steps_needed": {row.name: row.steps_needed for row in compared.rows},
        "area": area(own.schedule.alpha_bar),
        "middle": middle(own.schedule.logsnr),
        "estimates": through,
        **halves,
    }


def _halves(spectra: SpectraOf, regime: Any, config: Any) -> dict[str, Any]:
    """Learn on each half: levels, the loss there, and that on the other half over its optimum."""
    found: dict[str, Any] = {"levels": [], "value": [], "held_out": []}
    shapes = []
    for split in range(config.splits):
        pair = [spectra.half(split, side) for side in (0, 1)]
        fits = [learn(x, regime, config.floor) for x in pair]
        levels = [one.schedule.logsnr for one in fits]
        other = [cost(pair[1 - i], levels[i], regime, config.floor) for i in (0, 1)]
        found["levels"].append([_finite(x) for x in levels])
        found["value"].append([one.value for one in fits])
        found["held_out"].append([other[i] / fits[1 - i].value for i in (0, 1)])
        shapes += [(area(x.schedule.alpha_bar), middle(x.schedule.logsnr)) for x in fits]
    errors = half_error(shapes).tolist()
    return {"halves": found, "area_error": errors[0], "middle_error": errors[1]}


def _finite(levels: Any) -> list[float]:
    """Give levels as JSON takes them: without an infinite, noise-free end."""
    return [x for x in np.asarray(levels, np.float64).tolist() if np.isfinite(x)]


def crossed(
    every: list[SpectraOf], found: list[dict[str, Any]], regime: Any, config: Any
) -> dict[str, Any]:
    """Give ratios of losses to the optimum of the spectrum that judges, with standard errors.

    Args:
      every, found: the spectra, and what was learned on them, in the same order.

    Returns:
      "rows": names, of the spectra and of the heuristics; "ratio" and "error" [rows, spectra]. A
      spectrum's own ratio is 1 by construction: "held_out" [spectra] is what is learned on a half
      costs on the other half, with its error.
    """
    learned = [one["regimes"][str(regime)] for one in found]
    ratio = _matrix([x.spectrum() for x in every], learned, regime, config, None)
    halves = [
        _matrix([x.half(k, side) for x in every], learned, regime, config, (k, side))
        for k in range(config.splits)
        for side in (0, 1)
    ]
    held_out = np.array([np.ravel(one["halves"]["held_out"]) for one in learned])
    return {
        "rows": [*(x.title for x in every), *families(regime.steps)],
        "ratio": ratio.tolist(),
        "error": half_error(halves).tolist(),
        "held_out": held_out.mean(axis=1).tolist(),
        "held_out_error": half_error(held_out, axis=1).tolist(),
    }


def _matrix(
    spectra: list[sx.Spectrum], learned: list[dict[str, Any]], regime: Any, config: Any, half: Any
) -> np.ndarray:
    """Give the ratios [rows, spectra] of all the data, or of a half (split, side) of each."""
    own, best = [], []
    for one in learned:
        levels, value = one["logsnr"], one["value"]
        if half is not None:
            levels, value = (one["halves"][x][half[0]][half[1]] for x in ("levels", "value"))
        own.append(np.append(levels, [np.inf] * (regime.steps + 1 - len(levels))))  # its end
        best.append(value)
    rows = [*own, *families(regime.steps).values()]
    judges = list(zip(spectra, best, strict=True))
    return np.array(
        [[cost(x, row, regime, config.floor) / value for x, value in judges] for row in rows]
    )


def ranks(spectra: SpectraOf, config: Any) -> dict[str, Any]:
    """Give what a schedule of a low-rank estimate costs on the full spectrum, rank by rank."""
    full, found = spectra.spectrum(), {}
    regimes = [x for x in config.regimes if x.steps == config.ablated]
    best = {x: learn(full, x, config.floor).value for x in regimes}
    for rank in [x for x in config.ranks if x < full.dimension]:
        low, facts = spectra.estimate("low-rank", rank)
        levels = {x: learn(low, x, config.floor).schedule.logsnr for x in regimes}
        ratio = {str(x): cost(full, levels[x], x, config.floor) / best[x] for x in regimes}
        found[str(rank)] = {**facts, "ratio": ratio}
    return found


def units(spectra: SpectraOf, config: Any) -> dict[str, Any]:
    """Learn a schedule in other units: give what refuses it, and what it would cost."""
    words, options = OTHER_UNITS[spectra.name]
    data = spectra.samples(**options) if options else spectra.samples()
    source = {**data.source, "data_range": None}
    other, own = (
        sx.Spectrum.from_samples(data.x.astype("float32"), source=source),
        spectra.spectrum(),
    )
    refusal = None
    try:
        sx.check_units(other.source, own.source)
    except ValueError as error:
        refusal = str(error)
    ratio = {}
    for regime in config.regimes:
        levels = learn(other, regime, config.floor).schedule.logsnr
        best = learn(own, regime, config.floor).value
        ratio[str(regime)] = cost(own, levels, regime, config.floor) / best
    return {"units": words, "refusal": refusal, "ratio": ratio}
