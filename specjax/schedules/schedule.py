"""Noise schedules.

Conventions of the whole package, stated once:

- Levels run **noisy to clean**: S steps have S + 1 levels.
- The coordinate is ``logsnr = log(alpha^2 / sigma^2)``, strictly increasing; the last entry may
  be ``+inf`` (sigma = 0: the last step returns the denoised estimate) and the first one ``-inf``
  (alpha = 0: pure noise, "zero terminal SNR", 2305.08891).
- Variance preserving (``"vp"``): ``alpha^2 = alpha_bar = sigmoid(logsnr)``,
  ``sigma^2 = sigmoid(-logsnr)``. Variance exploding (``"ve"``): ``alpha = 1``,
  ``sigma = exp(-logsnr / 2)``. Flow matching (``"flow"``, 2210.02747): ``alpha = 1 - t``,
  ``sigma = t`` with the time ``t = sigmoid(-logsnr / 2)``. Only VE has no level of pure noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, as_float_array, concrete, namespace, value
from specjax._core.checks import UserError
from specjax._core.shown import Shown


def sigmoid(x: Array) -> Array:
    """Compute ``1 / (1 + exp(-x))``, accurate in both tails, in the array library of ``x``."""
    if isinstance(x, jax.Array):
        return jax.nn.sigmoid(x)
    # SciPy's expit would take half a second to import.
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def alpha_sigma(logsnr: Array, process: str) -> tuple[Array, Array]:
    """Return signal and noise scale ``(alpha, sigma)`` of levels [...] in a process."""
    xp = namespace(logsnr)
    if process == "vp":
        return xp.sqrt(sigmoid(logsnr)), xp.sqrt(sigmoid(-logsnr))
    if process == "flow":
        return sigmoid(logsnr / 2), sigmoid(-logsnr / 2)
    return xp.ones_like(logsnr), xp.exp(-logsnr / 2)


def one_minus_alpha(logsnr: Array, process: str) -> Array:
    """Compute ``1 - alpha`` of levels [...] in a process, without rounding near alpha = 1."""
    if process == "vp":
        return sigmoid(-logsnr) / (1 + namespace(logsnr).sqrt(sigmoid(logsnr)))
    return sigmoid(-logsnr / 2) if process == "flow" else namespace(logsnr).zeros_like(logsnr)


def alpha_bar_to_logsnr(alpha_bar: Any) -> np.ndarray:
    """Compute ``log(alpha_bar / (1 - alpha_bar))`` on the host; +inf at 1, -inf at 0."""
    alpha_bar = np.asarray(alpha_bar, np.float64)
    with np.errstate(divide="ignore"):
        return np.log(alpha_bar) - np.log1p(-alpha_bar)


def logsnr_of_level(name: str, level: Any, process: str) -> np.ndarray:
    """Return logsnr [...] of levels as a process names them, on the host.

    They are ``alpha_bar`` in VP, ``sigma`` in VE and the time t in flow matching.

    Args:
      name: of the argument, for messages.
      level: [...].
      process: "vp", "ve" or "flow".

    Raises:
      UserError: for levels that are not above 0, or not below 1 in VP and flow matching.
    """
    level = np.asarray(level, np.float64)
    unit, most = {"vp": ("alpha_bar", 1), "ve": ("sigma", np.inf), "flow": ("t", 1)}[process]
    if not ((level > 0) & (level < most)).all():
        raise UserError(
            f"{name} = {level.tolist()}: give {unit} of the process {process!r}, above 0"
            + (" and below 1" if most == 1 else "")
        )
    if process == "vp":
        return alpha_bar_to_logsnr(level)
    return -2 * np.log(level / (1 - level) if process == "flow" else level)


@value(data=["logsnr"])
@dataclass(frozen=True, eq=False, repr=False)
class NoiseSchedule(Shown):
    """The S + 1 noise levels that a sampler of S steps visits.

    Args:
      logsnr: [S + 1] levels, noisy to clean, strictly increasing; the last may be +inf and the
        first -inf.

    Raises:
      UserError: if the levels are fewer than two, not finite or not strictly increasing.

    Example:
      >>> schedule = NoiseSchedule([-10.0, 0.0, float("inf")])
      >>> schedule.steps, schedule.alpha_bar[1]
      (2, np.float64(0.5))
    """

    logsnr: Array

    def __post_init__(self) -> None:
        logsnr = as_float_array(self.logsnr)
        object.__setattr__(self, "logsnr", logsnr)
        if logsnr.ndim != 1 or logsnr.shape[0] < 2:
            raise UserError(
                f"logsnr has shape {logsnr.shape}: give one dimension of at least two levels"
            )
        levels = concrete(logsnr)
        if levels is None:
            return
        between = levels[1:-1]
        if not (levels[0] < np.inf and np.isfinite(between).all() and levels[-1] > -np.inf):
            raise UserError(
                "the schedule has levels that are not finite: only the last may be noise-free "
                "(logsnr = inf, alpha_bar = 1, sigma = 0) and only the first pure noise "
                "(logsnr = -inf, alpha_bar = 0)"
            )
        if not checks.are_within(levels[np.isfinite(levels)], checks.MOST_LOGSNR):
            raise UserError(
                f"the schedule has a logsnr of {levels[np.abs(levels).argmax()]:.4g}: give levels "
                f"from {-checks.MOST_LOGSNR:g} to {checks.MOST_LOGSNR:g} (sigmas from 1e-149 to "
                "1e149)"
            )
        if not (levels[1:] > levels[:-1]).all():
            k = int(np.argmin(levels[1:] > levels[:-1]))
            raise UserError(
                f"the schedule is not strictly monotone, noisy to clean: level {k} has logsnr "
                f"{levels[k]:.6g} and level {k + 1} has {levels[k + 1]:.6g}"
            )

    @classmethod
    def from_alpha_bar(cls, alpha_bar: Any) -> NoiseSchedule:
        """Make a schedule of ``alpha_bar`` [S + 1] in [0, 1], strictly increasing.

        Only the last may be 1 and only the first 0.
        """
        levels = np.asarray(checks.unmasked("alpha_bar", alpha_bar), np.float64)
        if not np.all((levels >= 0) & (levels <= 1)):
            raise UserError("alpha_bar has values outside [0, 1]: give cumulative products")
        return cls(alpha_bar_to_logsnr(levels))

    @classmethod
    def from_sigmas(cls, sigmas: Any) -> NoiseSchedule:
        """Make a schedule of VE sigmas [S + 1], strictly decreasing.

        Only the last may be 0, and only the first inf, which is pure noise.

        S + 1 sigmas make S steps: a list that stops at the smallest level a network knows needs
        a 0.0 behind it to return the denoised estimate.
        """
        levels = np.asarray(checks.unmasked("sigmas", sigmas), np.float64)
        if not np.all(levels >= 0):
            raise UserError("sigmas has values that are negative or not numbers: give VE sigmas")
        with np.errstate(divide="ignore"):
            return cls(-2 * np.log(levels))

    @property
    def steps(self) -> int:
        """The number of steps, S."""
        return int(self.logsnr.shape[-1]) - 1

    @property
    def alpha_bar(self) -> Array:
        """The signal's share of the VP variance, ``sigmoid(logsnr)`` [S + 1]."""
        return sigmoid(self.logsnr)

    @property
    def alpha(self) -> Array:
        """The VP signal scale ``sqrt(alpha_bar)`` [S + 1]."""
        return alpha_sigma(self.logsnr, "vp")[0]

    @property
    def sigma(self) -> Array:
        """The VP noise scale ``sqrt(1 - alpha_bar)`` [S + 1]."""
        return alpha_sigma(self.logsnr, "vp")[1]

    @property
    def sigmas(self) -> Array:
        """The VE noise levels ``sigma / alpha = exp(-logsnr / 2)`` [S + 1]."""
        return alpha_sigma(self.logsnr, "ve")[1]

    @property
    def flow_time(self) -> Array:
        """The flow-matching time ``sigmas / (1 + sigmas)`` [S + 1]."""
        return sigmoid(-self.logsnr / 2)

    @property
    def starts_pure(self) -> bool:
        """Tell whether the first level, which must not be traced, is pure noise."""
        return bool(np.isneginf(np.asarray(self.logsnr)[..., 0]).all())

    @property
    def ends_clean(self) -> bool:
        """Tell whether the last level, which must not be traced, is noise-free."""
        return bool(np.isposinf(np.asarray(self.logsnr)[..., -1]).all())


def alpha_bar_range_of(schedule: NoiseSchedule) -> tuple[float, float]:
    """Return the two ends (noisy, clean) of a schedule."""
    alpha_bar = np.asarray(schedule.alpha_bar, np.float64)
    return float(alpha_bar[0]), float(alpha_bar[-1])


PROCESSES = ("vp", "ve", "flow")
"""The scales of samples: variance preserving, variance exploding, flow matching."""


def check_process(process: str, *, starts_pure: bool = False) -> str:
    """Return the process if it is one, and has the level that schedules start from.

    Raises:
      UserError: for an unknown process, and for VE beside a first level of pure noise.
    """
    checks.one_of("process", process, PROCESSES)
    if starts_pure and process == "ve":
        raise UserError(
            "process = 've' has no level of pure noise (alpha_bar = 0, where sigma is infinite): "
            "give 'vp' or 'flow', or a first level above 0"
        )
    return process
