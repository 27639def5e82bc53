"""The tables and claims of the plans through published networks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments.estimates import Estimate, differences, estimate
from experiments.published_networks.run import (
    CLOTHING,
    EXPERIMENT,
    MEASURES_OF,
    PARTS,
    PEER,
    SPOKEN,
    STEPS,
)
from experiments.session import read_all, read_json
from experiments.summary import Claim, not_run, seeds_line, table, verdict
from experiments.trained_networks.summary import DROP, FEWER, lower_by, verdict_at
from specjax.bench.bench import FINE, FLOOR, LEARNED, LEARNED_NAMES
from specjax.bench.measures import DISTANCES, HIGHER

HSC, ZTF = "galaxies of HSC, 32x32", "galaxies of ZTF, 32x32"
PIECES, SOUND = "pieces of clothing, 28x28", "spoken digits, 400 samples long"
TITLES = {"hsc": HSC, "ztf": ZTF, CLOTHING: PIECES, SPOKEN: SOUND}
PLAN = LEARNED["plan"].name
WORDS = {
    "mean": "mean squared distance to the fine solution",
    "geometric_mean": "geometric mean of the squared distances to the fine solution",
    "median": "median of the squared distances to the fine solution",
    "frechet": "Fréchet distance (squared), 64 principal components",
}
AIMS = {3: 10.5, 4: 4.8, 5: 2.56, 8: 2.9}
"""Squared distances of the first prototype of learning by least squares; of 8 calls UniPC's."""

AIM_OF_ZTF, SAME, FASTER, FURTHER = 0.4, 0.01, 8.0, 1.6


_LIMITS = ((FINE, "fine"), (FLOOR, "floor"))


class Benched(NamedTuple):
    """The seeds of a bench."""

    seeds: list[dict[str, Any]]

    @property
    def calls(self) -> list[int]:
        """The numbers of calls."""
        return sorted({row["calls"] for row in self.seeds[0]["rows"]})

    @property
    def methods(self) -> list[str]:
        """The methods, the learned plan first."""
        return list(dict.fromkeys(row["method"] for row in self.seeds[0]["rows"]))

    def limit(self, name: str, measure: str) -> Estimate:
        """Estimate what the fine solutions ("fine") or the reference itself ("floor") reach."""
        return estimate([one[name][measure] for one in self.seeds])

    def row(self, method: str, calls: int) -> dict[int, dict[str, Any]]:
        """Give the rows of a method by seed; none where it has none with so many calls."""
        return {
            one["seed"]: row
            for one in self.seeds
            for row in one["rows"]
            if (row["method"], row["calls"]) == (method, calls)
        }

    def values(self, method: str, calls: int, measure: str) -> dict[int, float]:
        """Give the values of a method by seed."""
        return {seed: row["values"][measure] for seed, row in self.row(method, calls).items()}

    def of(self, method: str, calls: int, measure: str) -> Estimate | None:
        """Estimate the value of a method."""
        known = list(self.values(method, calls, measure).values())
        return estimate(known) if known else None

    def rival(self, calls: int, measure: str) -> str:
        """Name the rival that is best by its mean over seeds."""
        every = {x: self.of(x, calls, measure) for x in self.methods if x not in LEARNED_NAMES}
        known = {name: one.mean for name, one in every.items() if one is not None}
        return (max if measure in HIGHER else min)(known, key=known.__getitem__)

    def schedules(self, method: str, calls: int) -> str:
        """Name the schedules along which a method went."""
        return ", ".join(dict.fromkeys(x["schedule"] for x in self.row(method, calls).values()))

    def answers(self, calls: int, what: str) -> int:
        """Give the most answers of the seeds that a part of learning took."""
        return max(int(x["learning"][what]) for x in self.row(PLAN, calls).values())

    def every_answer(self, calls: int) -> int:
        """Give the answers to learn and to rank, and the teacher's, which serve all S of a seed."""
        teacher = max(self.answers(one, "teacher") for one in self.calls)
        rest = (self.answers(calls, x) for x in ("heuristics", "learning"))
        return teacher + sum(rest)


def read(case: str, results: Path) -> Benched | None:
    """Read the complete results of a bench; None without any."""
    seeds = [x for x in read_all(results, f"{case}-*.json") if x.get("complete", True)]
    return Benched([_with_parts(x, results) for x in seeds]) if seeds else None


def _with_parts(seed: dict[str, Any], results: Path) -> dict[str, Any]:
    """Add the rows of parts of plans, which were judged from the same noise."""
    known = read_json(results / f"{PARTS}-{seed['seed']}.json") if seed["case"] == "hsc" else {}
    return {**seed, "rows": seed["rows"] + known.get("rows", [])}


