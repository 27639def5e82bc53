"""Training grids: the discrete noise levels that a network of T training steps knows.

A level's index is its timestep ``t = 0..T-1``; ``logsnr`` falls with ``t``. Between two levels
timesteps are interpolated linearly in log sigma, as k-diffusion and diffusers' Euler scheduler do;
for networks that accept only whole ones see :mod:`specjax.schedules.timesteps`. The last level may
be pure noise (logsnr = -inf, 2305.08891), which no other level is near.

Networks of flow matching are called at ``T t``, whatever shifts the times that their scheduler
calls them at: a :class:`FlowGrid`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, namespace
from specjax._core.checks import UserError
from specjax.schedules.configurations import FLOW, LEVELS, check_betas, check_flow, is_flow
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr, sigmoid

_ROUNDING = 1e-4  # in logsnr: a level that clipping moves by less is not worth a remark


def _cosine_betas(steps: int, _start: float, _end: float) -> np.ndarray:
    """Compute the betas of Nichol and Dhariwal's cosine (2102.09672, eq. 17), capped at 0.999."""
    alpha_bar = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)


BETAS: dict[str, Callable[[int, float, float], np.ndarray]] = {
    "linear": lambda steps, start, end: np.linspace(start, end, steps),
    "scaled_linear": lambda steps, start, end: np.linspace(start**0.5, end**0.5, steps) ** 2,
    "squaredcos_cap_v2": _cosine_betas,
}
"""The betas of a grid, by the name that diffusers' scheduler configurations use."""


