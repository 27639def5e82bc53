"""Schedules learned on a spectrum, and what they cost on another."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import specjax as sx
from experiments.real_spectra.config import Config, Regime
from experiments.real_spectra.halves import half_error
from experiments.real_spectra.spectra import Subject
from specjax.fitting.compare import pinned_families

ENDS = (4.0358e-5, 1.0)


def learn(spectrum: sx.Spectrum, regime: Regime, floor: float) -> sx.FitResult:
    """The optimum of a regime; for KL eigenvalues are lifted to the floor."""
    options: dict[str, Any] = {"sampler": regime.sampler, "loss": regime.loss}
    return sx.fit(_lifted(spectrum, regime, floor), regime.steps, **options)


def cost(spectrum: sx.Spectrum, levels: Any, regime: Regime, floor: float) -> float:
    """The loss of a schedule, given by its levels logsnr [S + 1], on a spectrum."""
    schedule = sx.NoiseSchedule(np.asarray(levels))
    lifted = _lifted(spectrum, regime, floor)
    return float(sx.loss(lifted, schedule, sampler=regime.sampler, loss=regime.loss))


def _lifted(spectrum: sx.Spectrum, regime: Regime, floor: float) -> sx.Spectrum:
    return spectrum.floor(floor) if regime.loss == "kl" else spectrum


@functools.cache
def families(steps: int) -> dict[str, np.ndarray]:
    """Levels [S + 1] of every heuristic, pinned to the ends."""
    return {name: np.asarray(make(steps).logsnr) for name, make in pinned_families(ENDS).items()}


def area(alpha_bar: Any) -> float:
    """Under the curve over equal times from 0 to 1: below 1/2 where it is convex, as t^2 is.

    Of cosine it is 1/2, by symmetry; of a curve that is concave it is above.
    """
    return float(np.trapezoid(np.asarray(alpha_bar, np.float64), dx=1 / (len(alpha_bar) - 1)))


def middle(levels: Any) -> float:
    """The noise level sigma/alpha at half of the time."""
    levels = np.asarray(levels, np.float64)
    time = np.linspace(0, 1, levels.size)
    return float(np.exp(-np.interp(0.5, time, levels) / 2))


def in_regime(subject: Subject, regime: Regime, config: Config, estimates: Any) -> dict[str, Any]:
    """All of a dataset in a regime: learned on each estimate, heuristics, halves."""
    full, floor = subject.spectrum(), config.floor
    own = learn(full, regime, floor)
    compared = sx.compare(
        _lifted(full, regime, floor), regime.steps, sampler=regime.sampler, loss=regime.loss,
        learned=own,
    )  # fmt: skip
    halves = _halves(subject, regime, config)
    return {
        "value": own.value,
        "value_error": float(half_error(np.ravel(halves["halves"]["value"]))),
        "converged": own.converged,
        "logsnr": _plain(own.schedule.logsnr),
        "ratio": {row.name: row.value / own.value for row in compared.rows},
        "steps_needed": {row.name: row.steps_needed for row in compared.rows},
        "area": area(own.schedule.alpha_bar),
        "middle": middle(own.schedule.logsnr),
        "estimates": {x: _through(subject, x, full, own, regime, floor) for x in estimates[1:]},
        **halves,
    }


def _through(
    subject: Subject, method: str, full: sx.Spectrum, own: sx.FitResult, regime: Regime,
    floor: float,
) -> dict[str, Any]:  # fmt: skip
    """A schedule learned on an estimate: what it costs on the full spectrum."""
    found = learn(subject.spectrum(method), regime, floor)
    levels = found.schedule.logsnr
    return {
        "ratio": cost(full, levels, regime, floor) / own.value,
        "expected": found.value,
        "logsnr": _plain(levels),
    }


def _halves(subject: Subject, regime: Regime, config: Config) -> dict[str, Any]:
    """Learned on each half: its levels, its loss there, and on the other half over its optimum."""
    found: dict[str, Any] = {"levels": [], "value": [], "held_out": []}
    shapes = []
    for split in range(config.splits):
        spectra = [subject.half(split, side) for side in (0, 1)]
        fits = [learn(x, regime, config.floor) for x in spectra]
        levels = [one.schedule.logsnr for one in fits]
        other = [cost(spectra[1 - i], levels[i], regime, config.floor) for i in (0, 1)]
        found["levels"].append([_plain(x) for x in levels])
        found["value"].append([one.value for one in fits])
        found["held_out"].append([other[i] / fits[1 - i].value for i in (0, 1)])
        shapes += [(area(x.schedule.alpha_bar), middle(x.schedule.logsnr)) for x in fits]
    errors = half_error(np.array(shapes)).tolist()
    return {
        "halves": found, "area_error": errors[0], "middle_error": errors[1],
    }  # fmt: skip


def _plain(levels: Any) -> list[float]:
    """Levels as JSON takes them: a noise-free end, infinite, is left out."""
    return [x for x in np.asarray(levels, np.float64).tolist() if np.isfinite(x)]


def levels_of(plain: list[float], steps: int) -> np.ndarray:
    """The levels [S + 1] again."""
    return np.array([*plain, *[np.inf] * (steps + 1 - len(plain))])
