"""The claims under test: ``python -m experiments.ideal_denoiser.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``. A difference is clear
where Student's 95 % interval over seeds tells it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.common import between
from experiments.estimates import Estimate, differences, estimate
from experiments.ideal_denoiser.config import COSINE, EXACT, FIT, REFIT, WIENER, Size
from experiments.ideal_denoiser.found import (
    HERE,
    IDEAL,
    PROBED,
    Case,
    Found,
    found_of,
    names,
    sizes_of,
)
from experiments.ideal_denoiser.tables import COMMAND, cases_of
from experiments.registry import NOT_YET

README = HERE.parent / "README.md"
MARKS = ("<!-- ideal_denoiser -->", "<!-- end of ideal_denoiser -->")
LIMIT = 4
"""Standard errors of the largest gap of a right prediction: of 8 bands, 6 pairs of sampler and S,
4 schedules and some seeds one is beyond it by chance in 4 % of the cases, or less, as schedules
share their noise."""

CHANCE = 2
"""Times what the probe's noise is expected to give: directions are many, so it is known well."""

WITHIN = 0.5
"""dB, to which the prediction of a band should be right."""


def _line(claim: str, verdict: str, text: str, arguments: str) -> str:
    return f"| {claim} | {verdict} | {text} | `{COMMAND}{arguments}` |"


def _every(found: Found) -> list[tuple[str, dict]]:
    return [
        (f"{a}, S = {s}, {schedule}", x)
        for a, s in found.cases
        for one in found.seeds
        for schedule, x in one["samplers"][a][s].items()
    ]


def _harness(found: Found) -> str:
    gaps = [
        (abs(gap) / error, abs(gap), where)
        for where, x in _every(found)
        for gap, error in zip(
            np.subtract(x["decibel"], x["ideal"]["decibel"]), x["standard_error"], strict=True
        )
    ]
    most, decibel, where = max(gaps)
    claim = f"{names()[WIENER]}: every band is as predicted, within {LIMIT} standard errors"
    text = f"largest gap {most:.1f} standard errors, {decibel:.2f} dB ({where})"
    return _line(claim, "yes" if most <= LIMIT else "**no**", text, " --references")


def _linear(found: Found) -> str:
    """Theory: ``Cov(E[x0 | y], y) = Cov(x0, y)``, so the gain of an exact denoiser is Wiener's."""
    known, chance = found.share("linear"), found.share("chance")
    held = [a.mean <= CHANCE * b.mean for a, b in zip(known, chance, strict=True)]
    levels = found.seeds[0]["response"]["logsnr"]
    text = "; ".join(
        f"{level:+g}: {a.mean:.2g} % (chance {b.mean:.2g} %)"
        for level, a, b in zip(levels, known, chance, strict=True)
    )
    claim = f"{found.words}: its linear part is the ideal one's, though the data are no Gaussian"
    words = f"share of the error at logsnr {text}"
    return _line(claim, "yes" if all(held) else "**no**", words, " --references")


def _right(found: Found, arguments: str) -> str:
    """Whether the ideal denoiser's predictions are good enough to be used."""
    gaps = {
        f"{case[0]}, S = {case[1]}, {schedule}, band {k}": gap
        for case in found.cases
        for schedule in found.seeds[0]["samplers"][case[0]][case[1]]
        for k, gap in enumerate(found.away(case, schedule))
    }
    where = max(gaps, key=lambda x: abs(gaps[x].mean))
    sure = sum(abs(x.mean) + x.sure < WITHIN for x in gaps.values())
    claim = f"{found.words}: the ideal denoiser predicts every band within {WITHIN} dB"
    text = f"largest gap {gaps[where]} dB ({where}); surely within: {sure} of {len(gaps)}"
    return _line(claim, _within(list(gaps.values())), text, arguments)


def _within(gaps: list[Estimate]) -> str:
    """No where the largest gap is surely too large, yes where all are surely within."""
    most = max(gaps, key=lambda x: abs(x.mean))
    if abs(most.mean) - most.sure > WITHIN:
        return "**no**"
    return "yes" if all(abs(x.mean) + x.sure < WITHIN for x in gaps) else "**not clear**"