@dataclass(frozen=True, eq=False)
class TrainingGrid:
    """The noise levels of a network trained on T steps.

    Args:
      name: name of the grid in errors and files.
      logsnr: [T], float64, strictly falling over the timesteps 0..T-1; the last may be -inf.
      config: part of a diffusers scheduler configuration that makes the same levels, if any.

    Raises:
      UserError: if the levels are fewer than two, not finite or not strictly falling.

    Example:
      >>> grid = TrainingGrid.from_betas("mine", np.linspace(1e-4, 0.02, 1000))
      >>> grid.size, grid.sigma_range[1].round(1)
      (1000, np.float64(157.4))
    """

    name: str
    logsnr: np.ndarray
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        logsnr = np.array(self.logsnr, np.float64)
        if logsnr.ndim != 1 or np.isfinite(logsnr[:-1]).sum() < max(1, logsnr.size - 1):
            raise UserError(
                f"grid {self.name!r}: give two levels of logsnr or more, all finite but for a last "
                "one of pure noise (-inf)"
            )
        if not (np.diff(logsnr) < 0).all():
            raise UserError(f"grid {self.name!r}: logsnr has to fall strictly over the timesteps")
        logsnr.setflags(write=False)
        object.__setattr__(self, "logsnr", logsnr)

    @classmethod
    def from_betas(
        cls, name: str, betas: Any, config: Mapping[str, Any] | None = None
    ) -> TrainingGrid:
        """Make a grid of betas: ``alpha_bar = prod (1 - beta)`` (2006.11239).

        Args:
          name: of the grid, in files and messages.
          betas: [T], in (0, 1).
          config: the configuration that they are of, kept for exports.
        """
        betas = np.asarray(betas, np.float64)
        if not np.all((betas > 0) & (betas < 1)):
            raise UserError(f"grid {name!r}: betas outside (0, 1)")
        log_alpha_bar = np.cumsum(np.log1p(-betas))
        return cls(name, log_alpha_bar - np.log(-np.expm1(log_alpha_bar)), config or {})

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any]) -> TrainingGrid:
        """Make a grid of a diffusers scheduler configuration of betas.

        One with zero terminal SNR (2305.08891) ends in pure noise exactly; diffusers has 2^-24.
        For any configuration see :func:`grid_of_config`.

        Args:
          name: of the grid, in files and messages.
          config: ``pipe.scheduler.config``, or a part of it.

        Raises:
          UserError: for a network that is not called at timesteps of such a grid, see
            :mod:`specjax.schedules.configurations`.
        """
        check_betas(f"grid {name!r}", config)
        known = {key: config[key] for key in LEVELS if config.get(key) is not None}
        if "trained_betas" in known:
            betas = np.asarray(known["trained_betas"], np.float64)
            known = {k: x for k, x in known.items() if not k.startswith("beta_")}
            known |= {"trained_betas": betas.tolist(), "num_train_timesteps": betas.size}
        else:
            kind = checks.one_of("beta_schedule", known["beta_schedule"], BETAS)
            steps = checks.whole_number(
                "num_train_timesteps", known.get("num_train_timesteps", 1000)
            )
            betas = BETAS[kind](steps, known.get("beta_start", 1e-4), known.get("beta_end", 0.02))
        shift = checks.positive("snr_shift_scale", known.get("snr_shift_scale", 1.0))
        logsnr = cls.from_betas(name, betas).logsnr - np.log(shift)
        if known.get("rescale_betas_zero_snr"):
            alpha = np.sqrt(sigmoid(logsnr))
            alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
            logsnr = alpha_bar_to_logsnr(alpha**2)
        return cls(name, logsnr, known)

    @property
    def size(self) -> int:
        """The number of levels, T."""
        return int(self.logsnr.shape[0])

    @property
    def sigma_range(self) -> tuple[np.float64, np.float64]:
        """The smallest and the largest VE sigma."""
        return np.exp(-self.logsnr[0] / 2), np.exp(-self.logsnr[-1] / 2)

    @property
    def range(self) -> tuple[float, float]:
        """The ends of the levels, logsnr at the noisy and at the clean one."""
        return float(self.logsnr[-1]), float(self.logsnr[0])

    @property
    def ends_pure(self) -> bool:
        """Tell whether the noisy end is pure noise."""
        return self.range[0] == -math.inf

    @property
    def _noisiest(self) -> float:
        """The lowest logsnr of finite levels."""
        return float(self.logsnr[-2 if self.ends_pure else -1])

    def timestep(self, logsnr: Array) -> Array:
        """Interpolate the timesteps [...] of ``logsnr`` [...] in log sigma; clamp outside."""
        xp = namespace(logsnr)
        x = xp.asarray(logsnr, getattr(logsnr, "dtype", np.float64))
        known = xp.asarray(self.logsnr[np.isfinite(self.logsnr)][::-1], x.dtype)
        found = xp.interp(x, known, xp.arange(known.size, dtype=x.dtype)[::-1])
        return xp.where(xp.isneginf(x), xp.asarray(self.size - 1, x.dtype), found)

    def timestep_of_sigma(self, s: Array) -> Array:
        """Return the timesteps [...] of VE sigmas ``s`` [...], the ``level`` of ``sx.from_eps``."""
        xp = namespace(s)
        with np.errstate(divide="ignore"):
            return self.timestep(-2 * xp.log(s))

    def logsnr_at(self, timestep: Array) -> Array:
        """Return the levels of each ``timestep`` [...], fractional ones too; clamp outside."""
        xp = namespace(timestep)
        x = xp.asarray(timestep, getattr(timestep, "dtype", np.float64))
        x = x if np.issubdtype(x.dtype, np.floating) else x.astype(float)
        known = xp.asarray(self.logsnr[np.isfinite(self.logsnr)], x.dtype)
        found = xp.interp(x, xp.arange(known.size, dtype=x.dtype), known)
        pure = self.ends_pure & (x > self.size - 1.5)
        return xp.where(pure, xp.asarray(-np.inf, x.dtype), found)

    def logsnr_at_strength(self, strength: float) -> float:
        """Return the level at which image to image of a ``strength`` in (0, 1] starts in diffusers.

        That is after this share of the T timesteps.
        """
        return float(self.logsnr_at(np.asarray(strength * self.size - 1)))

    def clip(self, schedule: NoiseSchedule) -> tuple[NoiseSchedule, list[str]]:
        """Move a ``schedule`` into the grid's range; return it and remarks on what was moved.

        A level outside goes to the end of the range. Where several would meet there, all but
        the outermost are spread evenly over the gap to the first level inside, so that levels
        stay strictly monotone. A noise-free end stays, and so does pure noise in a grid that has
        it.

        Raises:
          UserError: if two or more levels leave the range on the same side and none is inside.
        """
        low, high = self._noisiest, self.logsnr[0]
        least, greatest = self.sigma_range
        levels = np.asarray(schedule.logsnr, np.float64)
        pure, clean = levels[: self.ends_pure and schedule.starts_pure], levels[levels == np.inf]
        finite = levels[len(pure) : levels.size - len(clean)]
        if not finite.size:
            return schedule, []
        noisier, cleaner = finite <= low, finite >= high
        # Levels that stay where they are, and the outermost on either side: the rest lie between.
        anchors = ~(noisier | cleaner)
        anchors[0] |= noisier[0]
        anchors[-1] |= cleaner[-1]
        index = np.arange(finite.size)
        if finite.size > 1 and anchors.sum() < 2:
            raise UserError(
                f"the schedule lies outside the range of grid {self.name!r}: sigma from "
                f"{least:.4g} to {greatest:.4g}"
            )
        clipped = np.interp(index, index[anchors], finite.clip(low, high)[anchors])
        clipped_schedule = NoiseSchedule(np.concatenate([pure, clipped, clean]))
        moved = int((np.abs(finite - clipped) > _ROUNDING).sum())
        if not moved:
            return clipped_schedule, []
        remark = (
            f"{moved} level(s) clipped to the range of grid {self.name!r}: sigma {least:.4g} to "
            f"{greatest:.4g}"
        )
        if noisier.sum() > 1 or cleaner.sum() > 1:
            remark += ", those that would have met spread over the gap to the first level inside"
        return clipped_schedule, [remark]


