"""The tables and claims of Gaussians."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.experiment import NOT_YET
from experiments.session import read_json
from experiments.summary import Claim, not_run, table, verdict
from experiments.synthetic_gaussian import measures
from experiments.synthetic_gaussian.run import (
    CONFIG,
    EXPERIMENT,
    MEAN,
    PAPER,
    RANGES,
    key_of,
    spectra,
    stem_of,
)
from specjax.schedules.families import SCHEDULES
from specjax.schedules.schedule import sigmoid

REFERENCE = {
    "ddim": {5: 1.86601, 10: 0.98932, 20: 0.51242},
    "ddpm": {5: 2.33684, 10: 1.39613, 20: 0.78696},
}
"""W2 (not squared) of the optimum by an independent SLSQP in float64, with 5 digits: exponential
covariance, VP, ends RANGES["0.9999"]."""

FAMILIES = tuple(name for name in SCHEDULES if name != "beta")
"""The families that were there when the results were made."""

SHOWN = (5, 20)
"""The S of the tables of losses; all of them are in the JSON and the pictures."""

NAMES = {"w2": "W2", "kl": "KL", "ddim": "DDIM", "ddpm": "DDPM"}
CLOSE = 0.002
"""What the closed form may have more than the optimum (DESIGN.md)."""

GROUPS: dict[str, Callable[[str], bool]] = {
    "exponential and circulant covariance": lambda name: name in ("exponential", "circulant"),
    "power laws with lambda_1 = 1": lambda name: name.startswith("k^-"),
    "power laws with variances of mean 1": lambda name: name.startswith("unit"),
}
EXPECTED_SHAPE = {"w2": "convex", "kl": "concave"}


class Fits(NamedTuple):
    """What is known of a spectrum."""

    name: str
    document: dict[str, Any]

    @property
    def steps(self) -> list[int]:
        """The S of all fits, in order."""
        return sorted(self.document["config"]["steps"])

    def group(self, sampler: str, loss: str, process: str = "vp", clean: str = PAPER) -> Any:
        """Give lists over S; None where that was not fitted."""
        return self.document["fits"].get(key_of(sampler, loss, process, clean))

    def of(self, sampler: str, loss: str, schedule: str, steps: int, **where: str) -> float:
        """Give the loss of a schedule ("learned", "spectral", ...), or another number."""
        return self.group(sampler, loss, **where)[schedule][self.steps.index(steps)]

    def best(self, sampler: str, loss: str, steps: int, **where: str) -> str:
        """Name the best schedule that does not look at the data."""
        return min(FAMILIES, key=lambda x: self.of(sampler, loss, x, steps, **where))

    def alpha_bar(self, sampler: str, loss: str, steps: int) -> np.ndarray:
        """Give the levels [S + 1] of a learned schedule whose levels were kept."""
        return sigmoid(np.array(self.document["levels"][f"{sampler} {loss}"][str(steps)]))

    def excess(self, sampler: str, loss: str, schedule: str, steps: int, **where: str) -> float:
        """Give the share by which a schedule's W2 or KL is above the learned one's."""
        learned = distance(loss, self.of(sampler, loss, "learned", steps, **where))
        return distance(loss, self.of(sampler, loss, schedule, steps, **where)) / learned - 1

    def change_by_start(self, sampler: str, loss: str, steps: int) -> float:
        """Give the relative change of the loss if the start is the true marginal."""
        marginal, full = (self.of(sampler, loss, x, steps) for x in ("marginal", "full"))
        return marginal / full - 1

    def gap(self, steps: int, clean: str) -> tuple[float, float]:
        """Give cosine's W2 minus the learned one's under DDIM, and over it."""
        names = ("cosine", "learned")
        a, b = (self.of("ddim", "w2", x, steps, clean=clean) ** 0.5 for x in names)
        return a - b, a / b


def read(results: Path) -> dict[str, Fits]:
    """Read all spectra whose results are there, in the order of the config."""
    documents = {name: read_json(results / f"{stem_of(name)}.json") for name in spectra(CONFIG)}
    return {name: Fits(name, document) for name, document in documents.items() if document}


def centred(every: dict[str, Fits]) -> list[Fits]:
    """Give those without a mean."""
    return [one for name, one in every.items() if not name.endswith(MEAN)]


def distance(loss: str, value: float) -> float:
    """Give W2 itself, of which the loss is the square, and KL as it is."""
    return value**0.5 if loss == "w2" else value


def percent(x: float) -> str:
    """Give an excess as a percentage."""
    return f"{100 * x:+.2f} %" if abs(x) < 0.0995 else f"{100 * x:+.0f} %"


def squared(loss: str) -> str:
    """Name a loss: the loss of W2 is its square."""
    return NAMES[loss] + " squared" * (loss == "w2")


def scores(one: Fits, loss: str, sampler: str | None = None) -> np.ndarray:
    """Give (measured - predicted) / standard error of all samples of a spectrum."""
    chosen = [x for x in one.document["checks"] if sampler in (None, x["sampler"])]
    return np.array(
        [(x[f"{loss}_measured"] - x[f"{loss}_predicted"]) / x[f"{loss}_error"] for x in chosen]
    )


def tables(results: Path) -> list[str]:
    """Make all tables."""
    every = read(results)
    if not every:
        return [f"{NOT_YET}: `{EXPERIMENT.command()}`"]
    plain = centred(every)
    lines = _reference_table(every["exponential"])
    for case in CONFIG.cases:
        lines += _losses_table(plain, *case)
    lines += _shapes_table(plain, max(CONFIG.kept))
    for clean in RANGES:
        lines += _gaps_table(plain, clean)
    return [*lines, *_means_table(every), *_starts_table(plain), *_checks_table(every)]


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    return table(heads, rows, title, 3)


def _reference_table(one: Fits) -> list[str]:
    rows = []
    for sampler, known in REFERENCE.items():
        for s, value in known.items():
            learned = one.of(sampler, "w2", "learned", s) ** 0.5
            rows.append([f"{NAMES[sampler]}, S = {s}", f"{learned:.5f}", f"{value:.5f}"])
    title = "The reference optimum: exponential covariance, W2 (not squared)"
    return _table(title, ("", "learned", "SLSQP"), rows)


def _losses_table(every: list[Fits], sampler: str, loss: str) -> list[str]:
    """Show the learned loss beside closed form, cosine and the best heuristic."""
    heads, rows = ["covariance"], []
    for s in SHOWN:
        heads += [f"S = {s}: learned", "closed form", "cosine", "best heuristic"]
    for one in every:
        row = [one.name]
        for s in SHOWN:
            best = one.best(sampler, loss, s)
            over = [one.excess(sampler, loss, x, s) for x in ("spectral", "cosine", best)]
            learned = distance(loss, one.of(sampler, loss, "learned", s))
            row += [f"{learned:.4g}", *map(percent, over[:2]), f"{percent(over[2])} {best}"]
        rows.append(row)
    title = f"{NAMES[sampler]}, {NAMES[loss]}: learned, and how much more the others have"
    return _table(title, heads, rows)


def _shapes_table(every: list[Fits], steps: int) -> list[str]:
    rows = []
    for one in every:
        levels = [one.alpha_bar(*case, steps) for case in CONFIG.cases]
        rows.append([one.name, *(f"{measures.shape(x)} {measures.bow(x):+.2f}" for x in levels)])
    heads = ("covariance", *(f"{NAMES[a]}, {NAMES[b]}" for a, b in CONFIG.cases))
    return _table(f"Shapes of alpha_bar over steps, S = {steps}: word and bow", heads, rows)


def _gaps_table(every: list[Fits], clean: str) -> list[str]:
    rows = [
        [one.name, *(f"{g:.3g} ({r:.3f})" for g, r in (one.gap(s, clean) for s in one.steps))]
        for one in every
    ]
    heads = ("covariance", *(f"S = {s}" for s in every[0].steps))
    title = f"DDIM, W2, clean end {clean}: cosine minus learned (cosine / learned)"
    return _table(title, heads, rows)


def _means_table(every: dict[str, Fits]) -> list[str]:
    """Show the mean's part of the squared W2 and what the true start changes."""
    ends = [next(iter(every.values())).steps[i] for i in (1, -1)]
    rows = []
    for one in (x for name, x in every.items() if name.endswith(MEAN)):
        row = [one.name.removesuffix(MEAN)]
        for sampler in CONFIG.samplers:
            for s in ends:
                part, full = (one.of(sampler, "w2", x, s) for x in ("mean_part", "full"))
                change = percent(one.change_by_start(sampler, "w2", s))
                row.append(f"{part:.3g}; {percent(part / full)}; {change}")
        rows.append(row)
    heads = [f"{NAMES[x]}, S = {s}" for x in CONFIG.samplers for s in ends]
    title = "With a mean: its part of W2 squared; the same of all; the change by the true start"
    return _table(title, ("covariance", *heads), rows)


