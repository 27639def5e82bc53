"""``specjax learn``: whole plans, learned through what is known of data or through a network."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from specjax import files
from specjax._core import checks
from specjax._core.cache import cache_folder
from specjax._core.checks import UserError
from specjax.cli.console import print_json, progress, remark, status
from specjax.cli.learn_priors import NETWORK, Curriculum, PriorOptions, curriculum_of
from specjax.cli.learn_recording import is_recording, learn_recording
from specjax.cli.outputs import BESIDE, Reporting, picture_of
from specjax.cli.python_denoiser import PythonDenoiser

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from specjax.fitting.learned import LearnedResult
    from specjax.learning.heuristics import Heuristic
    from specjax.learning.settings import LearnSettings
    from specjax.schedules.level_range import LevelRange

_SHOWN_HEURISTICS = 3  # in the picture
_FINE_CALLS = 64  # of the fine solution in the picture


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Options of the learning: what is learned, from which start, by which objective."""

    sampler: str | None = None
    """ddim, ddpm, euler_ancestral, dpmpp_2m or dpmpp_2m_sde, whose plan it is in the beginning
    (levels alone: any sampler); by default the better of ddim and dpmpp_2m"""
    sampler_options: tuple[str, ...] = ()
    """the sampler's own options, such as eta=0.5"""
    groups: tuple[str, ...] = ("levels", "ratios", "weights", "noise", "guidance")
    """what is learned, of levels, ratios, weights, noise and (of a guided network) guidance, a
    weight for each call; the others stay the sampler's, or constant"""
    network_calls: int | None = None
    """of a guided network at most, of which some calls are then not guided; by default two for each
    call of the denoiser"""
    memory: int | None = None
    """past estimates that a step leans on, up to all; by default 2 for a network, else the
    sampler's own, or 1"""
    objective: tuple[str, ...] = ()
    """on the last prior: weights of the logarithms of transfer, teacher (a geometric mean over
    samples), teacher_mean and energy, such as
    teacher=1 transfer=0.2; by default as docs/plans.md says of each prior"""
    loss: str = "w2"
    """of the transfer: w2, kl, kl_reverse, l1 or relative"""
    process: str = "vp"
    """vp, ve or flow"""
    alpha_bar_range: tuple[float, float] | None = None
    """NOISY CLEAN: the two ends; with CLEAN = 1.0 the last step returns the denoised estimate, with
    NOISY = 0 the first one starts from pure noise; by default 4.0358e-5 1.0, in flow matching and
    on a grid of zero terminal SNR 0 1"""
    start_level: float | None = None
    """where plans start from data with so much noise, instead of from noise (image to image, the
    second of two experts): alpha_bar in vp, sigma in ve, the time in flow"""
    strength: float | None = None
    """in its place, as diffusers has it: the share of the grid's timesteps that are left"""
    through: tuple[float, ...] = ()
    """levels that plans must have, in the same terms, such as the boundary of two experts"""
    grid: str | None = None
    """the training grid of the network that will be called, within which levels stay: ddpm, sd,
    cosine, flow, or a scheduler_config.json of diffusers; by default they may be anywhere"""
    n: int | None = None
    """noises on the last prior, and as many held out; by default 512, or 128 for a network"""
    batch: int | None = None
    """noises in one call of the last prior; by default what suits the device"""
    max_iterations: int | None = None
    """of each plan at most; by default 100, or 300 evaluations where gradients are needed"""
    max_calls: int | None = None
    """samples denoised while a plan is learned, apart from fine solutions and heuristics, at most:
    learning then ends with the best so far"""
    teacher_tolerance: float = 0.01
    """how much doubling the teacher's steps may change its solutions, as a part of their standard
    deviation"""

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of :func:`specjax.learn`."""
        from specjax.interop.on_grid import read_grid
        from specjax.sampling.samplers import sampler_of

        known = {one.name: getattr(self, one.name) for one in fields(self)}
        options = checks.named_values("sampler_options", known.pop("sampler_options"))
        if options and self.sampler is None:
            raise UserError("sampler_options: say of which --sampler")
        if self.sampler is not None:
            known["sampler"] = sampler_of(self.sampler, **options)
        known["grid"] = self.grid and read_grid(self.grid)
        known["objective"] = checks.named_values("objective", self.objective) or None
        if self.max_calls is None:
            del known["max_calls"]
        return known


@dataclass(frozen=True, kw_only=True)
class LearnCommand(Reporting):
    """Learn whole plans: levels, and what is done with the denoiser's answers."""

    through: Annotated[PriorOptions, tyro.conf.arg(name="")] = field(default_factory=PriorOptions)
    steps: tuple[int, ...] = tyro.MISSING
    """one or several S, the numbers of denoiser calls"""
    learning: Learning = field(default_factory=Learning)
    start: tuple[str, ...] = ()
    """plan files to start from, of any S, prior or noise"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "plan.json"
    """the plan file to write; of several S plan-S.json, and those that are there already, learned
    in the same way, are not learned again"""
    one_file: bool = False
    """write the plans of several S into one file, OUT, which then serves any S between them, too"""
    plot: str | None = BESIDE
    """the picture to write (.png, .pdf, .svg), or None; by default OUT's name with .png"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """Learn the plans, write each as it is learned, draw, and print the table."""
        from specjax.gaussian.modes import modes_of
        from specjax.learning import learn_all, verdicts
        from specjax.learning.heuristics import amplification
        from specjax.learning.settings import LearnSettings
        from specjax.report import learn as report_learn
        from specjax.report.figures import save_figure
        from specjax.report.use import code_of

        self._check()
        options = {**self.learning.options, "seed": self.through.seed}
        if self.through.labels:
            options["labels"] = np.asarray(self.through.labels, np.int32)
        settings = LearnSettings.resolve(**options)
        if is_recording(self.through.source):
            learn_recording(self)
            return
        starts = [one for path in self.start for one in files.load_plans(path)]
        whole = settings.from_noise().levels
        curriculum = curriculum_of(self.through, whole)
        last, labels = curriculum.last, self._labels(curriculum)
        if labels:
            options["labels"] = np.asarray(labels, np.int32)
        request = self._request(curriculum, settings.for_prior(last))
        known = self._known(request)
        grows = self.one_file and known  # by plans learned in the same way
        self.check_outputs(self.outputs(set() if grows else set(self.steps) - set(known)))
        if last.kind == NETWORK:
            options |= {"cache": cache_folder("teachers"), "mesh": curriculum.mesh}

        def learned(result: LearnedResult) -> None:
            if result.prior == last.kind:
                source = {**result.source, "request": request}  # for those who ask again
                kept[result.steps] = replace(result, source=source)
                path = self.path_of(result.steps)
                files.save(path, [*kept.values()] if self.one_file else kept[result.steps])

        kept = dict(known)
        unit = "calls" if settings.for_prior(last).is_sum_of_squares else "evaluations"
        with progress("learning", unit, long=True, first="compiling") as update:
            every = learn_all(
                curriculum.priors, self.steps, start=starts, known=known, learned=learned,
                progress=lambda done, most, gain: update(done, most, _gained(gain)),
                teacher_progress=lambda what: lambda done, total: update(
                    done, total, f"calls for {what}"
                ),
                **options,
            )  # fmt: skip
        found = [one for one in every if one.prior == last.kind]
        if self.one_file:
            every += self._between(found)
        with status("judging every plan on every prior"):
            judged = verdicts(every, curriculum.priors, **options)
            ratios = [amplification(one, last) for one in found]
            variance = None
            if last.spectrum is not None:
                modes = modes_of(last.spectrum, in_data_units=True)
                variance = float(modes.weights @ modes.eigenvalues)
        written = list(dict.fromkeys(str(self.path_of(one.steps)) for one in found))
        if self._picture is not None or self.html is not None:
            with status("drawing"):
                figure = _figure(found, curriculum, self.through.samples, labels, whole)
                if self._picture is not None:
                    written.append(str(save_figure(figure, self._picture)))
                written += self.write_html(
                    f"{found[-1].steps} calls, learned on {self.through.source}",
                    report_learn.learned_blocks(found, judged, ratios, (), variance), [figure],
                    code_of(found[-1], str(self.path_of(found[-1].steps))),
                )  # fmt: skip
        if self.json:
            print_json({**report_learn.learned_json(found, judged, ratios), "files": written})
        else:
            report_learn.print_learned(found, judged, ratios, written, variance)

    def _labels(self, curriculum: Curriculum) -> tuple[int, ...]:
        """Return the classes that the network is told; with guidance all, where none are given."""
        if self.through.labels or curriculum.run is None or not self.through.guidance:
            return self.through.labels
        return tuple(range(curriculum.run.classes))

    def _check(self) -> None:
        """Refuse what can be refused before anything is read."""
        from specjax.report.figures.save import check_path

        if not self.steps:
            raise UserError("steps = (): give at least one whole number")
        for steps in self.steps:
            checks.whole_number("steps", steps)
        replace(self, force=True).check_outputs(self.outputs(set(self.steps)))
        plans = {s for s in self.steps if files.kind_of(self.path_of(s)) in ("learned", "plans")}
        self.check_outputs(self.outputs(set(self.steps) - plans))  # those may be kept
        if self._picture is not None:
            check_path(self._picture)
        self.through.check()

    def outputs(self, steps: set[int]) -> dict[str, Any]:
        """Return the picture and the plan of each S, by names for messages."""
        one = self.one_file or len(set(self.steps)) == 1
        plans = {"out" if one else f"out of S = {s}": s for s in sorted(steps)}
        return {name: self.path_of(s) for name, s in plans.items()} | {
            "plot": self._picture,
            "html": self.html,
        }

    @property
    def _picture(self) -> str | None:
        return picture_of(self.plot, self.out)

    def path_of(self, steps: int) -> Path:
        """Return the file of the plan of S steps."""
        path = Path(self.out)
        if self.one_file or len(set(self.steps)) == 1:
            return path
        return path.with_name(f"{path.stem}-{steps}{path.suffix}")

    def _between(self, found: Sequence[LearnedResult]) -> list[LearnedResult]:
        """Make the plans between those that were learned, which nobody has to learn."""
        from specjax.fitting.any_steps import PlanSet

        plans = PlanSet(found)
        every = range(plans.steps[0], plans.steps[-1])
        return [plans.of(steps) for steps in every if steps not in plans.steps]

    def _request(self, curriculum: Curriculum, settings: LearnSettings) -> dict[str, Any]:
        """Collect what a plan depends on, as a plan file keeps it."""
        asked = {one.name: getattr(self.learning, one.name) for one in fields(self.learning)}
        run, labels = curriculum.run, self.through.labels
        if isinstance(run, PythonDenoiser):
            asked["answers"] = run.answers_digest(labels)
        return files.plain({
            **asked,
            "alpha_bar_range": list(settings.alpha_bar_range),
            "grid": settings.grid and files.checksum({"logsnr": settings.grid.logsnr.tolist()}),
            "objective": dict(settings.objective),
            "priors": [f"{one.kind} {one.fingerprint}" for one in curriculum.priors],
            "seed": self.through.seed,
            "labels": list(labels),
            "guidance": [*self.through.guidance, *(self.through.guidance_interval or ())],
            "start": [files.checksum({"file": files.read_bytes(x).decode()}) for x in self.start],
        })  # fmt: skip

    def _known(self, request: Mapping[str, Any]) -> dict[int, LearnedResult]:
        """Load the plans that were learned in the same way before; of a file all, or none."""
        found: dict[int, LearnedResult] = {}
        for path in {self.path_of(steps) for steps in self.steps}:
            with contextlib.suppress(UserError):  # missing or damaged: it will be written anew
                before = files.load_plans(path)
                if all(one.source.get("request") == request for one in before):
                    found |= {one.steps: one for one in before}
                    remark(f"{path} is there, learned in the same way: kept")
        return found


