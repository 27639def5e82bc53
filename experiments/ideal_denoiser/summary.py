"""The tables and claims of the ideal denoiser.

A difference is clear where Student's 95 % interval over seeds tells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bands import frequencies
from experiments.estimates import Estimate, differences, estimate, estimates
from experiments.experiment import NOT_YET
from experiments.ideal_denoiser.run import (
    COSINE,
    EXACT,
    EXPERIMENT,
    FIT,
    REFERENCES,
    REFIT,
    SCHEDULES,
    SIZES,
    WIENER,
    Size,
)
from experiments.session import read_all
from experiments.summary import NO, NOT_CLEAR, YES, Claim, not_run, table, verdict

IDEAL, PROBED = "ideal", "probed"
GRID = (8, 8)
SHARES = {
    "linear": "error of the linear part",
    "rest": "power of what is not linear",
    "error": "error of the denoiser",
    "chance": "error of the linear part that is the probe's noise",
}
NAMES = {**REFERENCES, **{size.name: size.words for size in SIZES}}
"""All denoisers, references first, and their words."""

LIMIT = 4
"""Standard errors of the largest gap of a right prediction: of 8 bands, 6 pairs of sampler and S,
4 schedules and some seeds one is beyond it by chance in 4 % of the cases, or less, as schedules
share their noise."""

CHANCE = 2
"""Times what the probe's noise is expected to give: directions are many, so it is known well."""

WITHIN = 0.5
"""dB, to which the prediction of a band should be right."""

Case = tuple[str, str]
"""A sampler and its S."""


@dataclass(frozen=True)
class Measured:
    """A denoiser: its documents, one a seed; all numbers are over the seeds."""

    name: str
    words: str
    seeds: tuple[dict[str, Any], ...]

    @property
    def cases(self) -> list[Case]:
        """The cases that all seeds have."""
        first = [(a, s) for a, by in self.seeds[0]["samplers"].items() for s in by]
        return [(a, s) for a, s in first if all(s in x["samplers"].get(a, {}) for x in self.seeds)]

    @property
    def numbers(self) -> set[int]:
        """The numbers of its seeds."""
        return {one["seed"] for one in self.seeds}

    @property
    def command(self) -> str:
        """The command that measures it."""
        return command_of(self.name)

    def each(self, case: Case, schedule: str) -> list[dict[str, Any]]:
        """Give what was measured along a schedule, seed by seed."""
        return [one["samplers"][case[0]][case[1]][schedule] for one in self.seeds]

    def over(self, case: Case, schedule: str, what: str) -> Estimate:
        """Estimate a number."""
        return estimate([float(x[what]) for x in self.each(case, schedule)])

    def bands(self, case: Case, schedule: str, by: str | None = None) -> list[Estimate]:
        """Give the measured power of bands in dB, or as it was predicted."""
        known = [x if by is None else x[by] for x in self.each(case, schedule)]
        return estimates([one["decibel"] for one in known])

    def gaps(self, case: Case, schedule: str) -> list[Estimate]:
        """Give measured less ideally predicted power of bands in dB, with the gap's own error."""
        gaps = [np.subtract(x["decibel"], x[IDEAL]["decibel"]) for x in self.each(case, schedule)]
        return estimates(gaps)

    def gap(self, cases: list[Case], by: str) -> dict[int, float]:
        """Give the gap of each seed, its root mean square over bands, the mean over all else."""
        found = {}
        for one in self.seeds:
            every = [x for a, s in cases for x in one["samplers"][a][s].values()]
            away = [np.subtract(x["decibel"], x[by]["decibel"]) for x in every]
            found[one["seed"]] = float(np.mean([np.sqrt(np.mean(x**2)) for x in away]))
        return found

    def mean_gap(self, cases: list[Case], by: str) -> Estimate:
        """Estimate the gap over seeds."""
        return estimate([*self.gap(cases, by).values()])

    def frechet(self, case: Case, schedule: str) -> dict[int, float]:
        """Give the Fréchet distance of each seed; all schedules have the same noise."""
        each = zip(self.seeds, self.each(case, schedule), strict=True)
        return {one["seed"]: float(x["frechet"]) for one, x in each}

    def gain(self, case: Case, mine: str, other: str) -> Estimate:
        """Tell by how much the Fréchet distance is smaller, from the same noise."""
        return differences(self.frechet(case, mine), self.frechet(case, other))

    def fact(self, what: str) -> str:
        """Give one of its facts; "-" where it has none."""
        known = [one["facts"][what] for one in self.seeds if what in one["facts"]]
        return str(estimate(known)) if known else "-"

    def share(self, what: str) -> list[Estimate]:
        """Give a part of the response at each level, in per cent of the ideal denoiser's error."""
        return estimates([100 * np.array(one["response"][what]) for one in self.seeds])