def _starts_table(every: list[Fits]) -> list[str]:
    ends = [every[0].steps[i] for i in (1, -1)]
    rows = [
        [one.name, *(" ".join(percent(one.change_by_start(*case, s)) for s in ends)
                     for case in CONFIG.cases)]
        for one in every
    ]  # fmt: skip
    heads = [f"{NAMES[sampler]}, {squared(loss)}" for sampler, loss in CONFIG.cases]
    title = f"No mean: change of the loss by the true start at S = {ends[0]} and S = {ends[1]}"
    return _table(title, ("covariance", *heads), rows)


def _checks_table(every: dict[str, Fits]) -> list[str]:
    """Show Monte Carlo against the prediction."""
    rows = []
    for one in every.values():
        for sampler in CONFIG.samplers if one.document["checks"] else ():
            z = [scores(one, loss, sampler) for loss in CONFIG.losses]
            cells = [f"{np.sqrt((x**2).mean()):.2f}; {np.abs(x).max():.2f}" for x in z]
            checks = [x["spread"] for x in one.document["checks"] if x["sampler"] == sampler]
            cells.append(f"{min(checks):.2f} to {max(checks):.2f}")
            rows.append([f"{one.name}, {NAMES[sampler]}", len(checks), *cells])
    heads = ("", "plans", "W2 squared: rms z; largest", "KL: rms z; largest", "variances: mean z²")
    return _table(f"Monte Carlo, {CONFIG.n:,} samples a plan: z scores of the losses", heads, rows)


