"""Measures of a schedule's shape, and its loss from the true start."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

import specjax as sx
from specjax.gaussian.losses import LOSSES, evaluate
from specjax.gaussian.modes import modes_of
from specjax.schedules.schedule import alpha_sigma


def bow(alpha_bar: np.ndarray) -> float:
    """Give the mean height of the chord between the ends over alpha_bar, over that of the ends.

    Over equal steps, by the trapezoid rule: 1/2 - mean. Positive where the curve sags below its
    chord (1/2 at most), 0 for the cosine schedule, negative where it bulges above.
    """
    scaled = (alpha_bar - alpha_bar[0]) / (alpha_bar[-1] - alpha_bar[0])
    return float(0.5 - np.trapezoid(scaled, dx=1 / (len(scaled) - 1)))


def shape(alpha_bar: np.ndarray) -> str:
    """Say "convex" if every inner level is below the chord, "concave" if above, else "S".

    The levels run in equal steps; reversing time changes none of this.
    """
    chord = np.linspace(alpha_bar[0], alpha_bar[-1], len(alpha_bar))
    below = (alpha_bar < chord)[1:-1]
    return "convex" if below.all() else "S" if below.any() else "concave"


LEAST_BOW = 0.02
"""Below it a curve is as even as the cosine one."""


def lean(alpha_bar: np.ndarray) -> str:
    """Give the sign of the bow: "convex" or "concave" as a whole, or "even"."""
    height = bow(alpha_bar)
    return "even" if abs(height) < LEAST_BOW else "convex" if height > 0 else "concave"


def convex_share(alpha_bar: np.ndarray) -> float:
    """Give the positive part of the second differences over all of them: 1 is convex."""
    second = np.diff(alpha_bar, 2)
    return float(second[second > 0].sum() / np.abs(second).sum())


def from_cosine(alpha_bar: np.ndarray) -> float:
    """Give the largest distance of the angles from equally spaced ones, over their range.

    alpha_bar = cos^2(angle): equal spacing is the cosine schedule between the same ends.
    """
    angle = np.arctan2(np.sqrt(1 - alpha_bar), np.sqrt(alpha_bar))
    equal = np.linspace(angle[0], angle[-1], len(angle))
    return float(np.abs(angle - equal).max() / abs(angle[-1] - angle[0]))


def from_marginal(
    plan: sx.SamplerPlan, spectrum: sx.Spectrum, schedule: sx.NoiseSchedule, process: str
) -> sx.Transfer:
    """Give the moments of a plan that starts from the true marginal of its first level.

    That is N(alpha mu, alpha^2 lambda + sigma^2) for each eigenvalue, where the plan itself
    starts from N(0, start^2). With D1 the response to that start in units of ``start``, the
    variance gains D1^2 ((alpha^2 lambda + sigma^2) / start^2 - 1), the mean D1 alpha mu / start.
    """
    moments = sx.transfer(plan, spectrum)
    alpha, sigma = (float(x) for x in alpha_sigma(np.asarray(schedule.logsnr)[0], process))
    start, lam = float(plan.start), np.asarray(spectrum.eigenvalues)
    more = np.asarray(moments.gain) ** 2 * ((alpha**2 * lam + sigma**2) / start**2 - 1)
    variance = np.asarray(moments.variance) + more
    return replace(
        moments, variance=variance, std=np.sqrt(variance),
        mean_gain=moments.mean_gain + moments.gain * alpha / start,
    )  # fmt: skip


def losses_of(
    spectrum: sx.Spectrum, schedule: sx.NoiseSchedule, sampler: str, loss: str, process: str
) -> dict[str, float]:
    """Give the loss on the full spectrum, the mean's part, and the loss from the true marginal."""
    plan, chosen = sx.plan(sampler, schedule, process), LOSSES[loss]
    centred = replace(spectrum, mean=np.zeros_like(spectrum.eigenvalues))
    with jax.enable_x64(True):
        usual = sx.transfer(plan, spectrum)
        started = from_marginal(plan, spectrum, schedule, process)
        cases = ((usual, spectrum), (usual, centred), (started, spectrum))
        whole, spread, marginal = (float(evaluate(chosen, x, modes_of(y))) for x, y in cases)
    return {"full": whole, "mean_part": whole - spread, "marginal": marginal}
