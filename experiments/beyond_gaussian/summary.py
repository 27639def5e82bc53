"""The tables and claims of what is beyond the Gaussian.

One number a prior: what a schedule's distance is over that of the best heuristic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.beyond_gaussian.priors import PRIORS, kurtosis
from experiments.beyond_gaussian.run import (
    EXPERIMENT,
    FAMILIES,
    FINE,
    LEARNED,
    PLANS,
    SAMPLERS,
    SPECTRAL,
)
from experiments.data import LIKELY
from experiments.estimates import Estimate, estimate
from experiments.experiment import NOT_YET
from experiments.methods import HEURISTICS
from experiments.session import read_all
from experiments.summary import NO, NOT_CLEAR, YES, Claim, not_run, table

MEASURES = {
    "squared": "squared distance to the fine solution",
    "to_fine": "Fréchet distance to the fine solutions",
    "frechet": "Fréchet distance to the data",
    "energy": "energy distance to the data",
}
FLOOR = 1e-7
"""Distances below it are taken for it: they are the fine solution's own error. Its 512 steps are
4e-8 (squared) from the exact solution of the Gaussian, single precision adds as much again, and
whatever is exact but for that is at 7.5e-8."""

Seeds = list[dict[str, Any]]


class Ratio(NamedTuple):
    """A ratio, its standard error, and the verdict. Below 1 the schedule is better.

    Attributes:
      verdict: on "is it better?", by Student's interval of the mean logarithm.
      bound: whether the distance was clipped at FLOOR, so that the ratio is at most this.
    """

    mean: float
    error: float
    verdict: str
    bound: bool

    def __str__(self) -> str:
        error = "" if np.isnan(self.error) else f" ± {self.error:.2g}"
        return f"{'<= ' if self.bound else ''}{self.mean:.3g}{error}"


def read(name: str, results: Path) -> Seeds:
    """Read the documents of a subject's seeds that are complete."""
    found = [one for one in read_all(results, f"{name}-[0-9]*.json") if one["subject"] == name]
    return [one for one in found if len(one["steps"]) == len(one["config"]["steps"])]


def measured_by(sampler: str) -> str:
    """Name the measure: where steps have noise of their own no solution has the same noise."""
    return "to_fine" if sampler == "ddpm" else "squared"


def values(seeds: Seeds, steps: str, column: str, measure: str) -> np.ndarray:
    """Give a measure [seeds] of a column; NaN where it is not finite or not there."""
    found = [one["steps"][steps].get(column, {}).get(measure) for one in seeds]
    return np.array([np.nan if x is None else x for x in found], np.float64)


def best_heuristic(
    seeds: Seeds, steps: str, samplers: tuple[str, ...], measure: str
) -> tuple[str, np.ndarray]:
    """Give the one with the smallest mean over seeds, and its values."""
    columns = [f"{sampler} {name}" for sampler in samplers for name in HEURISTICS]
    known = {x: values(seeds, steps, x, measure) for x in columns}
    finite = {x: v for x, v in known.items() if np.isfinite(v).all()}
    first = min(finite, key=lambda x: float(finite[x].mean()))
    return first, finite[first]


def rivals(column: str) -> tuple[str, ...]:
    """Name the samplers of a column's rivals: its own, of a plan both without noise."""
    return ("ddim", "dpmpp_2m") if column in PLANS else (column.split()[0],)


def pooled(title: str, seeds: Seeds) -> list[str]:
    """Give the S that a family's number is the mean over: those its plans are learned for."""
    learned = [set(PRIORS[x].learned) for x in FAMILIES[title] if PRIORS[x].learned]
    there = list(seeds[0]["steps"])
    return [s for s in there if int(s) in set.intersection(*learned)] or there


def ratio(seeds: Seeds, column: str, measure: str, steps: Sequence[str]) -> Ratio | None:
    """Divide by the best heuristic: the geometric mean over S; None without the column.

    The best heuristic of each S is chosen by its mean over seeds, which is in its favour.
    """
    samplers = tuple(x for x in rivals(column) if x in seeds[0]["config"]["samplers"])
    if not samplers or any(column not in seeds[0]["steps"][s] for s in steps):
        return None
    mine = np.array([values(seeds, s, column, measure) for s in steps])
    theirs = np.array([best_heuristic(seeds, s, samplers, measure)[1] for s in steps])
    if not np.isfinite(mine).all():
        return None
    logs = np.log(np.maximum(mine, FLOOR) / np.maximum(theirs, FLOOR)).mean(0)
    found, less = estimate(list(logs)), estimate(list(-logs))
    mean = float(np.exp(found.mean))
    return Ratio(mean, mean * found.error, less.verdict(), bool((mine < FLOOR).any()))


