"""What a sampler knows of each frequency after each of its calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import specjax as sx
from specjax.evaluate.power_spectrum import band_power


def stopped(plan: sx.SamplerPlan, call: int) -> sx.SamplerPlan:
    """The plan that ends at its call number ``call`` (from 0) and returns the estimate."""
    rows = {x: np.array(getattr(plan, x))[: call + 1] for x in ("alpha", "sigma", "keep", "pull")}
    push = np.array(plan.push)[: call + 1]
    rows["keep"][call], rows["pull"][call], push[call] = 0.0, 0.0, 0.0
    rows["pull"][call, 0] = 1.0
    return replace(plan, **rows, push=push)


def predicted(plan: sx.SamplerPlan, spectrum: sx.Spectrum, bands: np.ndarray) -> np.ndarray:
    """Power of the estimate [calls, bands] after each call, in closed form.

    Around the data's mean, whose part that is missing counts, as :func:`band_power` does.

    Args:
      spectrum: in the Fourier basis. bands: [d], of each direction.
    """
    return np.stack([_power(stopped(plan, k), spectrum, bands) for k in range(plan.calls)])


def _power(plan: sx.SamplerPlan, spectrum: sx.Spectrum, bands: np.ndarray) -> np.ndarray:
    moments = sx.transfer(plan, spectrum)
    missing = (1 - moments.mean_gain) * spectrum.mean
    return _mean_of(moments.variance + missing**2, bands)


def _mean_of(x: np.ndarray, bands: np.ndarray) -> np.ndarray:
    return np.bincount(bands, x) / np.bincount(bands)


def measured(
    plan: sx.SamplerPlan, denoise: Callable[..., Any], data: np.ndarray, n: int, seed: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Power of the estimate [calls, bands] after each call, and the estimates [n, *shape]."""
    estimates = [
        sx.generate(stopped(plan, k), denoise, n, data.shape[1:], seed=seed)
        for k in range(plan.calls)
    ]
    return np.stack([band_power(x, data).generated for x in estimates]), estimates


def formed(power: np.ndarray) -> np.ndarray:
    """How much of each band's final standard deviation is there: [calls, bands], 0 to 1."""
    return np.sqrt(power / power[-1])


def formation_call(part: np.ndarray, half: float = 0.5) -> np.ndarray:
    """The call [bands], interpolated, from which on half of a band's standard deviation is there.

    What a network puts into a band at first and takes back later is not formed.
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
    """Levels at equal distances of the formed part of the spectrum, averaged over bands.

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
