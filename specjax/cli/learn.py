"""``specjax learn``: whole plans, learned through what is known of data or through a network."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.cli.console import cache_folder, print_json, progress, status
from specjax.cli.learn_rungs import Ladder, Rungs, ladder_of
from specjax.fitting.learned import PlanResult
from specjax.schedules.schedule import alpha_bar_range_of

if TYPE_CHECKING:
    import numpy as np

    from specjax.learning.heuristics import Heuristic

_BESIDE = 3  # heuristic plans in the picture
_FINE = 64  # calls of the fine solution in the picture


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What is learned, from what on, and by which objective."""

    sampler: str | None = None
    """ddim, ddpm, euler_ancestral, dpmpp_2m or dpmpp_2m_sde, whose plan it is in the beginning
    (levels alone: any sampler); by default the better of ddim and dpmpp_2m"""
    sampler_options: tuple[str, ...] = ()
    """the sampler's own options, such as eta=0.5"""
    groups: tuple[str, ...] = ("levels", "ratios", "weights", "noise")
    """what is learned, of levels, ratios, weights and noise; the others stay the sampler's"""
    memory: int | None = None
    """past estimates that a step leans on, up to 2; by default the sampler's own, or 1"""
    objective: tuple[str, ...] = ()
    """on the last rung: weights of the logarithms of transfer, teacher and energy, such as
    teacher=1 transfer=0.2; by default as docs/plans.md says of each rung"""
    loss: str = "w2"
    """of the transfer: w2, kl, kl_reverse, l1 or relative"""
    process: str = "vp"
    """vp or ve"""
    alpha_bar_range: tuple[float, float] = checks.DEFAULT_ALPHA_BAR_RANGE
    """the two ends; with CLEAN = 1.0 the last step returns the denoised estimate"""
    n: int | None = None
    """noises on the last rung, and as many held out; by default 512, or 256 for a network"""
    batch: int | None = None
    """noises in one call of the last rung; by default all"""
    max_iterations: int = 300
    """evaluations of each plan at most"""
    teacher_tolerance: float = 0.01
    """how much doubling the teacher's steps may change its solutions, as a part of their standard
    deviation"""

    @property
    def options(self) -> dict[str, Any]:
        """As arguments of :func:`specjax.learn`."""
        from specjax.sampling.samplers import sampler_of

        known = {one.name: getattr(self, one.name) for one in fields(self)}
        options = checks.named_values("sampler_options", known.pop("sampler_options"))
        if options and self.sampler is None:
            raise UserError("sampler_options: say of which --sampler")
        if self.sampler is not None:
            known["sampler"] = sampler_of(self.sampler, **options)
        known["objective"] = checks.named_values("objective", self.objective) or None
        return known

    def is_stochastic(self) -> bool:
        """Whether plans have noise; refuses names that do not fit together."""
        from specjax.learning.form import forms_of

        sampler = self.options["sampler"]
        forms = forms_of(2, sampler, self.memory, self.groups, True, self.process)
        return any(form.stochastic for form in forms.values())

    def check(self) -> None:
        """Refuse what can be refused before anything is read."""
        from specjax.gaussian.losses import LOSSES
        from specjax.learning.judge import check_objective

        given = self.options
        self.is_stochastic()
        if given["objective"] is not None:
            check_objective(given["objective"])
        checks.one_of("loss", self.loss, LOSSES)
        checks.alpha_bar_range(self.alpha_bar_range)
        checks.positive("teacher_tolerance", self.teacher_tolerance)
        checks.whole_number("max_iterations", self.max_iterations)
        for name, least in (("n", 2), ("batch", 1)):
            if getattr(self, name) is not None:
                checks.whole_number(name, getattr(self, name), least)