def candidates() -> list[tuple[str, str]]:
    """Name the columns that are compared and their measure: learned schedules, and plans."""
    found = [(f"{sampler} {LEARNED}", measured_by(sampler)) for sampler in SAMPLERS]
    return found + [(plan, "squared") for plan in PLANS]


def expected(title: str, column: str) -> tuple[str, ...]:
    """Name the subjects of a family that a column is made for."""
    names = FAMILIES[title]
    if column in PLANS:
        names = tuple(x for x in names if PRIORS[x].learned)
    if column == PLANS[1]:
        names = tuple(x for x in names if PRIORS[x].kind != "gaussian")
    return names


def distance_from_gaussian(seeds: Seeds) -> Estimate:
    """Give the negentropy in nats: exactly 0 of the Gaussian, else by draws of each seed."""
    if PRIORS[seeds[0]["subject"]].kind == "gaussian":
        return Estimate(0.0, float("nan"), len(seeds))
    return estimate([float(one["negentropy"]) for one in seeds])


def level(name: str, title: str) -> str:
    """Say what is varied of a subject in a family."""
    subject = PRIORS[name]
    several = title.endswith("components") and subject.kind == "mixture"
    return f"{subject.components} components" if several else subject.level


def tables(results: Path) -> list[str]:
    """Make all tables."""
    known = {name: seeds for name in PRIORS if (seeds := read(name, results))}
    return [*_families(known), *_each_step(known), *_values(known), _converged(known)]


def _families(known: dict[str, Seeds]) -> list[str]:
    """Show one number a prior and sampler: the ratio, the geometric mean over S."""
    lines = ["### The learned W2 schedule and plans over the best heuristic", ""]
    shown = candidates()
    head = ["", "nats from Gaussian", *(f"{column} ({measure})" for column, measure in shown)]
    for title, names in FAMILIES.items():
        there = {name: known[name] for name in names if name in known}
        if not there:
            command = EXPERIMENT.command(*names)
            lines += [f"#### {title}", "", f"{NOT_YET}: `{command}`", ""]
            continue
        steps = pooled(title, next(iter(there.values())))
        rows = []
        for name, seeds in there.items():
            exact = PRIORS[name].kind == "gaussian"
            nats = "0 (exact)" if exact else distance_from_gaussian(seeds)
            cells = [_marked(ratio(seeds, *one, steps)) for one in shown]
            rows.append([_words(name, title, seeds), nats, *cells])
        lines += table(head, rows, f"{title} (S = {', '.join(steps)} together)")
    return lines


def _words(name: str, title: str, seeds: Seeds) -> str:
    subject = PRIORS[name]
    if "kernel_width" in seeds[0]:
        width = np.mean([one["kernel_width"] for one in seeds])
        return f"h = {width:.3g}" + " (likeliest)" * (subject.width == LIKELY)
    words = level(name, title)
    if subject.kind == "tails":
        words += f" (excess kurtosis {kurtosis(subject):.3g})"
    return words


def _marked(x: Ratio | None) -> str:
    """Give a ratio, bold where it is clearly above 1."""
    if x is None:
        return "-"
    return f"**{x}**" if x.verdict == NO else str(x)


def _each_step(known: dict[str, Seeds]) -> list[str]:
    """Show the same at every S, for all three schedules of the spectrum."""
    lines = ["### At every S", ""]
    for sampler in SAMPLERS:
        measure, rows, head = measured_by(sampler), [], [""]
        for name, seeds in known.items():
            if sampler in seeds[0]["config"]["samplers"]:
                steps = list(seeds[0]["steps"])
                head = ["", *(f"S = {s}" for s in steps)]
                for words in SPECTRAL:
                    every = (ratio(seeds, f"{sampler} {words}", measure, [s]) for s in steps)
                    rows.append([f"{name}: {words}", *map(_marked, every)])
        lines += table(head, rows, f"{sampler}, {MEASURES[measure]}, over the best heuristic")
    return lines


