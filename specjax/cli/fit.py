"""``specjax fit`` and ``specjax compare``: a schedule is learned, and judged beside others."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, status
from specjax.cli.data import Data, GivenData
from specjax.cli.schedules import levels_of, noise_of, read_schedule, source_of
from specjax.files.forward_noise import ForwardNoise
from specjax.noise.noise_spectrum import check_noise
from specjax.noise.whitening import effective
from specjax.schedules.schedule import NoiseSchedule
from specjax.spectra.units import check_units

if TYPE_CHECKING:
    from specjax.cli.schedules import Found
    from specjax.data import Dataset
    from specjax.fitting.compare import Comparison
    from specjax.gaussian.probe import Probe
    from specjax.gaussian.task import GaussianTask
    from specjax.spectra.spectrum import Spectrum

_CURVE_STEPS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """With what is sampled, and how it is judged."""

    sampler: str = "ddim"
    """ddim, ddpm, euler_ancestral, heun, dpmpp_2m, dpmpp_2m_sde or lms"""
    sampler_options: tuple[str, ...] = ()
    """the sampler's own options, such as eta=0.5"""
    loss: str = "w2"
    """w2 (squared Wasserstein distance), kl, kl_reverse, l1 or relative"""
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE
    """the two ends; with CLEAN = 1.0 the last step returns the denoised estimate"""
    process: str = "vp"
    """vp or ve"""
    restarts: int | None = None
    """how many of the best starts are followed (by default 1; 8 where several minima are likely)"""
    denoiser: str | None = None
    """a file by 'specjax probe': the network that will be sampled, in place of the ideal one"""
    denoiser_error: float = 0.0
    """what the network errs by, as a part of the ideal denoiser's own error: with 0.1 dpmpp_2m gets
    levels that a network can follow"""

    def task(self, spectrum: Spectrum, probe: Probe | None = None) -> GaussianTask:
        """Resolve what is asked for on a spectrum."""
        from specjax.gaussian.task import GaussianTask
        from specjax.sampling.samplers import sampler_of

        options = checks.named_values("sampler_options", self.sampler_options)
        return GaussianTask.resolve(
            spectrum, sampler=sampler_of(self.sampler, **options), loss=self.loss,
            process=self.process, alpha_bar_range=self.alpha_bar_range, denoiser=probe,
            denoiser_error=self.denoiser_error,
        )  # fmt: skip

    def check(self, steps: int) -> None:
        """Refuse what can be refused before the data are read."""
        from specjax.spectra.spectrum import Spectrum

        checks.whole_number("steps", steps)
        if self.restarts is not None:
            checks.whole_number("restarts", self.restarts)
        self.task(Spectrum(np.ones(1)))

    def probe(self) -> Probe | None:
        """Load the probe of the denoiser, if one is given."""
        from specjax.gaussian.probe import Probe

        if self.denoiser is None:
            return None
        loaded = files.load(self.denoiser)
        if not isinstance(loaded, Probe):
            raise UserError(f"{self.denoiser} is no probe: give a file by 'specjax probe'")
        return loaded

    def compared(
        self,
        task: GaussianTask,
        steps: int,
        seed: int,
        schedules: dict[str, NoiseSchedule] | None = None,
    ) -> Comparison:
        """Compare a fit with the heuristics and the given schedules, with a progress bar."""
        from specjax.fitting.compare import compare

        with progress("fit", "iterations") as update:
            return compare(
                task, steps, restarts=self.restarts, seed=seed, schedules=schedules,
                progress=lambda done, most, value: update(done, most),
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Learn a schedule: a table beside the heuristics, a schedule file and a picture."""

    data: GivenData = field(default_factory=Data)
    steps: int = tyro.MISSING
    """S, the number of denoiser calls of a one-call-per-step sampler"""
    goal: Goal = field(default_factory=Goal)
    noise: ForwardNoise = field(default_factory=ForwardNoise)
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "schedule.json"
    """the schedule file to write"""
    plot: str | None = "schedule.png"
    """the picture to write (.png, .pdf, .svg), or None"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Spectrum, fit, comparison; then the files; then the table."""
        from specjax.report import fit as report
        from specjax.report.figures.save import check_path

        self.goal.check(self.steps)
        self.noise.check()
        checks.seed(self.data.seed)
        files.check_folder(self.out)
        if self.plot is not None:
            check_path(self.plot)
        files.check_apart(data=self.data.data, out=self.out, plot=self.plot)
        probe, opened = self.goal.probe(), self.data.open()
        self.data.noise(opened, self.noise)
        spectrum = under(self.noise, self.data.spectrum(opened))
        noise = report.noise_facts(spectrum, self.goal.loss)
        task = self.goal.task(spectrum, probe)
        comparison = self.goal.compared(task, self.steps, self.data.seed)
        result = replace(comparison.learned, baselines=comparison.baselines)
        files.save(self.out, result)
        if self.plot is not None:
            with status("drawing"):
                _draw(self.plot, comparison)
        written = [self.out, *([self.plot] if self.plot else [])]
        if self.json:
            print_json({**report.comparison_json(comparison, noise), "files": written})
        else:
            report.print_fit(comparison, spectrum, written, noise)


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Every schedule family, the learned schedule and any that you give, on one spectrum."""

    data: GivenData = field(default_factory=Data)
    steps: tuple[int, ...] = tyro.MISSING
    """one or several S"""
    schedules: tuple[str, ...] = ()
    """schedule files, plan files (their levels), or lists of sigmas (text files, or "14.6,1.2,0" in
    place)"""
    goal: Goal = field(default_factory=Goal)
    noise: ForwardNoise = field(default_factory=ForwardNoise)
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """A fit and a comparison for every S."""
        from specjax.report import fit as report

        if not self.steps:
            raise UserError("steps = (): give at least one whole number")
        for steps in self.steps:
            self.goal.check(steps)
        self.noise.check()
        checks.seed(self.data.seed)
        probe = self.goal.probe()
        given = {name: read_schedule(name) for name in self.schedules}
        opened = self.data.open()
        self._check_schedules(given, opened)
        spectrum = under(self.noise, self.data.spectrum(opened))
        noise = report.noise_facts(spectrum, self.goal.loss)
        task = self.goal.task(spectrum, probe)
        levels = {name: levels_of(schedule) for name, schedule in given.items()}
        found = [self.goal.compared(task, steps, self.data.seed, levels) for steps in self.steps]
        if self.json:
            print_json({"comparisons": [report.comparison_json(one, noise) for one in found]})
        else:
            report.print_comparisons(found, spectrum, noise)

    def _check_schedules(self, given: dict[str, Found], opened: Spectrum | Dataset) -> None:
        """Refuse schedules of other units or of another noise; say that a plan is levels here."""
        noise = self.data.noise(opened, self.noise)
        for name, schedule in given.items():
            check_units(source_of(schedule), opened.source, schedule=name, data=self.data.data)
            if not isinstance(schedule, NoiseSchedule):
                check_noise(noise_of(schedule), noise, what=name, where="the comparison")
            if getattr(schedule, "corrections", None) is not None:
                print(
                    f"specjax: {name} is a plan: its levels are compared under {self.goal.sampler}",
                    file=sys.stderr,
                )


def under(noise: ForwardNoise, spectrum: Spectrum) -> Spectrum:
    """The spectrum of the data under the noise that is asked for."""
    if noise.white:
        return spectrum
    with status("solving for the spectrum under the noise"):
        return effective(spectrum, noise.on(spectrum))


def _draw(path: str, comparison: Comparison) -> None:
    from specjax.fitting.compare import heuristics, losses_over_steps
    from specjax.report.figures import fit_figure, save_figure

    task = comparison.task
    curves = {
        name: dict(zip(_CURVE_STEPS, losses_over_steps(task, make, _CURVE_STEPS), strict=True))
        for name, make in heuristics(task).items()
    }
    schedules = {row.name: row.schedule for row in comparison.rows}
    save_figure(fit_figure(task, schedules, learned="learned", over_steps=curves), path)
