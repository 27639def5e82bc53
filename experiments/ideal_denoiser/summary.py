"""The tables of the README, from the results: ``python -m experiments.ideal_denoiser.tables``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from experiments.bands import frequencies
from experiments.common import between
from experiments.estimates import Estimate, estimate
from experiments.ideal_denoiser.config import FIT, REFIT, SCHEDULES
from experiments.ideal_denoiser.found import HERE, IDEAL, PROBED, Case, Found, found_of, names
from experiments.registry import NOT_YET

MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")
COMMAND = "python -m experiments.ideal_denoiser.run"
GRID = (8, 8)
SHARES = {
    "linear": "error of the linear part",
    "rest": "power of what is not linear",
    "error": "error of the denoiser",
    "chance": "error of the linear part that is the probe's noise",
}


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def _facts(found: list[Found]) -> list[str]:
    rows = [
        [x.words, x.fact("parameters").split(".")[0], x.fact("validation_loss"), str(len(x.seeds))]
        for x in found
    ]
    return _table(["", "parameters", "validation loss", "seeds"], rows)


def _response(found: list[Found], what: str) -> list[str]:
    levels = found[0].seeds[0]["response"]["logsnr"]
    lines = [f"#### {SHARES[what]}, % of the ideal denoiser's error, at levels of logsnr", ""]
    rows = [[x.words, *map(str, x.share(what))] for x in found]
    return [*lines, *_table(["", *(f"{level:+g}" for level in levels)], rows)]


def cases_of(found: list[Found]) -> list[Case]:
    """Pairs of sampler and S that have been run for any denoiser."""
    return list(dict.fromkeys(case for one in found for case in one.cases))


def _each(one: Found, cases: list[Case], text: Callable[[Case], str]) -> list[str]:
    """A cell a case; "-" where it has not been run."""
    return [text(case) if case in one.cases else "-" for case in cases]


def _gaps(found: list[Found]) -> list[str]:
    cases = cases_of(found)
    rows = []
    for one in found:

        def text(case: Case, one: Found = one) -> str:
            return "; ".join(
                str(estimate([*one.gap([case], by).values()])) for by in (IDEAL, PROBED)
            )

        rows.append([one.words, *_each(one, cases, text)])
    title = "#### measured less predicted power of bands, RMS dB: ideal denoiser; probed denoiser"
    return [title, "", *_table(["", *(f"{a}, S = {s}" for a, s in cases)], rows)]


def _bands(found: list[Found], case: Case) -> list[str]:
    there = [one for one in found if case in one.cases]
    rows = []
    for one in there:
        ways = [one.bands(case, FIT, by) for by in (None, IDEAL, PROBED)]
        cells = [_band(*three) for three in zip(*ways, strict=True)]
        rows.append([one.words, *cells])
    title = f"#### {case[0]}, S = {case[1]}, {FIT}: bands, dB, measured (ideal; probed)"
    return [title, "", *_table(["", *(f"{f:.3f}" for f in frequencies(GRID))], rows)]


def _band(real: Estimate, ideal: Estimate, probed: Estimate) -> str:
    error = f" ± {real.error:.2f}" if real.seeds > 1 else ""
    return f"{real.mean:+.2f}{error} ({ideal.mean:+.2f}; {probed.mean:+.2f})"


def _frechet(found: list[Found], case: Case) -> list[str]:
    there = [one for one in found if case in one.cases]
    rows = []
    for one in there:
        cells = [str(one.over(case, schedule, "frechet")) for schedule in SCHEDULES]
        rows.append([one.words, *cells, str(one.gain(case, REFIT, FIT))])
    title = f"#### {case[0]}, S = {case[1]}: Fréchet distance, and what fitting again gains"
    return [title, "", *_table(["", *SCHEDULES, "gain"], rows)]


def _converged(found: list[Found]) -> str:
    every = [x for one in found for case in one.cases for name in (FIT, REFIT)
             for x in one.each(case, name)]  # fmt: skip
    count = sum(not x["converged"] for x in every)
    return f"{count} of {len(every)} fits did not converge to the tolerance of their gradient."


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All tables."""
    by_name = found_of(results)
    found = list(by_name.values())
    lines = [""]
    absent = [words for name, words in names().items() if name not in by_name]
    if absent:
        lines += [f"{NOT_YET} (`{COMMAND}`): {'; '.join(absent)}.", ""]
    if not found:
        return lines
    lines += [*_facts(found), _converged(found), ""]
    for what in SHARES:
        lines += _response(found, what)
    lines += _gaps(found)
    for part in (_bands, _frechet):
        for case in cases_of(found):
            lines += part(found, case)
    return lines


def main(results: Path = HERE / "results", readme: Path = HERE / "README.md") -> None:
    """Write the tables between the marks of the README."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