def claims(results: Path) -> Iterator[Claim]:
    """Make all claims."""
    every, command = read(results), EXPERIMENT.command()
    if not every:
        yield not_run("Gaussians: learned schedules beat every heuristic", command)
        return
    for claim, holds, text in _claims(every):
        yield Claim(f"Gaussians: {claim}", verdict(holds), text, command)


Statement = tuple[str, bool, str]
"""A claim, whether it holds, and what was measured."""


def _claims(every: dict[str, Fits]) -> Iterator[Statement]:
    yield _reference(every)
    yield _least(every)
    for clean in RANGES:
        yield from (_closed_form(every, loss, clean) for loss in CONFIG.losses)
    yield from (_closed_best(every, loss) for loss in CONFIG.losses)
    yield from (_white(every, sampler) for sampler in CONFIG.samplers)
    for group in GROUPS:
        yield from (_shape(every, group, *case) for case in CONFIG.cases)
    for clean in RANGES:
        yield from _gaps(every, clean)
    yield from (_confirmed(every, loss) for loss in CONFIG.losses)
    yield from (_mean_part(every, sampler) for sampler in CONFIG.samplers)
    yield from (_start(every, *case) for case in CONFIG.cases)
    yield _processes(every)


def _reference(every: dict[str, Fits]) -> Statement:
    off = max(
        abs(every["exponential"].of(sampler, "w2", "learned", s) ** 0.5 - value)
        for sampler, known in REFERENCE.items()
        for s, value in known.items()
    )
    words = "the six reference optima of an independent SLSQP are reproduced to their 5 decimals"
    return words, off < 6e-6, f"largest difference {off:.1e}"


