"""Bench a denoiser: a learned plan beside all rivals, over the number of calls.

Three sets of noise are kept apart: plans are learned on one (:func:`specjax.learn`), the schedule
of each rival is chosen on a second, and all are judged on a third, the same for all: by the squared
distance of a sample to the fine solution from the same noise, and by measures of all of them beside
data, or fine solutions from other noise (:mod:`specjax.bench.measures`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax._core.shown import Shown
from specjax.bench.judge import Judge
from specjax.bench.measures import HIGHER, MEASURES, Measure, check_measures
from specjax.bench.rivals import RIVALS
from specjax.evaluate.error_bars import Estimate
from specjax.fitting.learned import LearnedResult
from specjax.learning.learn import learn_with
from specjax.learning.prior_from import prior_from
from specjax.learning.settings import LearnSettings
from specjax.priors.prior import Prior
from specjax.sampling.scaled import SamplerLike


class Learned(NamedTuple):
    """A part of plans that is learned: its name, groups of parameters, and past estimates.

    The memory is that of the settings where it is None.
    """

    name: str
    groups: tuple[str, ...]
    memory: int | None = None


LEARNED = {
    "plan": Learned("learned plan", ("levels", "ratios", "weights", "noise")),
    "levels": Learned("levels alone, learned", ("levels",)),
    "coefficients": Learned("coefficients alone, learned", ("ratios", "weights")),
    "pas": Learned("a weight a step, learned", ("weights",), 1),
}
"""What may be learned: whole plans, and groups of their numbers in the manner of other papers.