def _gained(gain: float) -> str:
    """Say how far the held-out objective, a sum of logarithms, has come."""
    return "" if np.isnan(gain) else f"held out {np.exp(gain):.3g} of the start's"


def _figure(
    found: Sequence[LearnedResult], curriculum: Curriculum, n: int, labels: tuple[int, ...],
    whole: LevelRange,
) -> Figure:  # fmt: skip
    """Draw the plans, the best heuristic of each schedule, and samples of a network."""
    from specjax.learning.heuristics import rivals
    from specjax.report.figures import learn_figure

    best: dict[str, tuple[str, Heuristic]] = {}
    for name, one in rivals(found[-1], curriculum.last).items():
        best.setdefault(name.split()[1], (name, one))
    beside = dict(list(best.values())[:_SHOWN_HEURISTICS])
    limits = {one.steps: _limit(one, curriculum) for one in found}
    return learn_figure(
        found,
        {name: one.schedule for name, one in beside.items()},
        {steps: x for steps, x in limits.items() if x is not None},
        None
        if curriculum.run is None
        else _samples(found[-1], beside, curriculum, n, labels, whole),
    )


def _limit(result: LearnedResult, curriculum: Curriculum) -> float | None:
    """Compute what no plan of so many calls falls below, where that is known."""
    from specjax.fitting import limits

    spectrum = curriculum.last.spectrum
    exact = result.prior == "gaussian" and dict(result.objective).keys() == {"transfer"}
    exact = exact and not result.from_data
    if not exact or spectrum is None or result.plan.stochastic or not result.schedule.ends_clean:
        return None
    noisy = float(result.schedule.alpha_bar[0])
    return limits.gaussian(
        spectrum, result.steps, loss=result.loss, noisy=noisy, process=result.process
    )