@dataclass(frozen=True, eq=False)
class FlowGrid(TrainingGrid):
    """The times of a network of flow matching, which is called at ``T t``, t from 1 / T to 1.

    Timesteps are times, not indices: ``T s / (1 + s)`` at ``s = sigma / alpha``, of any level; with
    ``invert_sigmas`` (Mochi) ``T / (1 + s)``. Shifts, ``shift_terminal`` and the like change which
    levels a scheduler calls, not what a level means: they are kept in ``config`` for exports.

    Example:
      >>> grid = FlowGrid.from_config("sd3", {"num_train_timesteps": 1000, "shift": 3.0})
      >>> float(grid.timestep_of_sigma(3.0)), grid.range[0]
      (750.0, -inf)
    """

    @classmethod
    def from_config(cls, name: str, config: Mapping[str, Any]) -> FlowGrid:
        """Make the grid of a diffusers scheduler configuration of flow matching.

        Args:
          name: of the grid, in files and messages.
          config: ``pipe.scheduler.config``, or a part of it.
        """
        known = {key: config[key] for key in FLOW if config.get(key) is not None}
        known = {"num_train_timesteps": 1000, **({} if is_flow(known) else {"shift": 1.0}), **known}
        steps = checks.whole_number("num_train_timesteps", known["num_train_timesteps"], 2)
        t = np.arange(1, steps + 1) / steps
        with np.errstate(divide="ignore"):
            return cls(name, 2 * (np.log1p(-t) - np.log(t)), known)

    @property
    def _noisiest(self) -> float:
        return -math.inf

    @property
    def _inverted(self) -> bool:
        return bool(self.config.get("invert_sigmas"))

    def timestep(self, logsnr: Array) -> Array:
        """Return the timesteps [...] of ``logsnr`` [...], of any level."""
        return self.size * sigmoid(logsnr / 2 if self._inverted else -logsnr / 2)

    def logsnr_at(self, timestep: Array) -> Array:
        """Return the levels of each ``timestep`` [...] from 0 to T."""
        xp = namespace(timestep)
        with np.errstate(divide="ignore"):
            logsnr = 2 * (xp.log1p(-timestep / self.size) - xp.log(timestep / self.size))
        return -logsnr if self._inverted else logsnr

    def logsnr_at_strength(self, strength: float) -> float:
        """Return the level at which image to image of a ``strength`` in (0, 1] starts in diffusers.

        That is the time ``strength``, shifted as the configuration says.

        Raises:
          UserError: where the shift depends on the size of an image.
        """
        if self.config.get("use_dynamic_shifting"):
            raise UserError(
                f"strength = {strength:g}: grid {self.name!r} shifts its times by the size of the "
                "image (use_dynamic_shifting); give start_level, the time t"
            )
        shift = self.config.get("shift") or self.config.get("flow_shift") or 1.0
        with np.errstate(divide="ignore"):
            return float(2 * (np.log1p(-strength) - np.log(strength * shift)))


def grid_of_config(name: str, config: Mapping[str, Any]) -> TrainingGrid:
    """Make the grid of any diffusers scheduler configuration: of betas, or of flow matching.

    Args:
      name: of the grid, in files and messages.
      config: ``pipe.scheduler.config``, or a part of it.

    Raises:
      UserError: for a network that has neither, see :mod:`specjax.schedules.configurations`.
    """
    if not is_flow(config):
        return TrainingGrid.from_config(name, config)
    check_flow(f"grid {name!r}", config)
    return FlowGrid.from_config(name, config)


_CONFIGS: dict[str, dict[str, Any]] = {
    "ddpm": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "sd": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "flow": {"shift": 1.0},
}
GRIDS: dict[str, TrainingGrid] = {
    name: grid_of_config(name, {"num_train_timesteps": 1000, **config})
    for name, config in _CONFIGS.items()
}
"""Grids by name: DDPM's linear betas, Stable Diffusion's, the capped cosine's, flow matching's."""


GridLike = str | Mapping[str, Any] | TrainingGrid
"""A grid by name, as a configuration (``pipe.scheduler.config``), or itself."""


def check_grid(grid: GridLike) -> TrainingGrid:
    """Return the grid of a name or a configuration, or a grid of one's own as it is."""
    if isinstance(grid, TrainingGrid):
        return grid
    if isinstance(grid, Mapping):
        return grid_of_config("of the configuration", grid)
    return GRIDS[checks.one_of("grid", grid, GRIDS)]
