"""``specjax fit`` and ``specjax compare``: learn a schedule, and compare it with others."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, remark, status
from specjax.cli.data import Data, GivenData, under
from specjax.cli.outputs import BESIDE, Reporting, picture_of
from specjax.cli.schedules import read_schedule
from specjax.files.forward_noise import ForwardNoise
from specjax.spectra.estimate import check_units

if TYPE_CHECKING:
    from specjax.data import Dataset
    from specjax.fitting.compare import Comparison
    from specjax.fitting.learned import LearnedResult
    from specjax.gaussian.probe import Probe
    from specjax.gaussian.task import GaussianTask
    from specjax.report.fit import Judged
    from specjax.schedules.schedule import NoiseSchedule
    from specjax.spectra.spectrum import Spectrum


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The sampler, the loss, and the network that will be sampled."""

    sampler: str = "ddim"
    """ddim, ddpm, euler_ancestral, heun, dpmpp_2m, dpmpp_2m_sde, dpmpp_3m, unipc, lms, deis or
    ipndm"""
    sampler_options: tuple[str, ...] = ()
    """the sampler's own options, such as eta=0.5"""
    loss: str = "w2"
    """w2 (squared Wasserstein distance), kl, kl_reverse, l1 or relative"""
    alpha_bar_range: tuple[float, float] | None = None
    """NOISY CLEAN: the two ends; with CLEAN = 1.0 the last step returns the denoised estimate, with
    NOISY = 0 the first one starts from pure noise; by default 4.0358e-5 1.0, in flow matching and
    on a grid of zero terminal SNR 0 1"""
    ends: str | None = None
    """auto: the noisy end that the spectrum and the number of steps advise, in place of
    alpha-bar-range"""
    mean: str = "match"
    """match, or ignore: fit the fluctuations alone, for data whose mean is subtracted or samples
    that start at it"""
    grid: str | None = None
    """the training grid of the network that will be called, within which levels stay: ddpm, sd,
    cosine, flow, or a scheduler_config.json of diffusers; by default they may be anywhere"""
    process: str = "vp"
    """vp, ve or flow"""
    restarts: int | None = None
    """how many of the best starting points are optimised (by default 1; 8 where several minima are
    likely)"""
    denoiser: str | None = None
    """a file by 'specjax probe': fit for that network in place of the ideal denoiser"""
    denoiser_error: float | None = None
    """the network's error, as a share of the ideal denoiser's own, which the loss counts: by
    default 0.1 for samplers that lean on past answers, which are else fitted to levels that no
    network follows, and 0 for others"""

    def task(self, spectrum: Spectrum, steps: int, probe: Probe | None = None) -> GaussianTask:
        """Resolve the task on a spectrum, with ends for a number of steps where they are asked."""
        from specjax.advise.by_steps import ends_for
        from specjax.gaussian.task import GaussianTask
        from specjax.interop.on_grid import read_grid
        from specjax.sampling.samplers import sampler_of

        options = checks.named_values("sampler_options", self.sampler_options)
        resolve = functools.partial(
            GaussianTask.for_fit, spectrum, sampler=sampler_of(self.sampler, **options),
            loss=self.loss, process=self.process, denoiser=probe, mean=self.mean,
            denoiser_error=self.denoiser_error, grid=self.grid and read_grid(self.grid),
        )  # fmt: skip
        task = resolve(alpha_bar_range=self.alpha_bar_range)
        if self.ends is None:
            return task
        checks.one_of("ends", self.ends, ("auto",))
        if self.alpha_bar_range is not None:
            raise UserError(
                f"ends = 'auto' and alpha_bar_range = {self.alpha_bar_range} both set the ends: "
                "leave one out"
            )
        return resolve(alpha_bar_range=ends_for(task, steps))

    def check(self, steps: Sequence[int], seed: int) -> None:
        """Refuse what can be refused before the data are read, on a spectrum of one eigenvalue."""
        from specjax.fitting.fit import restarts_for
        from specjax.spectra.spectrum import Spectrum

        if not steps:
            raise UserError("steps = (): give at least one whole number")
        for one in steps:
            checks.whole_number("steps", one)
        checks.seed(seed)
        restarts_for(self.task(Spectrum(np.ones(1)), steps[0]).modes, self.restarts)

    def probe(self) -> Probe | None:
        """Load the probe of the network, if one is given."""
        from specjax.gaussian.probe import Probe

        if self.denoiser is None:
            return None
        loaded = files.load(self.denoiser)
        if not isinstance(loaded, Probe):
            raise UserError(
                f"denoiser = {self.denoiser} is no probe: give a file by 'specjax probe'"
            )
        return loaded

    def compare(
        self, task: GaussianTask, steps: int, seed: int, schedules: dict[str, NoiseSchedule]
    ) -> Comparison:
        """Compare a fit with the heuristics and the given schedules, with a progress bar."""
        from specjax.fitting.compare import compare

        with progress("fit", "iterations", first="compiling") as update:
            return compare(
                task, steps, restarts=self.restarts, seed=seed, schedules=schedules,
                progress=lambda done, most, value: update(done, most),
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fit(Reporting):
    """Learn a schedule: a schedule file, a table beside the usual schedules, and a picture."""

    data: GivenData = field(default_factory=Data)
    steps: int = tyro.MISSING
    """S, the number of denoiser calls of a one-call-per-step sampler"""
    goal: Goal = field(default_factory=Goal)
    noise: ForwardNoise = field(default_factory=ForwardNoise)
    against: Annotated[str | None, tyro.conf.arg(metavar="NETWORK")] = None
    """a run folder by 'specjax train', or a denoiser in Python (FILE.py:NAME or MODULE:NAME): run
    the learned schedule and all others through it, and see which is nearer to its fine solutions"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "schedule.json"
    """the schedule file to write"""
    plot: str | None = BESIDE
    """the picture to write (.png, .pdf, .svg), or None; by default OUT's name with .png"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Estimate the spectrum, fit and compare; write the files; print the table."""
        from specjax.report import fit as report
        from specjax.report.figures import comparison_figure, save_figure
        from specjax.report.figures.save import check_path
        from specjax.report.use import code_of

        self.goal.check([self.steps], self.data.seed)
        self.noise.check()
        picture = picture_of(self.plot, self.out)
        self.check_outputs({"out": self.out, "plot": picture, "html": self.html})
        if picture is not None:
            check_path(picture)
        probe, opened = self.goal.probe(), self.data.open()
        self.data.noise(opened, self.noise)
        network = self._network(opened)
        spectrum = under(self.noise, self.data.spectrum(opened))
        noise = report.noise_facts(spectrum, self.goal.loss)
        task = self.goal.task(spectrum, self.steps, probe)
        comparison = self.goal.compare(task, self.steps, self.data.seed, {})
        judged = self._judged(comparison, network)
        files.save(self.out, replace(comparison.learned, baselines=comparison.baselines))
        written = [self.out]
        if picture is not None or self.html is not None:
            with status("drawing"):
                figure = comparison_figure(comparison)
                if picture is not None:
                    save_figure(figure, picture)
                    written.append(picture)
                written += self.write_html(
                    f"{self.steps} steps of {self.goal.sampler} on {self.data.data}",
                    report.fit_blocks(comparison, spectrum, (), noise, judged), [figure],
                    code_of(comparison.learned, self.out),
                )  # fmt: skip
        if self.json:
            facts = report.comparison_json(comparison, noise)
            print_json({**facts, **report.distances_json(judged), "files": written})
        else:
            report.print_fit(comparison, spectrum, written, noise, judged)

    def _network(self, opened: Spectrum | Dataset) -> Any:
        """Open the network that judges, before the data are read; its samples are like them."""
        from specjax.cli.python_denoiser import PythonDenoiser, is_named
        from specjax.cli.runs import open_run

        if self.against is None:
            return None
        shape = tuple((opened.source or {}).get("shape", ())) if is_named(self.against) else ()
        run = open_run(self.against, "best", shape)
        return run.as_prior() if isinstance(run, PythonDenoiser) else run

    def _judged(self, comparison: Comparison, network: Any) -> Judged | None:
        """Run all schedules through the network, if there is one."""
        if network is None:
            return None
        from specjax.learning.on_network import compare_on

        with status(f"running {len(comparison.rows)} schedules through {self.against}"):
            return str(self.against), compare_on(comparison, network, seed=self.data.seed)


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare the learned schedule with all usual ones and those that you give, on one spectrum."""

    data: GivenData = field(default_factory=Data)
    steps: tuple[int, ...] = tyro.MISSING
    """one or several S, the numbers of denoiser calls of a one-call-per-step sampler"""
    schedule: tuple[str, ...] = ()
    """schedule files, plan files (their levels), or lists of sigmas: text files, or the numbers
    themselves, such as 14.6,1.2,0"""
    goal: Goal = field(default_factory=Goal)
    noise: ForwardNoise = field(default_factory=ForwardNoise)
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Fit and compare for every S, and print the tables."""
        from specjax.report import fit as report

        self.goal.check(self.steps, self.data.seed)
        self.noise.check()
        probe = self.goal.probe()
        given = {name: read_schedule(name) for name in self.schedule}
        opened = self.data.open()
        self._check_schedules(given, opened)
        spectrum = under(self.noise, self.data.spectrum(opened))
        noise = report.noise_facts(spectrum, self.goal.loss)
        levels = {name: result.schedule for name, result in given.items()}
        compared = [
            self.goal.compare(self.goal.task(spectrum, one, probe), one, self.data.seed, levels)
            for one in self.steps
        ]
        if self.json:
            print_json({"comparisons": [report.comparison_json(one, noise) for one in compared]})
        else:
            report.print_comparisons(compared, spectrum, noise)

    def _check_schedules(self, given: dict[str, LearnedResult], opened: Spectrum | Dataset) -> None:
        """Refuse schedules for other units or another noise; say that a plan's levels are taken."""
        from specjax.noise.noise_spectrum import check_noise

        noise = self.data.noise(opened, self.noise)
        for name, result in given.items():
            check_units(result.source, opened.source, schedule=name, data=self.data.data)
            if result.kept != "given":  # levels alone are for no noise
                check_noise(result.noise, noise, what=name, where="the comparison")
            if result.corrections is not None:
                remark(f"{name} is a plan: its levels are compared under {self.goal.sampler}")