def _samples(
    result: LearnedResult,
    beside: Mapping[str, Heuristic],
    curriculum: Curriculum,
    n: int,
    labels: tuple[int, ...],
    whole: LevelRange,
) -> dict[str, np.ndarray] | None:
    """Draw samples of one noise by the plan, the best heuristic and a fine solution.

    ``whole`` is the range of the levels from noise, from which samples to start from come.
    """
    from specjax.learning.heuristics import levels_of
    from specjax.learning.teacher import fine_plan
    from specjax.report.figures.samples import as_pictures
    from specjax.sampling.generate import generate

    run = curriculum.run
    assert run is not None
    name, heuristic = next(iter(beside.items()))
    fine = fine_plan(curriculum.last, _FINE_CALLS, levels_of(result), result.process)
    plans = {
        f"learned, {result.plan.calls} calls": result.plan,
        f"{name}, {heuristic.schedule.steps} steps": heuristic.plan(result.process, 0),
        f"fine solution, {_FINE_CALLS} calls": fine,
    }
    noise, denoiser = run.noise, run.denoiser()
    told = np.resize(np.asarray(labels, np.int32), n) if labels else None
    data = None
    if result.from_data:  # fine samples of other noise
        data = generate(
            fine_plan(curriculum.last, _FINE_CALLS, whole, result.process), denoiser, n, run.shape,
            noise=noise, labels=told, seed=1,
        )  # fmt: skip
    samples = {
        name: generate(plan, denoiser, n, run.shape, noise=noise, labels=told, data=data)
        for name, plan in plans.items()
    }
    pictures = {name: as_pictures(x) for name, x in samples.items()}
    known = {name: x for name, x in pictures.items() if x is not None}
    return known or None