def read(results: Path) -> dict[str, Measured]:
    """Read the denoisers that have been run, by name; others than the config's last."""
    there = sorted({path.stem.rpartition("-")[0] for path in results.glob("*.json")})
    found = {}
    for name in dict.fromkeys([*(x for x in NAMES if x in there), *there]):
        seeds = [x for x in read_all(results, f"{name}-[0-9]*.json") if x["subject"] == name]
        one = Measured(name, NAMES.get(name, name), tuple(seeds))
        if seeds and one.cases:
            found[name] = one
    return found


def networks_of(found: dict[str, Measured]) -> dict[Size, Measured]:
    """Give the networks, narrow ones and short trainings first."""
    known = {size: one for name, one in found.items() if (size := Size.of(name))}
    return dict(sorted(known.items()))


def cases_of(found: list[Measured]) -> list[Case]:
    """Give the cases that have been run for any denoiser."""
    return list(dict.fromkeys(case for one in found for case in one.cases))


def command_of(name: str) -> str:
    """Give the command that measures a denoiser, with those of the same width."""
    size = Size.of(name)
    return EXPERIMENT.command(*(REFERENCES if size is None else [f"width-{size.width}-*"]))


def tables(results: Path) -> list[str]:
    """Make all tables."""
    by_name = read(results)
    found, lines = list(by_name.values()), []
    absent = [words for name, words in NAMES.items() if name not in by_name]
    if absent:
        lines += [f"{NOT_YET} (`{EXPERIMENT.command()}`): {'; '.join(absent)}.", ""]
    if not found:
        return lines
    facts = [
        [x.words, x.fact("parameters").split(".")[0], x.fact("validation_loss"), len(x.seeds)]
        for x in found
    ]
    lines += table(["", "parameters", "validation loss", "seeds"], facts)
    lines += [_converged(found), ""]
    levels = [f"{level:+g}" for level in found[0].seeds[0]["response"]["logsnr"]]
    for what, words in SHARES.items():
        title = f"{words}, % of the ideal denoiser's error, at levels of logsnr"
        lines += table(["", *levels], [[x.words, *x.share(what)] for x in found], title)
    lines += _gaps_table(found)
    for part in (_bands_table, _frechet_table):
        for case in cases_of(found):
            lines += part([one for one in found if case in one.cases], case)
    return lines


def _converged(found: list[Measured]) -> str:
    every = [x for one in found for case in one.cases for name in (FIT, REFIT)
             for x in one.each(case, name)]  # fmt: skip
    count = sum(not x["converged"] for x in every)
    return f"{count} of {len(every)} fits did not converge to the tolerance of their gradient."


def _gaps_table(found: list[Measured]) -> list[str]:
    cases = cases_of(found)

    def cell(one: Measured, case: Case) -> str:
        if case not in one.cases:
            return "-"
        return "; ".join(str(one.mean_gap([case], by)) for by in (IDEAL, PROBED))

    rows = [[one.words, *(cell(one, case) for case in cases)] for one in found]
    title = "measured less predicted power of bands, RMS dB: ideal denoiser; probed denoiser"
    return table(["", *(f"{a}, S = {s}" for a, s in cases)], rows, title)


