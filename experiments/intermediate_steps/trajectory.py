"""What a sampler knows of each frequency after each of its calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import specjax as sx
from experiments.bands import Bands
from specjax.evaluate.power_spectrum import band_power


def stopped(plan: sx.SamplerPlan, call: int) -> sx.SamplerPlan:
    """Give the plan that ends at its call number ``call`` (from 0) and returns the estimate."""
    rows = {x: np.array(getattr(plan, x))[: call + 1] for x in ("alpha", "sigma", "keep", "pull")}
    push = np.array(plan.push)[: call + 1]
    rows["keep"][call], rows["pull"][call], push[call] = 0.0, 0.0, 0.0
    rows["pull"][call, 0] = 1.0
    return replace(plan, **rows, push=push)


def predicted(plan: sx.SamplerPlan, spectrum: sx.Spectrum, bands: Bands) -> np.ndarray:
    """Predict the power of the estimate [calls, bands] after each call, in closed form.

    It is around the data's mean, whose missing part counts, as in :func:`band_power`. The spectrum
    is in the Fourier basis.
    """
    power = []
    for call in range(plan.calls):
        moments = sx.transfer(stopped(plan, call), spectrum)
        missing = (1 - moments.mean_gain) * spectrum.mean
        power.append(bands.mean(moments.variance + missing**2))
    return np.stack(power)


def measured(
    plan: sx.SamplerPlan, denoise: Callable[..., Any], data: np.ndarray, n: int, seed: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Measure the power [calls, bands] of the estimates, and give the estimates [n, *shape]."""
    estimates = [
        sx.generate(stopped(plan, k), denoise, n, data.shape[1:], seed=seed)
        for k in range(plan.calls)
    ]
    return np.stack([band_power(x, data).generated for x in estimates]), estimates


def formed(power: np.ndarray) -> np.ndarray:
    """Give the share of each band's final standard deviation [calls, bands], 0 to 1."""
    return np.sqrt(power / power[-1])


def formation_call(part: np.ndarray, half: float = 0.5) -> np.ndarray:
    """Find the call [bands], interpolated, from which on half of the standard deviation is there.

    What a network puts into a band at first and takes back later does not count.
    """
    return np.array([_last_rise(one, half) for one in part.T])


def _last_rise(part: np.ndarray, half: float) -> float:
    before = np.flatnonzero(part < half)
    if not before.size:
        return 0.0
    k = int(before[-1])
    if k == len(part) - 1:
        return float(len(part))
    return float(k + (half - part[k]) / (part[k + 1] - part[k]))


def placed(levels: np.ndarray, part: np.ndarray, steps: int, ends: tuple[float, float]) -> Any:
    """Place levels at equal distances of the formed part of the spectrum, averaged over bands.

    Args:
      levels: logsnr [m], increasing. part: [m, bands], formed at each.

    Returns:
      A schedule of ``steps`` calls between the ends.
    """
    progress = np.maximum.accumulate(np.minimum(part, 1.0).mean(1))
    progress = progress + 1e-6 * np.arange(len(progress))
    scaled = (progress - progress[0]) / (progress[-1] - progress[0])
    noisy = sx.NoiseSchedule.from_alpha_bar(ends).logsnr[0]
    inner = np.interp(np.arange(steps) / steps, scaled, levels)
    inner[0] = noisy
    return sx.NoiseSchedule(
        np.append(np.maximum.accumulate(inner) + 1e-9 * np.arange(steps), np.inf)
    )
