"""The tables and claims of the plans through published networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from experiments.estimates import Estimate, differences, estimate
from experiments.published_networks.run import (
    BEST,
    EXPERIMENT,
    FINE,
    LEARNED,
    MEAN,
    PEER,
    ROBUST,
    SAMPLES,
    STEPS,
    best_heuristic,
)
from experiments.session import read_all, read_json
from experiments.summary import Claim, not_run, seeds_line, table, verdict

MEASURES = ("mean", "geometric mean", "median")
HSC, ZTF = "galaxies of HSC, 32x32", "galaxies of ZTF, 32x32"
AIMS = {3: 10.5, 4: 4.8, 5: 2.56, 8: 2.9}
"""Squared distances of the first prototype of learning by least squares; of 8 calls UniPC's."""

AIM_OF_ZTF, SAME, FASTER = 0.4, 0.01, 8.0


class Row(NamedTuple):
    """The seeds of a case: what was learned, and the heuristics of as many calls."""

    seeds: list[dict[str, Any]]

    @property
    def names(self) -> list[str]:
        """The plans that all seeds have."""
        return [x for x in self.seeds[0]["plans"] if all(x in one["plans"] for one in self.seeds)]

    def values(self, name: str, measure: str = "mean") -> dict[int, float]:
        """Give the distances of a plan, seed by seed."""
        return {x["seed"]: x["plans"][name]["judged"][measure] for x in self.seeds}

    def of(self, name: str, measure: str = "mean") -> Estimate:
        """Estimate the distance of a plan."""
        return estimate(list(self.values(name, measure).values()))

    def best(self, steps: int, measure: str = "mean") -> dict[int, float]:
        """Give the distances of the heuristic that is the best by its mean over seeds."""
        known = {x["seed"]: x["heuristics"][str(steps)] for x in self.seeds}
        first = next(iter(known.values()))
        name = min(first, key=lambda x: sum(one[x][measure] for one in known.values()))
        return {seed: one[name][measure] for seed, one in known.items()}

    def best_of(self, steps: int, measure: str = "mean") -> Estimate:
        """Estimate the distance of that heuristic."""
        return estimate(list(self.best(steps, measure).values()))

    def calls(self, name: str, what: str) -> int:
        """Give the most answers of the seeds that a part of learning took."""
        return max(int(x["plans"][name]["learning"]["calls"][what]) for x in self.seeds)

    def every_call(self, name: str) -> int:
        """Give the most answers of the seeds that all of learning took."""
        return max(sum(x["plans"][name]["learning"]["calls"].values()) for x in self.seeds)

    def seconds(self, name: str) -> Estimate:
        """Estimate the seconds of learning."""
        return estimate([x["plans"][name]["learning"]["seconds"] for x in self.seeds])


def read(case: str, results: Path) -> Row | None:
    """Read the complete results of a case; None without any."""
    seeds = [x for x in read_all(results, f"{case}-*.json") if x.get("complete", True)]
    return Row(seeds) if seeds else None


def tables(results: Path) -> list[str]:
    """Make all tables of what has been run."""
    lines: list[str] = []
    for make in (hsc_table, memory_table, ztf_table, samples_table, peer_table):
        lines += make(results)
    return lines or ["Not yet run."]


def hsc_table(results: Path) -> list[str]:
    """Put plans of 3 to 8 calls beside the best heuristic, with what they cost."""
    row = read("hsc", results)
    if row is None:
        return []
    rows = []
    for name in row.names:
        best = best_heuristic(results, int(name))
        cost = [f"{row.calls(name, x):,}" for x in ("learning", "heuristics", "teacher")]
        cells = [name, row.of(name), row.best_of(int(name)), best, *cost]
        rows.append([*cells, f"{row.seconds(name).mean:.0f}"])
    head = ["calls", LEARNED, BEST, "which", "answers to learn", "to rank", "of the teacher"]
    title = f"{HSC}: mean squared distance to the fine solution"
    return [*table([*head, "seconds"], rows, title, 3), *seeds_line(len(row.seeds))]


def memory_table(results: Path) -> list[str]:
    """Put plans of 5 calls beside each other that lean on more or fewer past estimates."""
    row, default = read("memory", results), read("hsc", results)
    if row is None or default is None:
        return []
    every = {**{int(x): (row, x) for x in row.names}, 2: (default, str(STEPS))}
    rows = [
        [memory, one.of(name), f"{one.calls(name, 'learning'):,}"]
        for memory, (one, name) in sorted(every.items())
    ]
    title = f"{HSC}: past estimates that a step leans on, {STEPS} calls"
    return table(["memory", "mean squared distance", "answers to learn"], rows, title, 3)