def _bands_table(found: list[Measured], case: Case) -> list[str]:
    rows = []
    for one in found:
        ways = [one.bands(case, FIT, by) for by in (None, IDEAL, PROBED)]
        rows.append([one.words, *(_band(*three) for three in zip(*ways, strict=True))])
    title = f"{case[0]}, S = {case[1]}, {FIT}: bands, dB, measured (ideal; probed)"
    return table(["", *(f"{f:.3f}" for f in frequencies(GRID))], rows, title)


def _band(real: Estimate, ideal: Estimate, probed: Estimate) -> str:
    error = f" ± {real.error:.2f}" if real.seeds > 1 else ""
    return f"{real.mean:+.2f}{error} ({ideal.mean:+.2f}; {probed.mean:+.2f})"


def _frechet_table(found: list[Measured], case: Case) -> list[str]:
    rows = [
        [x.words, *(x.over(case, one, "frechet") for one in SCHEDULES), x.gain(case, REFIT, FIT)]
        for x in found
    ]
    title = f"{case[0]}, S = {case[1]}: Fréchet distance, and what fitting again gains"
    return table(["", *SCHEDULES, "gain"], rows, title)


def claims(results: Path) -> Iterator[Claim]:
    """Make all claims; a line for what has not been run."""
    found = read(results)
    for name, words in NAMES.items():
        if name not in found:
            yield not_run(f"{words}: as the ideal denoiser predicts", command_of(name))
    if WIENER in found:
        yield _harness(found[WIENER])
    if EXACT in found:
        yield _linear(found[EXACT])
    for name, one in found.items():
        if name != WIENER:
            yield right(one)
            yield _probed(one)
    networks = networks_of(found)
    cases = cases_of(list(networks.values()))
    for sampler in dict.fromkeys(a for a, _ in cases):
        yield from _trends(networks, sampler)
    if networks and _shared(list(networks.values())):
        for other in (FIT, COSINE):
            for case in cases:
                yield _schedules(networks, case, other)


def _harness(found: Measured) -> Claim:
    gaps = []
    for a, s in found.cases:
        for one in found.seeds:
            for schedule, x in one["samplers"][a][s].items():
                away = np.abs(np.subtract(x["decibel"], x["ideal"]["decibel"]))
                errors = zip(away, x["standard_error"], strict=True)
                gaps += [(gap / error, gap, f"{a}, S = {s}, {schedule}") for gap, error in errors]
    most, decibel, where = max(gaps)
    return Claim(
        f"{NAMES[WIENER]}: every band is as predicted, within {LIMIT} standard errors",
        verdict(most <= LIMIT),
        f"largest gap {most:.1f} standard errors, {decibel:.2f} dB ({where})",
        found.command,
    )


def _linear(found: Measured) -> Claim:
    """In theory ``Cov(E[x0 | y], y) = Cov(x0, y)``: an exact denoiser's gain is Wiener's."""
    known, chance = found.share("linear"), found.share("chance")
    held = [a.mean <= CHANCE * b.mean for a, b in zip(known, chance, strict=True)]
    levels = found.seeds[0]["response"]["logsnr"]
    text = "; ".join(
        f"{level:+g}: {a.mean:.2g} % (chance {b.mean:.2g} %)"
        for level, a, b in zip(levels, known, chance, strict=True)
    )
    claim = f"{found.words}: its linear part is the ideal one's, though the data are no Gaussian"
    text = f"share of the error at logsnr {text}"
    return Claim(claim, verdict(all(held)), text, found.command)


