"""The range that the levels of a schedule lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.schedules.grids import GridLike, TrainingGrid, check_grid
from specjax.schedules.resampled import passing, splits
from specjax.schedules.schedule import NoiseSchedule, alpha_bar_to_logsnr, check_process, sigmoid


@dataclass(frozen=True)
class LevelRange:
    """The range of the levels of a schedule: between two ends, within what a network knows.

    Attributes:
      alpha_bar_range: the two ends (noisy, clean).
      grid: the training grid of the network; None for one that knows every level.
      from_data: whether plans start from data with noise up to the noisy end.
      through: logsnr of levels that are part of every schedule, rising.
    """

    alpha_bar_range: tuple[float, float]
    grid: TrainingGrid | None = None
    from_data: bool = False
    through: tuple[float, ...] = ()

    @classmethod
    def resolve(
        cls, alpha_bar_range: Any = None, grid: GridLike | None = None, process: str = "vp"
    ) -> LevelRange:
        """Check all, and cut the ends to the grid; a noise-free end stays.

        Args:
          alpha_bar_range: (noisy, clean); None is what networks are called at by default:
            :data:`specjax._core.checks.DEFAULT_ALPHA_BAR_RANGE`, or (0, 1) where pure noise is
            where they start, in flow matching and on a grid that ends there.
          grid: as in :class:`specjax.gaussian.task.TaskOptions`.
          process: of the samples.

        Raises:
          UserError: for ends that are reversed or outside [0, 1], an unknown grid or process, ends
            without a level of the grid between them, and VE from pure noise.
        """
        check_process(process)
        grid = None if grid is None else check_grid(grid)
        if alpha_bar_range is None:
            pure = process == "flow" or (process == "vp" and grid is not None and grid.ends_pure)
            alpha_bar_range = (0.0, 1.0) if pure else checks.DEFAULT_ALPHA_BAR_RANGE
        noisy, clean = given = checks.alpha_bar_range(alpha_bar_range)
        if grid is None:
            check_process(process, starts_pure=noisy == 0)
            return cls(given)
        least, most = sigmoid(grid.logsnr[[-1, 0]]).tolist()
        noisy, clean = max(noisy, least), clean if clean == 1 else min(clean, most)
        if not noisy < min(clean, most):
            raise UserError(
                f"alpha_bar_range = {given}: nothing of it is within grid {grid.name!r}, "
                f"({least:.4g}, {most:.4g})"
            )
        check_process(process, starts_pure=noisy == 0)
        return cls((noisy, clean), grid)

    @property
    def starts_pure(self) -> bool:
        """Tell whether the first level is pure noise."""
        return self.alpha_bar_range[0] == 0

    @property
    def last_is_free(self) -> bool:
        """Tell whether the last noisy level may be anywhere."""
        return self.grid is None and self.alpha_bar_range[1] == 1

    @property
    def ends(self) -> np.ndarray:
        """Both ends as logsnr [2]; [3] with what bounds the noisy levels before the last end."""
        noisy, clean = alpha_bar_to_logsnr(self.alpha_bar_range)
        if self.grid is None or np.isfinite(clean):
            return np.array([noisy, clean])
        return np.array([noisy, self.grid.logsnr[0], clean])

    def clip(self, schedule: NoiseSchedule) -> NoiseSchedule:
        """Move a schedule into the range of the grid, see :meth:`TrainingGrid.clip`."""
        return schedule if self.grid is None else self.grid.clip(schedule)[0]

    def splits(self, schedule: NoiseSchedule) -> list[tuple[int, ...]]:
        """Return how many steps may lie before ``through``, see :func:`splits`.

        Raises:
          UserError: for fewer steps than there are parts.
        """
        return splits(schedule, self.through) if self.through else [()]

    def passing(self, schedule: NoiseSchedule, split: Sequence[int] | None = None) -> NoiseSchedule:
        """Return a schedule of as many steps through all of ``through``.

        Args:
          schedule: of S steps.
          split: one of :meth:`splits`, by default the first.
        """
        if not self.through:
            return schedule
        split = self.splits(schedule)[0] if split is None else split
        return self.clip(passing(schedule, self.through, split))