def _probed(found: Found, arguments: str) -> str:
    gain = differences(found.gap(found.cases, PROBED), found.gap(found.cases, IDEAL))
    each = [_two(found, [x for x in found.cases if x[0] == sampler], sampler)
            for sampler in dict.fromkeys(a for a, _ in found.cases)]  # fmt: skip
    claim = f"{found.words}: predictions with its own linear part are nearer than with the ideal's"
    return _line(claim, gain.verdict(), f"nearer by {gain} dB RMS; {'; '.join(each)}", arguments)


def _two(found: Found, cases: list[Case], sampler: str) -> str:
    probed, ideal = (estimate([*found.gap(cases, by).values()]) for by in (PROBED, IDEAL))
    return f"{sampler}: {probed} against {ideal}"


def _trends(sizes: dict[Size, Found], sampler: str) -> list[str]:
    """The ends of each row and column of the table of networks."""
    lines = []
    for mine, other, claim in (
        ("updates", "width", "UNets of width {}, {}: trained longer, nearer to the ideal"),
        ("width", "updates", "UNets after {:,} updates, {}: wider, nearer to the ideal"),
    ):
        for value in sorted({getattr(size, other) for size in sizes}):
            row = {x: one for x, one in sizes.items() if getattr(x, other) == value}
            row = dict(sorted(row.items(), key=lambda item: getattr(item[0], mine)))
            if len(row) > 1 and _shared(list(row.values())):
                labels = [f"{getattr(x, mine):,}" for x in row]
                words = claim.format(value, sampler)
                lines.append(_trend(list(row.values()), labels, sampler, words))
    return lines


def _trend(row: list[Found], labels: list[str], sampler: str, claim: str) -> str:
    shared = [x for x in row[0].cases if x[0] == sampler and all(x in one.cases for one in row)]
    gaps = [one.gap(shared, IDEAL) for one in row]
    gain = differences(gaps[-1], gaps[0])
    each = "; ".join(f"{a}: {estimate([*x.values()])}" for a, x in zip(labels, gaps, strict=True))
    text = f"RMS dB {each}; from the first to the last nearer by {gain}"
    return _line(f"{claim}'s prediction", gain.verdict(), text, "")


def _shared(row: list[Found]) -> set[int]:
    """Seeds that all of them have."""
    return set.intersection(*({x["seed"] for x in one.seeds} for one in row))


def _schedules(sizes: dict[Size, Found], case: Case, other: str) -> str:
    """Over all networks; the seeds, those that all networks have, are what is independent."""
    there = [one for one in sizes.values() if case in one.cases]
    mean = [
        {k: float(np.mean([x.frechet(case, name)[k] for x in there])) for k in _shared(there)}
        for name in (REFIT, other)
    ]
    gain, each = differences(*mean), [x.gain(case, REFIT, other).verdict() for x in there]
    mine, theirs = (np.mean([*x.values()]) for x in mean)
    text = (
        f"{mine:.3f} against {theirs:.3f}, better by {gain}, mean of {len(there)} networks; "
        f"clearly better on {each.count('yes')}, worse on {each.count('**no**')}"
    )
    claim = f"UNets, {case[0]}, S = {case[1]}: the schedule refitted to the probed network beats "
    return _line(f"{claim}the {other} one (Fréchet)", gain.verdict(), text, "")


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All claims; a line for what has not been run."""
    found = found_of(results)
    lines = [
        _line(f"{words}: as the ideal denoiser predicts", NOT_YET, "-", _arguments(name))
        for name, words in names().items()
        if name not in found
    ]
    if WIENER in found:
        lines.append(_harness(found[WIENER]))
    if EXACT in found:
        lines.append(_linear(found[EXACT]))
    for name, one in found.items():
        if name != WIENER:
            lines += [_right(one, _arguments(name)), _probed(one, _arguments(name))]
    sizes = sizes_of(found)
    cases = cases_of(list(sizes.values()))
    for sampler in dict.fromkeys(a for a, _ in cases):
        lines += _trends(sizes, sampler)
    if sizes and _shared(list(sizes.values())):
        lines += [_schedules(sizes, case, other) for other in (FIT, COSINE) for case in cases]
    return lines


def _arguments(name: str) -> str:
    if name in (WIENER, EXACT):
        return " --references"
    return f" --widths {name.split('-')[1]}"


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