def right(found: Measured) -> Claim:
    """Judge whether the ideal denoiser's predictions are good enough to be used.

    No where the largest gap is surely too large, yes where all are surely within.
    """
    gaps = {
        f"{case[0]}, S = {case[1]}, {schedule}, band {k}": gap
        for case in found.cases
        for schedule in found.seeds[0]["samplers"][case[0]][case[1]]
        for k, gap in enumerate(found.gaps(case, schedule))
    }
    where = max(gaps, key=lambda x: abs(gaps[x].mean))
    most, sure = gaps[where], sum(abs(x.mean) + x.sure < WITHIN for x in gaps.values())
    holds = YES if sure == len(gaps) else NOT_CLEAR
    return Claim(
        f"{found.words}: the ideal denoiser predicts every band within {WITHIN} dB",
        NO if abs(most.mean) - most.sure > WITHIN else holds,
        f"largest gap {most} dB ({where}); surely within: {sure} of {len(gaps)}",
        found.command,
    )


def _probed(found: Measured) -> Claim:
    gain = differences(found.gap(found.cases, PROBED), found.gap(found.cases, IDEAL))
    each = []
    for sampler in dict.fromkeys(a for a, _ in found.cases):
        cases = [x for x in found.cases if x[0] == sampler]
        probed, ideal = (found.mean_gap(cases, by) for by in (PROBED, IDEAL))
        each.append(f"{sampler}: {probed} against {ideal}")
    claim = f"{found.words}: predictions with its own linear part are nearer than with the ideal's"
    text = f"nearer by {gain} dB RMS; {'; '.join(each)}"
    return Claim(claim, gain.verdict(), text, found.command)


def _trends(networks: dict[Size, Measured], sampler: str) -> Iterator[Claim]:
    """Compare the ends of each row and column of the table of networks."""
    for mine, other, claim in (
        ("updates", "width", "UNets of width {}, {}: trained longer, nearer to the ideal"),
        ("width", "updates", "UNets after {:,} updates, {}: wider, nearer to the ideal"),
    ):
        for value in sorted({getattr(size, other) for size in networks}):
            row = {x: one for x, one in networks.items() if getattr(x, other) == value}
            if len(row) > 1 and _shared(list(row.values())):
                labels = [f"{getattr(x, mine):,}" for x in row]
                yield trend(list(row.values()), labels, sampler, claim.format(value, sampler))


def trend(row: list[Measured], labels: list[str], sampler: str, claim: str) -> Claim:
    """Claim that the last of a row is nearer to the ideal's prediction than the first."""
    shared = [x for x in row[0].cases if x[0] == sampler and all(x in one.cases for one in row)]
    gaps = [one.gap(shared, IDEAL) for one in row]
    gain = differences(gaps[-1], gaps[0])
    each = "; ".join(f"{a}: {estimate([*x.values()])}" for a, x in zip(labels, gaps, strict=True))
    text = f"RMS dB {each}; from the first to the last nearer by {gain}"
    return Claim(f"{claim}'s prediction", gain.verdict(), text, EXPERIMENT.command())


def _shared(row: list[Measured]) -> set[int]:
    """Give the seeds that all of them have."""
    return set.intersection(*(one.numbers for one in row))


def _schedules(networks: dict[Size, Measured], case: Case, other: str) -> Claim:
    """Compare over all networks; the seeds that all networks have are what is independent."""
    there = [one for one in networks.values() if case in one.cases]
    mean = [
        {k: float(np.mean([x.frechet(case, name)[k] for x in there])) for k in _shared(there)}
        for name in (REFIT, other)
    ]
    gain, each = differences(*mean), [x.gain(case, REFIT, other).verdict() for x in there]
    mine, theirs = (np.mean([*x.values()]) for x in mean)
    return Claim(
        f"UNets, {case[0]}, S = {case[1]}: the schedule refitted to the probed network beats the "
        f"{other} one (Fréchet)",
        gain.verdict(),
        f"{mine:.3f} against {theirs:.3f}, better by {gain}, mean of {len(there)} networks; "
        f"clearly better on {each.count(YES)}, worse on {each.count(NO)}",
        EXPERIMENT.command(),
    )
