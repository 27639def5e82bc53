"""The distribution of the noise levels that a network is trained at.

A distribution is a quantile function from (0, 1) to logsnr, so that a batch can be stratified
(2107.00630, appendix I.1): one random offset, then equal steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.fitting.spectral import spectral
from specjax.noise.noise_spectrum import check_noise
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum

Quantile = Callable[[jax.Array], jax.Array]

_SPECTRAL_STEPS = 1024
"""Steps of the spectral schedule whose levels are interpolated."""


class Distribution(NamedTuple):
    """A row of the table: ``quantile(spectrum, **options)`` makes the quantile function."""

    quantile: Callable[..., Quantile]
    summary: str


def _edm(spectrum: Spectrum, *, mean: float = -1.2, std: float = 1.2) -> Quantile:
    checks.positive("std", std)
    return lambda u: -2 * (mean + std * ndtri(u))


def _logit_normal(spectrum: Spectrum, *, mean: float = 0.0, std: float = 1.0) -> Quantile:
    return _edm(spectrum, mean=mean, std=std)  # logit t = log s


def _uniform(spectrum: Spectrum, *, low: float = -12.0, high: float = 12.0) -> Quantile:
    if not low < high:
        raise UserError(f"low = {low!r}, high = {high!r}: give low below high, in logsnr")
    return lambda u: low + (high - low) * u


def _spectral(
    spectrum: Spectrum, *, loss: str = "w2", noisy: float = checks.DEFAULT_ALPHA_BAR_RANGE[0],
    clean: float = 0.9999,
) -> Quantile:  # fmt: skip
    if not clean < 1:
        raise UserError(f"clean = {clean!r}: give an alpha_bar below 1")
    schedule = spectral(spectrum, _SPECTRAL_STEPS, loss=loss, alpha_bar_range=(noisy, clean))
    return _interpolated(np.asarray(schedule.logsnr))


def _schedule(spectrum: Spectrum, *, file: str = "") -> Quantile:
    if not file:
        raise UserError("file: give a schedule file, as in file=schedule.json")
    loaded = files.load(file)
    levels = np.asarray(getattr(getattr(loaded, "schedule", loaded), "logsnr", ()), np.float64)
    levels = levels[np.isfinite(levels)]
    if len(levels) < 2:
        raise UserError(f"file = {file!r}: give a schedule file with two finite levels or more")
    if not isinstance(loaded, NoiseSchedule):  # a bare schedule belongs to no noise
        noise = getattr(loaded, "noise", None)
        check_noise(noise, spectrum.noise, what=f"file = {file!r}", where="the training")
    return _interpolated(levels)


def _interpolated(logsnr: np.ndarray) -> Quantile:
    """The quantile function whose density is that of levels at equal times."""
    times, table = np.linspace(0, 1, len(logsnr)), np.asarray(logsnr, np.float32)
    return lambda u: jnp.interp(u, jnp.asarray(times, u.dtype), table)


NOISE_LEVELS: Mapping[str, Distribution] = {
    "edm": Distribution(_edm, "log s normal: mean, std (2206.00364, table 1)"),
    "logit_normal": Distribution(_logit_normal, "logit t normal: mean, std (2403.03206, eq. 19)"),
    "uniform": Distribution(_uniform, "logsnr uniform: low, high"),
    "spectral": Distribution(_spectral, "density of the spectral schedule: loss, noisy, clean"),
    "schedule": Distribution(_schedule, "density of the levels in a schedule file: file"),
}
"""The distributions of training levels, by name."""


def noise_levels(name: str, spectrum: Spectrum, options: Mapping[str, Any]) -> Quantile:
    """Return the quantile function of a named distribution of logsnr.

    An option of all of them is ``pure``: the part of samples that are pure noise, logsnr = -inf.

    Raises:
      UserError: for an unknown name or option, or a value that is not allowed.
    """
    quantile = NOISE_LEVELS[checks.one_of("noise_levels", name, NOISE_LEVELS)].quantile
    known = {k: p for k, p in signature(quantile).parameters.items() if k != "spectrum"}
    options = dict(options)
    pure = checks.number("pure", options.pop("pure", 0.0), 0, 1, "a part of all, from 0 to 1")
    for option, given in options.items():
        checks.one_of(f"option of noise_levels {name!r}", option, known)
        if isinstance(known[option].default, float) and not isinstance(given, int | float):
            raise UserError(f"{option} = {given!r}: give a number")
    finite = quantile(spectrum, **options)
    return _with_pure_noise(finite, pure) if pure else finite


def _with_pure_noise(finite: Quantile, part: float) -> Quantile:
    """Put pure noise first; the rest is spread as without it."""

    def quantile(u: jax.Array) -> jax.Array:
        rest = (u - part) / max(1 - part, 1e-6)
        return jnp.where(rest < 0, -jnp.inf, finite(jnp.clip(rest, 1e-6, 1 - 1e-6)))

    return quantile


def stratified(key: jax.Array, n: int) -> jax.Array:
    """Draw n numbers of (0, 1), one in each n-th of it."""
    u = (jnp.arange(n) + jax.random.uniform(key)) / n
    return jnp.clip(u, 1e-6, 1 - 1e-6)