def tables(results: Path) -> list[str]:
    """Make all tables of what has been run."""
    lines: list[str] = []
    for case in MEASURES_OF:
        lines += bench_tables(case, results)
    for make in (memory_table, peer_table):
        lines += make(results)
    return lines or ["Not yet run."]


def bench_tables(case: str, results: Path) -> list[str]:
    """Put the learned plan beside all rivals, by distance and by Fréchet distance; and its cost."""
    bench = read(case, results)
    if bench is None:
        return []
    lines, head = [], ["", *(f"{calls} calls" for calls in bench.calls)]
    for measure in (MEASURES_OF[case], "frechet"):
        rows = [
            [name, *(bench.of(name, calls, measure) or "-" for calls in bench.calls)]
            for name in bench.methods
        ]
        best = [bench.rival(calls, measure) for calls in bench.calls]
        along = (bench.schedules(*one) for one in zip(best, bench.calls, strict=True))
        rows.append(["best rival", *(f"{x} ({y})" for x, y in zip(best, along, strict=True))])
        if measure == "frechet":
            for title, name in _LIMITS:
                rows.append([title, *[bench.limit(name, measure)] * len(bench.calls)])
        lines += table(head, rows, f"{TITLES[case]}: {WORDS[measure]}", 3)
    lines += all_measures_table(bench, case)
    parts = {"to learn": "learning", "to rank": "heuristics", "to judge": "judging"}
    rows = [[f"answers {x}", *(f"{bench.answers(calls, y):,}" for calls in bench.calls)]
            for x, y in parts.items()]  # fmt: skip
    rows.append(
        [
            "to learn and to rank, with the teacher's",
            *(f"{bench.every_answer(x):,}" for x in bench.calls),
        ]
    )
    lines += table(head, rows, f"{TITLES[case]}: what learning takes", 3)
    return [*lines, *seeds_line(len(bench.seeds))]


def all_measures_table(bench: Benched, case: str) -> list[str]:
    """Put what all samples together are like beside each other, in the S of the pictures."""
    names = [x for x in bench.seeds[0]["fine"] if x not in (*DISTANCES, "frechet")]
    rows = [
        [method, *(bench.of(method, STEPS, x) for x in names)]
        for method in bench.methods
        if bench.row(method, STEPS)
    ]
    rows += [[title, *(bench.limit(name, x) for x in names)] for title, name in _LIMITS]
    title = f"{TITLES[case]}: all samples of {STEPS} calls"
    return table(["", *names], rows, title, 3)


def memory_table(results: Path) -> list[str]:
    """Put plans of 5 calls beside each other that lean on more or fewer past estimates."""
    seeds = [x for x in read_all(results, "memory-*.json") if x.get("complete", True)]
    if not seeds:
        return []
    rows = [
        [name, estimate([one["plans"][name]["judged"]["mean"] for one in seeds]),
         f"{max(one['plans'][name]['learning']['calls']['learning'] for one in seeds):,}"]
        for name in seeds[0]["plans"]
    ]  # fmt: skip
    title = f"{HSC}: past estimates that a step leans on, {STEPS} calls"
    return table(["memory", "mean squared distance", "answers to learn"], rows, title, 3)


def peer_table(results: Path) -> list[str]:
    """Put the time of learning beside that of BFGS."""
    known = read_json(results / f"{PEER}.json")
    if not known:
        return []
    commit = known["config"]["peer"]
    words = {"before": f"BFGS and reverse mode (commit {commit})", "now": "least squares"}
    rows = [
        [words[x], f"{known[x]['seconds']:.0f}", f"{known[x]['judged']['mean']:.2f}"] for x in words
    ]
    head = ["", "seconds", "mean squared distance"]
    return table(head, rows, f"{HSC}: {STEPS} calls, learned before and now", 3)


def claims(results: Path) -> Iterator[Claim]:
    """Make the claims of every case, run or not."""
    for case, make, title in (
        ("hsc", _of_hsc, f"{HSC}: a learned plan beats every rival"),
        ("ztf", _of_ztf, f"{ZTF}: a learned plan beats every rival"),
        (CLOTHING, partial(_of_trained, CLOTHING), f"{PIECES}: a learned plan beats every rival"),
        (SPOKEN, partial(_of_trained, SPOKEN), f"{SOUND}: a learned plan beats every rival"),
        (PARTS, _of_parts, f"{HSC}: a learned plan beats parts of it that are learned alone"),
        ("box", _of_box, f"{HSC}: a black box has the same plan"),
        (PEER, _of_peer, f"{HSC}: least squares are {FASTER:.0f} times faster than BFGS"),
    ):
        made = [Claim(*one, EXPERIMENT.command(case)) for one in make(results)]
        yield from made or [not_run(title, EXPERIMENT.command(case))]


Told = Iterator[tuple[str, str, str]]
"""Claims, verdicts and what was measured."""


