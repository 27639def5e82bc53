"""Claims about losses: how they fall with S, samples, means, starts and processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.synthetic_gaussian.config import CONFIG
from experiments.synthetic_gaussian.results import Found, centred
from experiments.synthetic_gaussian.spectra import MEAN
from experiments.synthetic_gaussian.statement import Claim
from experiments.synthetic_gaussian.tables import NAMES, gap, percent, scores


def gaps(every: dict[str, Found], clean: str) -> Iterator[Claim]:
    """Between S = 5 and the largest S."""
    most = every["white"].steps[-1]
    known = {
        one.name: (gap(one, 5, clean), gap(one, most, clean))
        for one in centred(every)
        if one.name != "white"
    }
    shrunk = {x: many[0] / few[0] for x, (few, many) in known.items()}
    kept = {x: (many[1] - 1) / (few[1] - 1) for x, (few, many) in known.items()}
    begin = f"DDIM, W2, clean end {clean}"
    widest, least_kept = max(shrunk, key=shrunk.__getitem__), min(kept, key=kept.__getitem__)
    yield Claim(
        f"{begin}: cosine's absolute gap closes (it is smaller at S = {most} than at S = 5)",
        max(shrunk.values()) < 1,
        f"{sum(x < 1 for x in shrunk.values())} of {len(shrunk)}; from "
        f"{min(shrunk.values()):.2f} to {shrunk[widest]:.2f} ({widest}) of it is left",
    )
    yield Claim(
        f"{begin}: cosine's relative gap does not close (at least half of it is left)",
        min(kept.values()) >= 0.5,
        f"{sum(x >= 0.5 for x in kept.values())} of {len(kept)}; from {min(kept.values()):.2f} "
        f"({least_kept}) to {max(kept.values()):.2f} of it is left",
    )


def confirmed(every: dict[str, Found], loss: str) -> Claim:
    """By samples."""
    z = np.concatenate([scores(one, loss) for one in every.values() if one.document["checks"]])
    rms, most = float(np.sqrt((z**2).mean())), float(np.abs(z).max())
    squared = " squared" * (loss == "w2")
    words = f"the predicted {NAMES[loss]}{squared} is that of samples"
    text = (
        f"z scores of {len(z)} plans, {CONFIG.n:,} samples each: rms {rms:.2f}, largest {most:.2f}"
    )
    return Claim(words, most < 4 and 0.8 < rms < 1.2, text)


def mean_part(every: dict[str, Found], sampler: str) -> Claim:
    """At the largest S."""
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
    return Claim(words, parts[worst] < 0.01, f"at most {100 * parts[worst]:.2g} % ({worst})")


def start(every: dict[str, Found], sampler: str, loss: str) -> Claim:
    """Over all S, with and without a mean."""
    change = {
        (name, s): one.of(sampler, loss, "marginal", s) / one.of(sampler, loss, "full", s) - 1
        for name, one in every.items()
        for s in one.steps
    }
    name, s = max(change, key=lambda x: abs(change[x]))
    small = sum(abs(x) < 0.01 for x in change.values())
    squared = " squared" * (loss == "w2")
    words = (
        f"{NAMES[sampler]}: starting from the true marginal changes {NAMES[loss]}{squared} by "
        "less than 1 %"
    )
    text = f"{small} of {len(change)}; largest {percent(change[name, s])} ({name}, S = {s})"
    return Claim(words, small == len(change), text)


def processes(every: dict[str, Found]) -> Claim:
    """VP and VE."""
    off = {}
    for one in every.values():
        for sampler in CONFIG.samplers:
            for loss in CONFIG.losses:
                both = (one.group(sampler, loss, process=x)["learned"] for x in ("vp", "ve"))
                ratios = np.abs(np.divide(*map(np.array, both)) - 1)
                off[one.name, sampler, loss] = float(ratios.max())
    worst = max(off, key=off.__getitem__)
    small = sum(x < 0.01 for x in off.values())
    name, sampler, loss = worst
    where = f"{name}, {NAMES[sampler]}, {NAMES[loss]}"
    text = f"{small} of {len(off)} within 1 % at all S; worst {100 * off[worst]:.2g} % ({where})"
    return Claim("the learned losses of VP and VE are the same to 1 %", small == len(off), text)
