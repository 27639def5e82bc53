"""What a picture shows, as plain values: no drawing here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specjax._core import checks
from specjax.gaussian.objective import loss as loss_of
from specjax.gaussian.transfer import transfer
from specjax.sampling.samplers import plan
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class Drawn:
    """A schedule as it is drawn.

    Attributes:
      name: for the legend. logsnr: [S + 1], the last may be +inf.
      std_ratio: [d], generated over true standard deviation of each eigenvalue.
      loss: on the whole spectrum.
    """

    name: str
    logsnr: np.ndarray
    std_ratio: np.ndarray
    loss: float


@dataclass(frozen=True, eq=False)
class LossCurve:
    """The loss [n] of a schedule of that name at each number of steps [n]."""

    name: str
    steps: Sequence[int]
    loss: Sequence[float]


@dataclass(frozen=True, eq=False)
class FitPicture:
    """A learned schedule beside others on one spectrum.

    Attributes:
      eigenvalues: [d], in squared units of the data; zeros are left out of the picture.
      schedules: in the order of the legend. learned: the name of the one to bring out.
      data, sampler, process, loss: their names, for the titles.
      over_steps: curves for any of the schedules; without one the loss at S alone is drawn.
      units: of the data. noise: the name of the forward noise, of whose variance eigenvalues are
        then multiples; None where it is isotropic.
    """

    eigenvalues: np.ndarray
    schedules: Sequence[Drawn]
    learned: str
    data: str
    sampler: str
    process: str
    loss: str
    over_steps: Sequence[LossCurve] = ()
    units: str = "network units"
    noise: str | None = None

    @property
    def brought_out(self) -> Drawn:
        """The learned schedule."""
        return next(drawn for drawn in self.schedules if drawn.name == self.learned)

    @property
    def steps(self) -> int:
        """S of the learned schedule."""
        return len(self.brought_out.logsnr) - 1


def fit_picture(
    spectrum: Spectrum,
    schedules: Mapping[str, NoiseSchedule],
    *,
    learned: str,
    sampler: str = "ddim",
    sampler_options: Mapping[str, Any] | None = None,
    loss: str = "w2",
    process: str = "vp",
    over_steps: Sequence[LossCurve] = (),
) -> FitPicture:
    """What each schedule does to each eigenvalue of a spectrum, and its loss.

    Args:
      spectrum: d eigenvalues. Its ``source`` says the data's name and whether a range was mapped
        to [-1, 1].
      schedules: by name; in the picture the learned one comes first, then by rising loss.
      learned: its name. over_steps: see :class:`FitPicture`.

    Raises:
      ValueError: for an unknown sampler, option, process, loss or learned name.
    """
    checks.one_of("learned", learned, schedules)
    options = dict(sampler_options or {})
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)
    true_std = np.sqrt(np.where(eigenvalues > 0, eigenvalues, np.nan))

    def drawn(name: str, schedule: NoiseSchedule) -> Drawn:
        moments = transfer(plan(sampler, schedule, process, **options), spectrum)
        return Drawn(
            name,
            np.asarray(schedule.logsnr, np.float64),
            np.asarray(moments.std, np.float64) / true_std,
            float(loss_of(spectrum, schedule, sampler, loss, process, options)),
        )

    every = [drawn(name, schedule) for name, schedule in schedules.items()]
    every.sort(key=lambda one: (one.name != learned, one.loss))
    source = spectrum.source or {}
    return FitPicture(
        eigenvalues,
        every,
        learned,
        data=str(source.get("name", "spectrum")),
        sampler=", ".join([sampler, *(f"{name} = {given}" for name, given in options.items())]),
        process=process,
        loss=loss,
        over_steps=over_steps,
        units="[-1, 1] units" if source.get("data_range") else "network units",
        noise=None if spectrum.noise is None else spectrum.noise.name,
    )
