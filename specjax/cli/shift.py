"""``specjax shift``: the shift of a flow-matching schedule that suits data, sizes and steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json
from specjax.cli.data import Data, Estimating, Reading

if TYPE_CHECKING:
    from specjax.advise.shift import BestShift
    from specjax.data import Dataset
    from specjax.schedules.schedule import NoiseSchedule
    from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, kw_only=True)
class ShiftCommand:
    """The best shift of a flow-matching schedule, by data (or a power law and sizes) and steps."""

    data: tyro.conf.Positional[tuple[Annotated[str, tyro.conf.arg(metavar="DATA")], ...]] = ()
    """data of one or several sizes, each as 'specjax spectrum' takes it, or spectrum files"""
    steps: tuple[int, ...] = (10, 20, 50)
    """the numbers of steps"""
    power_law: float | None = None
    """in place of data: the exponent of the power over frequency, about 2 for photographs"""
    sizes: tuple[str, ...] = ("32", "64", "128")
    """with power-law: sides of squares, or axes such as 16x64x64 for frames"""
    sampler: str = "ddim"
    """ddim (Euler's method in flow matching), heun, dpmpp_2m, ..."""
    loss: str = "w2"
    """w2, kl, kl_reverse, l1 or relative"""
    reading: Reading = field(default_factory=Reading)
    estimating: Estimating = field(default_factory=Estimating)
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Find the shifts and print them."""
        from specjax.advise.by_steps import check_steps
        from specjax.advise.shift import best_shift
        from specjax.report import advise as report
        from specjax.report.table import print_blocks

        check_steps(self.steps)
        rows = []
        for spectrum, dataset in self._spectra():
            found = [
                best_shift(spectrum, one, sampler=self.sampler, loss=self.loss)
                for one in self.steps
            ]
            rows.append((spectrum, found, self._errors(spectrum, dataset, found)))
        if self.json:
            print_json(report.shift_json(rows))
        else:
            title = f"best shift of flow matching, {self.sampler}, {self.loss}"
            print_blocks(report.shift_blocks(rows, title))

    def _spectra(self) -> list[tuple[Spectrum, Dataset | None]]:
        from specjax.advise.advice import method_for
        from specjax.advise.shift import frequency_power_law
        from specjax.data import Dataset

        if (self.power_law is None) == (not self.data):
            raise UserError("data and power_law: give data, or --power-law with --sizes")
        if self.power_law is not None:
            grids = [_sides(text) for text in self.sizes]
            laws = [frequency_power_law(self.power_law, grid) for grid in grids]
            floor = self.estimating.floor
            return [(law if floor is None else law.floor(floor), None) for law in laws]
        spectra: list[tuple[Spectrum, Dataset | None]] = []
        for name in self.data:
            data = Data(data=name, reading=self.reading, estimating=self.estimating)
            opened = data.open()
            dataset = opened if isinstance(opened, Dataset) else None
            method = None if dataset is None else method_for(dataset)
            spectra.append((data.spectrum(opened, method), dataset))
        return spectra

    def _errors(
        self, spectrum: Spectrum, dataset: Dataset | None, found: list[BestShift]
    ) -> list[float]:
        """Return the standard errors of the shifts; NaN without samples."""
        from specjax.advise.resampling import replicates_of
        from specjax.advise.shift import shifted
        from specjax.gaussian.task import GaussianTask

        resampled = dataset and replicates_of(spectrum, dataset, 100, self.reading.seed)
        if not resampled:
            return [math.nan] * len(found)
        task = GaussianTask.resolve(spectrum, sampler=self.sampler, loss=self.loss, process="flow")

        def of(steps: int) -> Callable[[float], NoiseSchedule]:
            return lambda log_shift: shifted(steps, math.exp(log_shift))

        return [
            one.shift * resampled.errors(task, of(one.steps), math.log(one.shift)) for one in found
        ]


def _sides(text: str) -> tuple[int, ...]:
    """Read the axes of a grid, such as 16x64x64; a single number is the side of a square."""
    try:
        sides = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        sides = ()
    if not 1 <= len(sides) <= 3:
        raise UserError(f"sizes = {text!r}: give a side such as 64, or axes such as 16x64x64")
    sides = sides * 2 if len(sides) == 1 else sides
    return checks.sample_shape(sides, "sizes")