def _least(every: dict[str, Fits]) -> Statement:
    """Compare learned schedules with all heuristics, everywhere."""
    margins, converged, more = [], [], 0
    for one in every.values():
        for group in one.document["fits"].values():
            best = np.min([group[name] for name in (*FAMILIES, "spectral")], axis=0)
            margins += list(best / np.array(group["learned"]) - 1)
            converged += group["converged"]
            more += sum(x > CONFIG.restarts for x in group["starts"])
    worse = [x for x in margins if x < -1e-6]
    text = (
        f"{len(margins) - len(worse)} of {len(margins)} fits (least margin of the loss "
        f"{100 * min(margins):+.3g} %); {sum(converged)} converged, {more} from more starts"
    )
    words = "the learned schedule is not above the closed form and the ten pinned heuristics"
    return words, not worse, text


def _closed_form(every: dict[str, Fits], loss: str, clean: str) -> Statement:
    over = {
        (one.name, s): one.excess("ddim", loss, "spectral", s, clean=clean)
        for one in centred(every)
        for s in one.steps
        if s >= 5
    }
    name, s = max(over, key=lambda x: over[x])
    inside = sum(x <= CLOSE for x in over.values())
    end = f"clean end {clean}"
    words = f"DDIM, {NAMES[loss]}, {end}: the closed form is within 0.2 % of the optimum from S = 5"
    middle = percent(float(np.median(list(over.values()))))
    worst = f"{percent(over[name, s])} ({name}, S = {s})"
    text = f"{inside} of {len(over)} cases; median {middle}, worst {worst}"
    return words, inside == len(over), text


def _closed_best(every: dict[str, Fits], loss: str) -> Statement:
    """Judge the closed form under DDPM, for which it was not made."""
    better = [
        one.of("ddpm", loss, "spectral", s)
        <= one.of("ddpm", loss, one.best("ddpm", loss, s), s) * (1 + 1e-9)
        for one in centred(every)
        for s in one.steps
    ]
    words = f"DDPM, {NAMES[loss]}: the closed form, made for DDIM, beats every heuristic"
    return words, all(better), f"{sum(better)} of {len(better)} cases"


def _white(every: dict[str, Fits], sampler: str) -> Statement:
    steps = max(CONFIG.kept)
    curves = [every["white"].alpha_bar(sampler, loss, steps) for loss in CONFIG.losses]
    off = max(map(measures.from_cosine, curves))
    words = f"white data, {NAMES[sampler]}: the learned schedule is the cosine one"
    text = f"angles off equal spacing by {off:.1e} of their range at most (S = {steps})"
    return words, off < 1e-3, text


def _shape(every: dict[str, Fits], group: str, sampler: str, loss: str) -> Statement:
    """Ask for a shape that is convex under W2 and concave under KL, as a whole."""
    steps, wanted = max(CONFIG.kept), EXPECTED_SHAPE[loss]
    some = [one for one in centred(every) if GROUPS[group](one.name)]
    levels = {one.name: one.alpha_bar(sampler, loss, steps) for one in some}
    bows = ", ".join(f"{name} {measures.bow(x):+.2f}" for name, x in levels.items())
    right = all(measures.lean(x) == wanted for x in levels.values())
    strict = sum(measures.shape(x) == wanted for x in levels.values())
    words = f"{group}, {NAMES[sampler]}, {NAMES[loss]}: alpha_bar over steps is {wanted} as a whole"
    return words, right, f"bow {bows}; at every level {strict} of {len(levels)}"