def _values(known: dict[str, Seeds], shown: str = "5") -> list[str]:
    """Show values at one S: the best heuristic, the learned schedule, plans, the fine solution."""
    lines = [f"### Values, S = {shown}", ""]
    for measure, words in MEASURES.items():
        samplers = [x for x in SAMPLERS if measure != "squared" or x != "ddpm"]
        head = [x for a in samplers for x in (f"best heuristic, {a}", f"{a} {LEARNED}")]
        rows = []
        for name, seeds in known.items():
            if shown in seeds[0]["steps"]:
                cells = [x for a in samplers for x in _pair(seeds, shown, a, measure)]
                cells += [_cell(values(seeds, shown, plan, measure)) for plan in PLANS]
                fine = np.array([one[FINE][measure] for one in seeds])
                rows.append([name, *cells, _cell(fine)])
        lines += table(["", *head, *PLANS, FINE], rows, f"{words[0].upper()}{words[1:]}")
    return lines


def _pair(seeds: Seeds, steps: str, sampler: str, measure: str) -> tuple[str, str]:
    if sampler not in seeds[0]["config"]["samplers"]:
        return "-", "-"
    best, found = best_heuristic(seeds, steps, (sampler,), measure)
    own = values(seeds, steps, f"{sampler} {LEARNED}", measure)
    return f"{_cell(found)} ({best.split()[1]})", _cell(own)


def _cell(x: np.ndarray) -> str:
    if not np.isfinite(x).all():
        return "-"
    found = estimate(list(x))
    return str(found) if abs(found.mean) >= 0.1 else f"{found.mean:.4f} ± {found.error:.4f}"


def _converged(known: dict[str, Seeds]) -> str:
    """Count the learned schedules that converged, of those that say so."""
    every = [
        cell["converged"]
        for seeds in known.values()
        for one in seeds
        for columns in one["steps"].values()
        for cell in columns.values()
        if "converged" in cell
    ]
    if not every:
        return "Whether the learned schedules converged is not in these results."
    return f"{every.count(False)} of {len(every)} learned schedules did not converge."


def claims(results: Path) -> Iterator[Claim]:
    """Judge in each family whether what is made from the spectrum beats the best heuristic."""
    for title, names in FAMILIES.items():
        there = {name: seeds for name in names if (seeds := read(name, results))}
        if not there:
            claim = f"{title}: schedules of the spectrum beat the best heuristic"
            yield not_run(claim, EXPERIMENT.command(*names))
            continue
        for column, measure in candidates():
            claim = _claim(title, column, measure, there)
            if claim is not None:
                yield claim


def _claim(title: str, column: str, measure: str, there: dict[str, Seeds]) -> Claim | None:
    """Claim that a column is better on every subject; None where nothing of it has been run.

    One subject on which it is worse is enough for no; yes needs all of them.
    """
    wanted = expected(title, column)
    steps = pooled(title, next(iter(there.values())))
    pairs = {x: ratio(there[x], column, measure, steps) for x in wanted if x in there}
    found = {name: x for name, x in pairs.items() if x is not None}
    if not found:
        return None
    words = {YES: "", NO: " (worse)", NOT_CLEAR: " (not clear)"}
    each = [f"{level(name, title)}: {x}{words[x.verdict]}" for name, x in found.items()]
    each += [f"{level(name, title)}: {NOT_YET}" for name in wanted if name not in found]
    verdicts = {x.verdict for x in found.values()}
    whole = set(found) == set(wanted) and verdicts == {YES}
    learned_on = {PLANS[0]: "the Gaussian", PLANS[1]: "the prior itself"}
    whom = f"the plan learned on {learned_on[column]}" if column in PLANS else column
    where = "every one" if len(wanted) > 1 else level(wanted[0], title)
    return Claim(
        f"{title}: {whom} beats the best heuristic on {where} ({measure}, "
        f"S = {', '.join(steps)} together)",
        NO if NO in verdicts else YES if whole else NOT_CLEAR,
        f"ratio {'; '.join(each)}",
        EXPERIMENT.command(*FAMILIES[title]),
    )
