"""Claims about schedules: which one is best, and what shape it has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.synthetic_gaussian import measures
from experiments.synthetic_gaussian.config import CONFIG, REFERENCE
from experiments.synthetic_gaussian.results import Found, centred, excess
from experiments.synthetic_gaussian.statement import Claim
from experiments.synthetic_gaussian.tables import NAMES, percent
from specjax.schedules.families import SCHEDULES

CLOSE = 0.002
"""What the closed form may have more than the optimum (DESIGN.md)."""


def reference(every: dict[str, Found]) -> Claim:
    """The six numbers."""
    off = max(
        abs(every["exponential"].of(sampler, "w2", "learned", s) ** 0.5 - value)
        for sampler, known in REFERENCE.items()
        for s, value in known.items()
    )
    words = "the six reference optima of an independent SLSQP are reproduced to their 5 decimals"
    return Claim(words, off < 6e-6, f"largest difference {off:.1e}")


def least(every: dict[str, Found]) -> Claim:
    """Learned against all heuristics, everywhere."""
    margins, converged, more = [], [], 0
    for one in every.values():
        for group in one.document["fits"].values():
            best = np.min([group[name] for name in (*SCHEDULES, "spectral")], axis=0)
            margins += list(best / np.array(group["learned"]) - 1)
            converged += group["converged"]
            more += sum(x > CONFIG.restarts for x in group["starts"])
    worse = [x for x in margins if x < -1e-6]
    text = (
        f"{len(margins) - len(worse)} of {len(margins)} fits (least margin of the loss "
        f"{100 * min(margins):+.3g} %); {sum(converged)} converged, {more} from more starts"
    )
    return Claim(
        "the learned schedule is not above the closed form and the ten pinned heuristics",
        not worse, text,
    )  # fmt: skip


def closed_form(every: dict[str, Found], loss: str, clean: str) -> Claim:
    """DDIM from S = 5 on."""
    over = {
        (one.name, s): excess(one, "ddim", loss, "spectral", s, clean=clean)
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
    return Claim(words, inside == len(over), text)


def closed_best(every: dict[str, Found], loss: str) -> Claim:
    """DDPM, for which the closed form was not made."""
    better = [
        one.of("ddpm", loss, "spectral", s)
        <= one.of("ddpm", loss, one.best("ddpm", loss, s), s) * (1 + 1e-9)
        for one in centred(every)
        for s in one.steps
    ]
    words = f"DDPM, {NAMES[loss]}: the closed form, made for DDIM, beats every heuristic"
    return Claim(words, all(better), f"{sum(better)} of {len(better)} cases")


def white(every: dict[str, Found], sampler: str) -> Claim:
    """Cosine for white data."""
    steps = max(CONFIG.kept)
    off = [
        measures.from_cosine(every["white"].alpha_bar(sampler, loss, steps))
        for loss in CONFIG.losses
    ]
    words = f"white data, {NAMES[sampler]}: the learned schedule is the cosine one"
    text = f"angles off equal spacing by {max(off):.1e} of their range at most (S = {steps})"
    return Claim(words, max(off) < 1e-3, text)


GROUPS: dict[str, Callable[[str], bool]] = {
    "exponential and circulant covariance": lambda name: name in ("exponential", "circulant"),
    "power laws with lambda_1 = 1": lambda name: name.startswith("k^-"),
    "power laws with variances of mean 1": lambda name: name.startswith("unit"),
}
WORDS = {"w2": "convex", "kl": "concave"}


def shape(every: dict[str, Found], group: str, sampler: str, loss: str) -> Claim:
    """Convex under W2, concave under KL, as a whole."""
    steps, wanted = max(CONFIG.kept), WORDS[loss]
    levels = {
        one.name: one.alpha_bar(sampler, loss, steps)
        for one in centred(every)
        if GROUPS[group](one.name)
    }
    told = ", ".join(f"{name} {measures.bow(x):+.2f}" for name, x in levels.items())
    right = all(measures.lean(x) == wanted for x in levels.values())
    strict = sum(measures.shape(x) == wanted for x in levels.values())
    words = f"{group}, {NAMES[sampler]}, {NAMES[loss]}: alpha_bar over steps is {wanted} as a whole"
    text = f"bow {told}; at every level {strict} of {len(levels)}"
    return Claim(words, right, text)