def ztf_table(results: Path) -> list[str]:
    """Put the two objectives beside each other, and the best heuristic by each measure."""
    row = read("ztf", results)
    if row is None:
        return []
    words = {ROBUST: f"{LEARNED}, default objective", MEAN: f"{LEARNED}, teacher_mean"}
    rows = [
        [words[x], *(row.of(x, m) for m in MEASURES), f"{row.calls(x, 'learning'):,}"]
        for x in row.names
    ]
    rows.append([f"{BEST} by the measure", *(row.best_of(STEPS, m) for m in MEASURES), "-"])
    head = [f"{STEPS} calls", *MEASURES, "answers to learn"]
    title = f"{ZTF}: squared distances to the fine solution"
    return [*table(head, rows, title, 3), *seeds_line(len(row.seeds))]


def samples_table(results: Path) -> list[str]:
    """Give the Fréchet distances of samples."""
    known = read_json(results / f"{SAMPLES}.json")
    if not known:
        return []
    every = known["frechet"]
    named = {LEARNED: LEARNED, BEST: f"{BEST}: {known['best']}", FINE: FINE}
    rows = [[words, *(estimate(every[x][name]) for x in every)] for name, words in named.items()]
    spaces = ("pixels", f"{known['config']['components']} principal components")
    title = f"{HSC}: Fréchet distance of {known['config']['drawn']:,} samples, {STEPS} calls"
    return table(["", *spaces], rows, title, 3)


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
        ("hsc", _of_hsc, f"{HSC}: learned plans beat every heuristic, for few answers"),
        ("box", _of_box, f"{HSC}: a black box has the same plan"),
        ("ztf", _of_ztf, f"{ZTF}: the learned plan beats every heuristic"),
        (SAMPLES, _of_samples, f"{HSC}: the learned plan is nearer to fine samples"),
        (PEER, _of_peer, f"{HSC}: least squares are {FASTER:.0f} times faster than BFGS"),
    ):
        made = [Claim(*one, EXPERIMENT.command(case)) for one in make(results)]
        yield from made or [not_run(title, EXPERIMENT.command(case))]


Told = Iterator[tuple[str, str, str]]
"""Claims, verdicts and what was measured."""


def _of_hsc(results: Path) -> Told:
    row = read("hsc", results)
    if row is None:
        return
    for name in row.names:
        steps = int(name)
        mine, most, bound = row.of(name), row.every_call(name), dict(_bounds(row))[steps]
        yield (
            f"{HSC}: S = {steps}: the learned plan beats every heuristic",
            differences(row.values(name), row.best(steps)).verdict(),
            f"{mine}; best heuristic {row.best_of(steps)}",
        )
        yield (
            f"{HSC}: S = {steps}: {bound:,} answers to learn, twice that with teacher and ranking, "
            f"are enough for {AIMS[steps]}",
            verdict(mine.mean <= AIMS[steps] and most <= 2 * bound),
            f"{mine}; at most {row.calls(name, 'learning'):,} answers, {most:,} with all",
        )
    if {"5", "8"} <= set(row.names):
        yield (
            f"{HSC}: 5 learned calls are better than every heuristic's 8",
            differences(row.values("5"), row.best(8)).verdict(),
            f"{row.of('5')}; best heuristic at 8 {row.best_of(8)}",
        )


def _bounds(row: Row) -> list[list[int]]:
    return row.seeds[0]["config"]["calls"]


def _of_box(results: Path) -> Told:
    boxed, known = read("box", results), read("hsc", results)
    if boxed is None or known is None:
        return
    mine, other = boxed.values("box")[0], known.values(str(STEPS))[0]
    yield (
        f"{HSC}: through a black box the distance is the same to {100 * SAME:.0f} %",
        verdict(abs(mine / other - 1) <= SAME),
        f"{mine:.4f} against {other:.4f}",
    )


def _of_ztf(results: Path) -> Told:
    row = read("ztf", results)
    if row is None:
        return
    for measure in MEASURES:
        yield (
            f"{ZTF}: S = {STEPS}: the plan of the default objective beats every heuristic, "
            f"{measure}",
            differences(row.values(ROBUST, measure), row.best(STEPS, measure)).verdict(),
            f"{row.of(ROBUST, measure)}; best heuristic {row.best_of(STEPS, measure)}",
        )
    mine = row.of(ROBUST, "geometric mean")
    yield (
        f"{ZTF}: S = {STEPS}: the default objective has a geometric mean of {AIM_OF_ZTF}",
        verdict(mine.mean <= AIM_OF_ZTF),
        str(mine),
    )


def _of_samples(results: Path) -> Told:
    known = read_json(results / f"{SAMPLES}.json").get("frechet", {})
    for space, every in known.items():
        mine, best = (dict(enumerate(every[x])) for x in (LEARNED, BEST))
        told = "; ".join(f"{name} {estimate(values)}" for name, values in every.items())
        yield (
            f"{HSC}: S = {STEPS}: the learned plan is nearer to fine samples than the best "
            f"heuristic (Fréchet in {space})",
            differences(mine, best).verdict(),
            told,
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