def _against_rivals(bench: Benched, case: str) -> Told:
    measure = MEASURES_OF[case]
    for calls in bench.calls:
        mine = bench.values(PLAN, calls, measure)
        later = [x for x in bench.calls if x <= FURTHER * calls]
        for other in dict.fromkeys((calls, later[-1])):
            rival = bench.rival(other, measure)
            theirs = bench.values(rival, other, measure)
            yield (
                f"{TITLES[case]}: S = {calls}: the learned plan beats every rival in {other} calls",
                differences(mine, theirs).verdict(),
                f"{estimate(list(mine.values()))}; {rival} ({bench.schedules(rival, other)}) "
                f"{estimate(list(theirs.values()))}",
            )


def _of_the_paper(bench: Benched, title: str) -> Told:
    """Ask of plans what 2502.00180 says of schedules."""
    words = "Fréchet distance"
    drops, gains = {}, {}
    for calls in bench.calls:
        mine = bench.values(PLAN, calls, "frechet")
        later = max(x for x in bench.calls if x <= FEWER * calls)
        for other, found in ((calls, drops), (later, gains)):
            theirs = bench.values(bench.rival(other, "frechet"), other, "frechet")
            found[calls] = estimate([1 - mine[seed] / theirs[seed] for seed in mine])
    yield (
        f"{title}: the {words} of learned plans is {100 * DROP:.1f} % below that of the best rival "
        "in as many calls",
        verdict_at(drops, DROP),
        lower_by(drops),
    )
    yield (
        f"{title}: the {words} of learned plans is below that of the best rival in at most "
        f"{FEWER:g} times as many calls",
        verdict_at(gains, 0.0),
        lower_by(gains),
    )


def _of_hsc(results: Path) -> Told:
    bench = read("hsc", results)
    if bench is None:
        return
    yield from _against_rivals(bench, "hsc")
    yield from _of_the_paper(bench, HSC)
    bounds = dict(bench.seeds[0]["config"]["calls"])
    for calls in (x for x in bench.calls if x in AIMS):
        mine, most = bench.of(PLAN, calls, "mean"), bench.every_answer(calls)
        assert mine is not None
        yield (
            f"{HSC}: S = {calls}: {bounds[calls]:,} answers to learn, twice that with teacher and "
            f"ranking, are enough for {AIMS[calls]}",
            verdict(mine.mean <= AIMS[calls] and most <= 2 * bounds[calls]),
            f"{mine}; at most {bench.answers(calls, 'learning'):,} answers, {most:,} with all",
        )


def _of_ztf(results: Path) -> Told:
    bench = read("ztf", results)
    if bench is None:
        return
    yield from _against_rivals(bench, "ztf")
    mine = bench.of(PLAN, STEPS, "geometric_mean")
    if mine is not None:
        yield (
            f"{ZTF}: S = {STEPS}: the default objective has a geometric mean of {AIM_OF_ZTF}",
            verdict(mine.mean <= AIM_OF_ZTF),
            str(mine),
        )


def _of_trained(case: str, results: Path) -> Told:
    bench = read(case, results)
    if bench is not None:
        yield from _against_rivals(bench, case)


def _of_parts(results: Path) -> Told:
    bench = read("hsc", results)
    if bench is None:
        return
    for calls in bench.calls:
        others = {x: bench.values(x, calls, "mean") for x in LEARNED_NAMES if x != PLAN}
        known = {x: values for x, values in others.items() if values}
        if not known:
            continue
        best = min(known, key=lambda x: estimate(list(known[x].values())).mean)
        mine = bench.values(PLAN, calls, "mean")
        yield (
            f"{HSC}: S = {calls}: a learned plan beats its parts learned alone",
            differences(mine, known[best]).verdict(),
            f"{estimate(list(mine.values()))}; {best} {estimate(list(known[best].values()))}",
        )


def _of_box(results: Path) -> Told:
    known = read_json(results / "box-0.json").get("plans", {})
    if not {"box", "own"} <= known.keys():
        return
    mine, other = (known[x]["judged"]["mean"] for x in ("box", "own"))
    yield (
        f"{HSC}: through a black box the distance is the same to {100 * SAME:.0f} %",
        verdict(abs(mine / other - 1) <= SAME),
        f"{mine:.4f} against {other:.4f}",
    )


def _of_peer(results: Path) -> Told:
    known = read_json(results / f"{PEER}.json")
    if not known:
        return
    before, now = (known[x]["seconds"] for x in ("before", "now"))
    distances = " and ".join(f"{known[x]['judged']['mean']:.2f}" for x in ("before", "now"))
    yield (
        f"{HSC}: S = {STEPS}: least squares are {FASTER:.0f} times faster than BFGS",
        verdict(before >= FASTER * now),
        f"{before:.0f} s and {now:.0f} s, {before / now:.1f} times; distances {distances}",
    )