"levels" are what LD3 (2405.15506) learns, "coefficients" what S4S (2502.17423) does. "pas" has as
few numbers as PAS (2411.06503): along the best schedule of a family, the weight of one past
estimate at each step. PAS has instead, at the steps where that helps most, coordinates along the
principal components of each sample's own past directions; neither that basis nor the choice of
steps is restated.
"""

LEARNED_NAMES = tuple(one.name for one in LEARNED.values())
"""Their names in a bench."""

FINE, FLOOR = "fine solution", "floor"

_OBJECTIVES = {"geometric_mean": "teacher", "mean": "teacher_mean"}
_PICTURED, _VERSION = 16, 2
_PROBE, _ROUNDING = "probe", 1e-3  # an array of a part, and what machines and batches may change

Progress = Callable[[int, int], None]
"""Called with (plans judged, their number)."""


@dataclass(frozen=True)
class BenchRow:
    """A method at a number of calls.

    Attributes:
      method: its name.
      calls: of the denoiser.
      schedule: along which it goes, that of each seed.
      values: by measure, one of each seed.
      bands: of each seed, the relative errors of the variance in octaves of principal components
        and in all others, see :mod:`specjax.bench.measures`.
      learning: of a learned one, the denoiser's answers by what they were for, and the seconds,
        of each seed.
    """

    method: str
    calls: int
    schedule: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]
    bands: tuple[tuple[float, ...], ...] = ()
    learning: tuple[Mapping[str, Any], ...] = ()

    def estimate(self, measure: str) -> Estimate:
        """Return the mean over seeds with its standard error.

        Args:
          measure: a name in MEASURES, or one of the user's.
        """
        return Estimate.of(self.values[measure])


@dataclass(frozen=True, repr=False)
class Bench(Shown):
    """The result of :func:`bench`.

    Attributes:
      rows: a :class:`BenchRow` for each method and number of calls.
      measure: by which plans were learned, and rivals' schedules chosen.
      fine: by measure, what the fine solutions from the judging noise reach beside the reference,
        one of each seed.
      floor: what as many samples of the reference itself reach beside its others.
      n: noises that judged.
      source: what the denoiser is, and the answers of it that all of this took.
      samples: by calls and method, a few samples [m, *shape] of the first seed: the learned plan's,
        the best rival's, the fine solutions.
    """

    rows: tuple[BenchRow, ...]
    measure: str
    fine: Mapping[str, tuple[float, ...]]
    floor: Mapping[str, tuple[float, ...]]
    n: int
    source: Mapping[str, Any]
    samples: Mapping[int, Mapping[str, np.ndarray]] = field(default_factory=dict)

    @property
    def calls(self) -> list[int]:
        """The numbers of calls."""
        return sorted({row.calls for row in self.rows})

    @property
    def methods(self) -> list[str]:
        """The names of the methods."""
        return list(dict.fromkeys(row.method for row in self.rows))

    @property
    def measures(self) -> list[str]:
        """The names of the measures."""
        return [*MEASURES, *(name for name in self.fine if name not in MEASURES)]

    def row(self, method: str, calls: int) -> BenchRow | None:
        """Return a row, or None where the method has none with so many calls.

        Args:
          method: one of ``methods``.
          calls: one of ``calls``.
        """
        found = (row for row in self.rows if (row.method, row.calls) == (method, calls))
        return next(found, None)

    def best_rival(self, calls: int, measure: str | None = None) -> BenchRow:
        """Return the rival that is best.

        Args:
          calls: one of ``calls``.
          measure: one of ``measures``, by default that which chose.

        Raises:
          UserError: for a bench without rivals.
        """
        name = measure or self.measure
        known = [row for row in self.rows if row.calls == calls and row.method not in LEARNED_NAMES]
        if not known:
            raise UserError("rivals: the bench has none")
        best = max if name in HIGHER else min
        return best(known, key=lambda row: row.estimate(name).value)


@shows_progress("bench", "plans")
def bench(
    denoiser: Any,
    calls: Sequence[int] = (3, 4, 5, 6, 8, 10),
    *,
    learned: Sequence[str] = ("plan",),
    rivals: Mapping[str, SamplerLike] | Sequence[str] | None = None,
    measure: str = "geometric_mean",
    measures: Mapping[str, Measure] | None = None,
    judging: int = 256,
    seeds: int | Sequence[int] = 3,
    data: Any = None,
    components: int = 64,
    fine: int = 128,
    max_calls: int | Mapping[int, int] | None = None,
    folder: str | Path | None = None,
    progress: Progress | Literal[False] | None = None,
    **options: Any,
) -> Bench:
    """Compare plans that are learned for a denoiser with the samplers and schedules of others.

    Args:
      denoiser: what :func:`specjax.learn` takes: a prior, a run, a :class:`specjax.BlackBox`.
      calls: of the denoiser, one plan for each.
      learned: names in :data:`LEARNED`: "plan", and "levels" (as LD3 learns them), "coefficients"
        (as S4S) or "pas" (few of them, as PAS) alone.
      rivals: names in :data:`RIVALS`, or samplers by name; all by default.
      measure: "geometric_mean" or "mean", by which plans are learned and schedules chosen.
      measures: of your own, by name, beside those of MEASURES: functions of samples [n, *shape] and
        of what they are to be like, [m, *shape], to a number of which less is better.
      judging: noises that judge.
      seeds: how many, or which; each has noises of its own for learning, choosing and judging.
      data: [N, *shape], which samples are to be like; fine samples by default.
      components: principal components of these in which Fréchet distances are taken.
      fine: steps of the fine solutions.
      max_calls: answers of the denoiser that learning a plan may take, or those by its calls.
      folder: where each part is kept as it is ready, and the learned plans, as files of
        :func:`specjax.save`; the same bench goes on from there. A denoiser is recognised by what
        it makes of a few noises.
      progress: see :data:`Progress`.
      options: of :func:`specjax.learn`, such as ``labels``, ``alpha_bar_range`` and ``grid``.

    Returns:
      A :class:`Bench`.

    Raises:
      UserError: for unknown names, a folder with a bench of another denoiser or other settings,
        and what ``learn`` refuses.

    Example:
      >>> prior = sx.priors.prior_of("mixture", sx.data.open("digits"))
      >>> found = bench(prior, [4], judging=32, seeds=1, rivals=["DDIM", "UniPC-2"])
      >>> found.row("learned plan", 4).values["mean"] < found.best_rival(4).values["mean"]
      True
    """
    chosen = _rivals(rivals)
    for name in learned:
        checks.one_of("learned", name, LEARNED)
    checks.one_of("measure", measure, _OBJECTIVES)
    more = check_measures(measures)
    calls = [checks.whole_number("calls", one, 2) for one in calls]
    checks.whole_number("judging", judging, 4)
    options.setdefault("objective", {_OBJECTIVES[measure]: 1.0})
    settings = LearnSettings.resolve(**options)
    prior = prior_from(denoiser, settings.noise)
    settings = settings.for_prior(prior)
    every = range(checks.whole_number("seeds", seeds)) if isinstance(seeds, int) else seeds
    most = max_calls if isinstance(max_calls, Mapping) else dict.fromkeys(calls, max_calls)
    samples = None if data is None else hashlib.sha256(np.asarray(data).tobytes()).hexdigest()
    about = [list(learned), list(chosen), measure, judging, components, fine, samples, most,
             list(more)]  # fmt: skip
    kept = _Kept(folder, [*about, prior.fingerprint, repr(options)])
    total = len(every) * len(calls) * (len(learned) + len(chosen))
    parts, done = [], 0
    for seed in every:
        judge = Judge(prior, settings, seed, judging, fine, data, components, more)
        for one in calls:
            part = kept.read(seed, one, judge)
            if part is None:
                judge.settings = replace(judge.settings, max_calls=most.get(one))
                part = _part(judge, one, learned, chosen, measure, kept, seed == every[0])
                kept.write(seed, one, part, judge)
            parts.append((one, part))
            done += len(learned) + len(chosen)
            if progress:
                progress(done, total)
    return _collected(parts, measure, judging, prior)


def _rivals(given: Mapping[str, SamplerLike] | Sequence[str] | None) -> dict[str, SamplerLike]:
    if given is None:
        return dict(RIVALS)
    if isinstance(given, Mapping):
        return dict(given)
    return {name: RIVALS[checks.one_of("rivals", name, RIVALS)] for name in given}


def _part(
    judge: Judge, calls: int, learned: Sequence[str], rivals: Mapping[str, SamplerLike],
    measure: str, kept: _Kept, pictured: bool,
) -> dict[str, Any]:  # fmt: skip
    """Learn and judge all plans of a seed in so many calls."""
    rows: dict[str, dict[str, Any]] = {}
    samples, before = {}, judge.answers.calls
    chosen = judge.chosen(calls, rivals, measure)
    learning, plans = {}, {}
    for what in learned:
        name = LEARNED[what].name
        result = _learned(judge, calls, LEARNED[what])
        kept.write_plan(judge.seed, calls, what, result)
        learning[name] = {**result.source["calls"], "seconds": result.seconds}
        schedule = "" if result.kept == "learned" else result.kept
        plans[name] = result.plan_in(judge.settings.process), schedule
    for name, (plan, schedule) in {**plans, **chosen}.items():
        samples[name] = judge.sampled(plan)
        values = judge.values(samples[name])
        rows[name] = {"schedule": schedule, "bands": values.pop("bands"), "values": values}
        if name in learning:
            rows[name]["learning"] = learning[name]
    answers = sum(x for one in learning.values() for name, x in one.items() if name != "seconds")
    fine, floor = (dict(one) for one in (judge.fine_values, judge.floor))
    for one in (fine, floor):
        del one["bands"]
    found: dict[str, Any] = {
        "rows": rows, "fine": fine, "floor": floor,
        "answers": {"learning": answers, "judging": judge.answers.calls - before},
    }  # fmt: skip
    if pictured:
        others = (x for x in rows if x not in LEARNED_NAMES)
        best = min(others, key=lambda x: rows[x]["values"][measure], default="")
        shown = [x for x in (LEARNED["plan"].name, best) if x in samples]
        found["samples"] = {x: samples[x][:_PICTURED] for x in shown}
        found["samples"][FINE] = judge.fine_samples[:_PICTURED]
    return found


def _learned(judge: Judge, calls: int, what: Learned) -> LearnedResult:
    memory = what.memory or (judge.settings.memory if "weights" in what.groups else None)
    settings = replace(
        judge.settings, groups=what.groups, memory=memory,
        seed=judge.settings.seed + judge.seed,
    )  # fmt: skip
    return learn_with(settings, judge.prior, calls)


class _Kept:
    """The parts of a bench in a folder, one file each."""

    def __init__(self, folder: str | Path | None, about: Any) -> None:
        self._folder = None if folder is None else Path(folder)
        self._key = hashlib.sha256(repr(about).encode()).hexdigest()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def _path(self, seed: int, calls: int, rest: str = ".npz") -> Path | None:
        return None if self._folder is None else self._folder / f"seed-{seed}-calls-{calls}{rest}"

    def read(self, seed: int, calls: int, judge: Judge) -> dict[str, Any] | None:
        """Read a part, if it is there."""
        path = self._path(seed, calls)
        if path is None or not path.exists():
            return None
        kept = files.read(path, {"bench part": _VERSION})
        if kept.header["key"] != self._key:
            raise UserError(
                f"folder = {self._folder}: {path.name} is of a bench with other settings; give "
                "another folder, or those settings"
            )
        samples = dict(kept.arrays)
        gap = np.abs(samples.pop(_PROBE) - judge.probe).max()
        if not gap <= _ROUNDING * np.abs(judge.probe).max():
            raise UserError(
                f"folder = {self._folder}: {path.name} is of another denoiser; give another folder"
            )
        return {**kept.header["part"], "samples": samples}

    def write_plan(self, seed: int, calls: int, what: str, plan: LearnedResult) -> None:
        """Leave a learned plan for use."""
        path = self._path(seed, calls, f"-{what}.json")
        if path is not None:
            files.save(path, plan)

    def write(self, seed: int, calls: int, part: Mapping[str, Any], judge: Judge) -> None:
        """Keep a part."""
        path = self._path(seed, calls)
        if path is not None:
            rest = {name: x for name, x in part.items() if name != "samples"}
            header = {"key": self._key, "part": rest}
            arrays = {_PROBE: judge.probe, **part.get("samples", {})}
            files.write(path, "bench part", _VERSION, header, arrays)


def _collected(
    parts: Sequence[tuple[int, Mapping[str, Any]]], measure: str, n: int, prior: Prior
) -> Bench:
    """Put the parts of all seeds together."""
    rows = list(_rows(parts))
    answers = {
        name: sum(part["answers"][name] for _, part in parts) for name in ("learning", "judging")
    }
    seeds = len(parts) // len({calls for calls, _ in parts})
    every = len(parts) // seeds
    fine, floor = (
        _by_name([part[name] for _, part in parts[::every]]) for name in ("fine", "floor")
    )
    return Bench(
        tuple(rows), measure, fine, floor, n,
        {**(prior.source or {}), "answers": answers},
        {calls: part["samples"] for calls, part in parts[:every] if part.get("samples")},
    )  # fmt: skip


def _rows(parts: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[BenchRow]:
    for calls in dict.fromkeys(one for one, _ in parts):
        each = [part["rows"] for one, part in parts if one == calls]
        for method in each[0]:
            known = [rows[method] for rows in each if method in rows]
            bands = tuple(tuple(row["bands"]) for row in known)
            learning = tuple(row["learning"] for row in known if "learning" in row)
            schedule = tuple(row["schedule"] for row in known)
            values = _by_name([row["values"] for row in known])
            yield BenchRow(method, calls, schedule, values, bands, learning)


def _by_name(each: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    """Return the values of each seed by measure."""
    return {name: tuple(one[name] for one in each) for name in each[0]}
