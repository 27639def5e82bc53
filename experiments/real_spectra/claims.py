"""The claims under test: ``python -m experiments.real_spectra.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.common import between
from experiments.real_spectra.config import DATASETS
from experiments.real_spectra.found import (
    COMMAND,
    HELD_OUT,
    HERE,
    NOT_YET,
    Matrix,
    Number,
    Results,
    found,
    plain,
    window_of,
)

README = HERE.parent / "README.md"
MARKS = ("<!-- real_spectra -->", "<!-- end of real_spectra -->")
WITHIN = {"shift-invariant": 1.05, "low-rank": 1.05, "spectral": 1.01, "half": 1.01, "window": 1.1}
"""How far above the optimum an estimate, the closed form, half of the data, a window may be."""


class Case(NamedTuple):
    """One comparison: ``less`` should be below ``more``."""

    less: Number
    more: Number
    words: str

    @property
    def margin(self) -> float:
        """Below 1 where it does not hold."""
        return self.more.value / self.less.value


def _line(claim: str, cases: Iterable[Case], command: str = COMMAND) -> str:
    """Yes where it holds in every case, no where it clearly fails in one."""
    cases = list(cases)
    held = [x for x in cases if x.more.clearly_above(x.less)]
    failed = [x for x in cases if x.less.clearly_above(x.more)]
    verdict = "**no**" if failed else "yes" if len(held) == len(cases) else "**not clear**"
    worst = min(cases, key=lambda x: x.margin)
    counts = f"{len(held)} of {len(cases)} cases, against it {len(failed)}"
    where = command.replace(" --data {}", "")
    return f"| {claim} | {verdict} | {counts}; the tightest: {worst.words} | {where} |"


def _heuristics(matrix: Matrix) -> Iterator[Case]:
    for name in matrix.columns:
        own, (best, number) = matrix.cells[HELD_OUT, name], matrix.best(name)
        words = f"{plain(name)}: {own} of the optimum on the other half, {best} {number}"
        yield Case(own, number, words)


def _others(matrix: Matrix, rival: str) -> Iterator[Case]:
    for row, column in matrix.pairs():
        given = matrix.cells[row, column]
        name, number = (
            matrix.best(column) if rival == "best" else (rival, matrix.cells[rival, column])
        )
        words = f"{plain(row)}'s on {plain(column)} {given}, {name} {number}"
        yield Case(given, number, words)


def _limits(results: Results, what: str, limit: float, regimes: Iterable[str]) -> Iterator[Case]:
    """A schedule of an estimate, or the closed form, on the full spectrum."""
    for regime in regimes:
        for name, document in results.schedules.items():
            one = document["regimes"][regime]
            ratio = (
                one["ratio"]["spectral"] if what == "spectral" else one["estimates"][what]["ratio"]
            )
            words = f"{plain(name)}, {regime}: {Number(ratio)}"
            yield Case(Number(ratio), Number(limit), words)


def _halves(results: Results, regimes: Iterable[str]) -> Iterator[Case]:
    for regime in regimes:
        matrix = results.matrix(regime)
        for name in matrix.columns:
            own = matrix.cells[HELD_OUT, name]
            yield Case(own, Number(WITHIN["half"]), f"{plain(name)}, {regime}: {own}")


def _shapes(results: Results, regimes: Iterable[str], convex: bool) -> Iterator[Case]:
    for regime in regimes:
        for name, document in results.schedules.items():
            one = document["regimes"][regime]
            area, half = Number(one["area"], one["area_error"]), Number(0.5)
            words = f"{plain(name)}, {regime}: {area}"
            yield Case(*((area, half) if convex else (half, area)), words)


def _windows(results: Results, name: str, loss: str) -> Iterator[Case]:
    document = results.windows[name]
    for regime, one in document["regimes"].items():
        if f" {loss}," in regime:
            matrix = Matrix.of(document["datasets"], one)
            for pair in matrix.pairs():
                row, column = (window_of(x, document) for x in pair)
                ratio, words = matrix.cells[pair], f"{row} on {column}, {regime}: "
                yield Case(ratio, Number(WITHIN["window"]), words + str(ratio))


def _of_regimes(results: Results) -> Iterator[str]:
    """Lines of the matrix of all datasets."""
    rivals = {"cosine": "cosine", "best": "the best heuristic of that one"}
    for regime in results.regimes if results.cross else []:
        matrix = results.matrix(regime)
        what = f"{len(matrix.columns)} real spectra, {regime}"
        claim = f"{what}: the learned schedule beats every heuristic"
        yield _line(claim, _heuristics(matrix))
        for rival, words in rivals.items():
            claim = f"{what}: the schedule of any other dataset beats {words}"
            yield _line(claim, _others(matrix, rival))


def _of_losses(results: Results) -> Iterator[str]:
    """Lines of estimates, halves, shapes and windows."""
    for loss in ("w2", "kl"):
        mine = [x for x in results.regimes if f" {loss}," in x]
        if mine:
            yield from _of_loss(results, loss, f"real spectra, {loss}", mine)


def _of_loss(results: Results, loss: str, what: str, mine: list[str]) -> Iterator[str]:
    for name in ("shift-invariant", "low-rank"):
        claim = f"the schedule of the {name} estimate is within {_percent(name)} of the optimum"
        yield _line(f"{what}: {claim}", _limits(results, name, WITHIN[name], mine))
    ddim = [x for x in mine if x.startswith("ddim")]
    claim = f"{what}, DDIM: the closed form is within {_percent('spectral')} of the optimum"
    yield _line(claim, _limits(results, "spectral", WITHIN["spectral"], ddim))
    if results.cross:
        claim = f"learned on half of the data it is within {_percent('half')} on the other half"
        yield _line(f"{what}: {claim}", _halves(results, mine))
    shape = "convex (area < 1/2)" if loss == "w2" else "concave (area > 1/2)"
    yield _line(f"{what}: alpha_bar over time is {shape}", _shapes(results, mine, loss == "w2"))
    for sound in results.windows:
        claim = f"the schedule of any window is within {_percent('window')} on any other"
        yield _line(f"{plain(sound)}, {loss}: {claim}", _windows(results, sound, loss))


def _percent(name: str) -> str:
    return f"{100 * (WITHIN[name] - 1):.0f} %"


def _of_units(results: Results) -> Iterator[str]:
    for name, one in results.units.items():
        verdict = "yes" if one["refusal"] else "**no**"
        costs = [Number(x) for x in one["ratio"].values()]
        claim = f"{plain(name)} in other units ({one['units']}): the schedule is refused on [-1, 1]"
        text = f"it would cost {min(costs)} to {max(costs)} times the optimum"
        yield f"| {claim} | {verdict} | {text} | {COMMAND.format(name)} |"


def lines_of(results: Path = HERE / "results") -> list[str]:
    """A line for each claim, and for what is missing."""
    known = found(results)
    absent = [
        f"| {DATASETS[x].words}: its schedules | {NOT_YET} | - | {COMMAND.format(x)} |"
        for x in DATASETS
        if x not in known.schedules
    ]
    if not known.schedules:
        return absent
    return [*absent, *_of_regimes(known), *_of_losses(known), *_of_units(known)]


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