def _gaps(every: dict[str, Fits], clean: str) -> Iterator[Statement]:
    """Compare the gap to cosine at S = 5 with that at the largest S."""
    most = every["white"].steps[-1]
    some = [one for one in centred(every) if one.name != "white"]
    known = {one.name: (one.gap(5, clean), one.gap(most, clean)) for one in some}
    shrunk = {x: many[0] / few[0] for x, (few, many) in known.items()}
    kept = {x: (many[1] - 1) / (few[1] - 1) for x, (few, many) in known.items()}
    begin = f"DDIM, W2, clean end {clean}"
    widest, least_kept = max(shrunk, key=shrunk.__getitem__), min(kept, key=kept.__getitem__)
    yield (
        f"{begin}: cosine's absolute gap closes (it is smaller at S = {most} than at S = 5)",
        max(shrunk.values()) < 1,
        f"{sum(x < 1 for x in shrunk.values())} of {len(shrunk)}; from "
        f"{min(shrunk.values()):.2f} to {shrunk[widest]:.2f} ({widest}) of it is left",
    )
    yield (
        f"{begin}: cosine's relative gap does not close (at least half of it is left)",
        min(kept.values()) >= 0.5,
        f"{sum(x >= 0.5 for x in kept.values())} of {len(kept)}; from {min(kept.values()):.2f} "
        f"({least_kept}) to {max(kept.values()):.2f} of it is left",
    )


def _confirmed(every: dict[str, Fits], loss: str) -> Statement:
    z = np.concatenate([scores(one, loss) for one in every.values() if one.document["checks"]])
    rms, most = float(np.sqrt((z**2).mean())), float(np.abs(z).max())
    words = f"the predicted {squared(loss)} is that of samples"
    text = (
        f"z scores of {len(z)} plans, {CONFIG.n:,} samples each: rms {rms:.2f}, largest {most:.2f}"
    )
    return words, most < 4 and 0.8 < rms < 1.2, text


def _mean_part(every: dict[str, Fits], sampler: str) -> Statement:
    most = every["white"].steps[-1]
    parts = {
        name: one.of(sampler, "w2", "mean_part", most) / one.of(sampler, "w2", "full", most)
        for name, one in every.items()
        if name.endswith(MEAN)
    }
    worst = max(parts, key=parts.__getitem__)
    words = (
        f"{NAMES[sampler]}, W2, S = {most}: a mean of one standard deviation is below 1 % "
        "of the squared loss"
    )
    return words, parts[worst] < 0.01, f"at most {100 * parts[worst]:.2g} % ({worst})"


def _start(every: dict[str, Fits], sampler: str, loss: str) -> Statement:
    """Judge the change by the true start over all S, with and without a mean."""
    change = {
        (name, s): one.change_by_start(sampler, loss, s)
        for name, one in every.items()
        for s in one.steps
    }
    name, s = max(change, key=lambda x: abs(change[x]))
    small = sum(abs(x) < 0.01 for x in change.values())
    words = (
        f"{NAMES[sampler]}: starting from the true marginal changes {squared(loss)} by "
        "less than 1 %"
    )
    text = f"{small} of {len(change)}; largest {percent(change[name, s])} ({name}, S = {s})"
    return words, small == len(change), text


def _processes(every: dict[str, Fits]) -> Statement:
    """Compare VP and VE."""
    off = {}
    for one in every.values():
        for case in CONFIG.cases:
            both = (one.group(*case, process=x)["learned"] for x in ("vp", "ve"))
            off[one.name, *case] = float(np.abs(np.divide(*map(np.array, both)) - 1).max())
    worst = max(off, key=off.__getitem__)
    small = sum(x < 0.01 for x in off.values())
    where = f"{worst[0]}, {NAMES[worst[1]]}, {NAMES[worst[2]]}"
    text = f"{small} of {len(off)} within 1 % at all S; worst {100 * off[worst]:.2g} % ({where})"
    return "the learned losses of VP and VE are the same to 1 %", small == len(off), text