@dataclass(frozen=True, kw_only=True)
class LearnCommand:
    """Learn whole plans: levels, and what is done with the denoiser's answers."""

    rungs: Annotated[Rungs, tyro.conf.arg(name="")] = field(default_factory=Rungs)
    steps: tuple[int, ...] = tyro.MISSING
    """one or several S, the numbers of denoiser calls"""
    learning: Learning = field(default_factory=Learning)
    start: tuple[str, ...] = ()
    """plan files to start from, of any S, rung or noise"""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "plan.json"
    """the plan file to write; of several S plan-S.json, and those that are there already, learned
    in the same way, are not learned again"""
    plot: str | None = "plan.png"
    """the picture to write (.png, .pdf, .svg), or None"""
    json: bool = False
    """print JSON instead of tables"""

    def run(self) -> None:
        """The rungs; the plans, each written as it is learned; the picture; the table."""
        from specjax.learning import learn_all, verdicts
        from specjax.learning.heuristics import amplification
        from specjax.report import learn as report_learn
        from specjax.report.figures.save import check_path

        self._check()
        starts = [self._started(path) for path in self.start]
        if self.plot is not None:
            check_path(self.plot)
        ladder = ladder_of(self.rungs)
        options = {**self.learning.options, "seed": self.rungs.seed}
        request = self._request(ladder.priors)
        known = self._known(request)
        if ladder.on_network:
            options |= {"cache": cache_folder("teachers"), "mesh": ladder.mesh}

        def learned(result: PlanResult) -> None:
            if result.prior == ladder.priors[-1].kind:
                files.save(self._path(result.steps), _asked(result, request))

        with progress("learning", "evaluations", long=True) as update:
            watched = _Watched(update)
            every = learn_all(
                ladder.priors, self.steps, start=starts, known=known, learned=learned,
                progress=watched.evaluations, teaching=watched.teacher, **options,
            )  # fmt: skip
        found = [one for one in every if one.prior == ladder.priors[-1].kind]
        with status("judging every plan on every rung"):
            judged = verdicts(every, ladder.priors, **options)
            ratios = [amplification(one, ladder.priors[-1]) for one in found]
        written = [str(self._path(one.steps)) for one in found]
        if self.plot is not None:
            with status("drawing"):
                _draw(self.plot, found, ladder, self.rungs.samples)
            written.append(self.plot)
        if self.json:
            print_json({**report_learn.learned_json(found, judged, ratios), "files": written})
        else:
            report_learn.print_learned(found, judged, ratios, written)

    def _check(self) -> None:
        if not self.steps:
            raise ValueError("steps = (): give at least one whole number")
        for steps in self.steps:
            checks.whole_number("steps", steps)
            files.check_folder(self._path(steps))
            files.check_apart(data=self.rungs.data, out=self._path(steps), plot=self.plot)
        self.learning.check()
        self.rungs.check()

    def _path(self, steps: int) -> Path:
        """The file of the plan of S steps."""
        path = Path(self.out)
        if len(set(self.steps)) == 1:
            return path
        return path.with_name(f"{path.stem}-{steps}{path.suffix}")

    def _started(self, path: str) -> PlanResult:
        found = files.load(path)
        if not isinstance(found, PlanResult):
            raise ValueError(f"{path} is no plan: give files by 'specjax learn'")
        return found

    def _request(self, priors: Sequence[Any]) -> dict[str, Any]:
        """What a plan depends on, as a plan file keeps it."""
        from specjax.files import plain
        from specjax.learning.prepare import objective_of

        asked = {one.name: getattr(self.learning, one.name) for one in fields(self.learning)}
        given, noisy = self.learning.options["objective"], self.learning.is_stochastic()
        asked["objective"] = dict(objective_of(given, priors[-1], noisy))
        rungs = [f"{one.kind} {one.fingerprint}" for one in priors]
        start = [files.checksum({"file": Path(x).read_text()}) for x in self.start]
        return plain({**asked, "rungs": rungs, "seed": self.rungs.seed, "start": start})

    def _known(self, request: Mapping[str, Any]) -> dict[int, PlanResult]:
        """Plans that were learned in the same way before."""
        found: dict[int, PlanResult] = {}
        for steps in set(self.steps):
            path = self._path(steps)
            if not path.exists():
                continue
            try:
                before = files.load(path)
            except ValueError:
                continue  # it will be written anew
            if isinstance(before, PlanResult) and before.source.get("request") == request:
                found[steps] = before
                print(f"specjax: {path} is there, learned in the same way: kept", file=sys.stderr)
        return found


def _asked(result: PlanResult, request: Mapping[str, Any]) -> PlanResult:
    """The plan with what was asked for, for those who ask again."""
    return replace(result, source={**result.source, "request": dict(request)})


class _Watched:
    """Progress of one plan after another."""

    def __init__(self, update: Any) -> None:
        self._update = update

    def evaluations(self, done: int, most: int, value: float) -> None:
        """Of a plan."""
        self._update(done, most, f"held out {value:.4g}")

    def teacher(self, what: str) -> Any:
        """Of fine solutions."""
        return lambda done, total: self._update(done, total, f"steps of fine solutions, {what}")


def _draw(path: str, found: Sequence[PlanResult], ladder: Ladder, samples: int) -> None:
    from specjax.report.figures import learn_figure, save_figure

    shown = found[-1]
    beside = _beside(shown, ladder)
    limits = {one.steps: _limit(one, ladder) for one in found}
    figure = learn_figure(
        found,
        {name: one.schedule for name, one in beside.items()},
        {steps: x for steps, x in limits.items() if x is not None},
        _samples(shown, beside, ladder, samples) if ladder.run is not None else None,
    )
    save_figure(figure, path)


def _beside(result: PlanResult, ladder: Ladder) -> dict[str, Heuristic]:
    """The best heuristic plans, each of another schedule."""
    from specjax.learning.heuristics import rivals

    known = rivals(result, ladder.priors[-1])
    best: dict[str, str] = {}
    for name in known:
        best.setdefault(name.split()[1], name)
    return {name: known[name] for name in list(best.values())[:_BESIDE]}


def _limit(result: PlanResult, ladder: Ladder) -> float | None:
    """What no plan of so many calls falls below, where that is known."""
    from specjax.fitting import limits

    spectrum = ladder.priors[-1].spectrum
    exact = result.prior == "gaussian" and dict(result.objective).keys() == {"transfer"}
    if not exact or spectrum is None or result.plan.stochastic or not result.schedule.ends_clean:
        return None
    noisy = float(result.schedule.alpha_bar[0])
    return limits.gaussian(
        spectrum, result.steps, loss=result.loss, noisy=noisy, process=result.process
    )


def _samples(
    result: PlanResult, beside: Mapping[str, Heuristic], ladder: Ladder, n: int
) -> dict[str, np.ndarray]:
    """What the network makes of the same noises by the plan, the best heuristic and a fine one."""
    from specjax.learning.teacher import fine_plan
    from specjax.sampling.generate import generate

    assert ladder.run is not None
    name, heuristic = next(iter(beside.items()))
    plans = {
        f"learned, {result.plan.calls} calls": result.plan,
        f"{name}, {result.steps} steps": heuristic.plan(result.process, 0),
        f"fine solution, {_FINE} calls": fine_plan(
            ladder.priors[-1], _FINE, alpha_bar_range_of(result.schedule)
        ),
    }
    return {
        name: generate(plan, ladder.run.denoiser(), n, ladder.run.shape, noise=ladder.run.noise)
        for name, plan in plans.items()
    }
