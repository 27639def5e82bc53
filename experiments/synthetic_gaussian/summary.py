"""The tables of the README: ``python -m experiments.synthetic_gaussian.tables``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from experiments.common import between
from experiments.registry import NOT_YET
from experiments.synthetic_gaussian import measures
from experiments.synthetic_gaussian.config import CONFIG, RANGES, REFERENCE
from experiments.synthetic_gaussian.results import Found, centred, distance, excess, found
from experiments.synthetic_gaussian.run import RESULTS
from experiments.synthetic_gaussian.spectra import MEAN

HERE = Path(__file__).parent
MARKS = ("<!-- tables: written by tables.py -->", "<!-- end of tables -->")
SHOWN = (5, 20)
"""The S of the tables of losses; all of them are in the JSON and the pictures."""

NAMES = {"w2": "W2", "kl": "KL", "ddim": "DDIM", "ddpm": "DDPM"}


def grid(title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A titled table."""
    heads = list(heads)
    lines = [f"### {title}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def percent(x: float) -> str:
    """Of an excess."""
    return f"{100 * x:+.2f} %" if abs(x) < 0.0995 else f"{100 * x:+.0f} %"


def reference_table(one: Found) -> list[str]:
    """DESIGN.md's six numbers."""
    rows = [
        [f"{NAMES[sampler]}, S = {s}", f"{one.of(sampler, 'w2', 'learned', s) ** 0.5:.5f}",
         f"{value:.5f}"]
        for sampler, known in REFERENCE.items() for s, value in known.items()
    ]  # fmt: skip
    title = "The reference optimum: exponential covariance, W2 (not squared)"
    return grid(title, ("", "learned", "SLSQP"), rows)


def losses_table(every: list[Found], sampler: str, loss: str) -> list[str]:
    """Learned beside closed form, cosine and the best heuristic."""
    heads = ["covariance"]
    for s in SHOWN:
        heads += [f"S = {s}: learned", "closed form", "cosine", "best heuristic"]
    rows = []
    for one in every:
        row = [one.name]
        for s in SHOWN:
            best = one.best(sampler, loss, s)
            over = [excess(one, sampler, loss, x, s) for x in ("spectral", "cosine", best)]
            learned = distance(loss, one.of(sampler, loss, "learned", s))
            row += [f"{learned:.4g}", *map(percent, over[:2]), f"{percent(over[2])} {best}"]
        rows.append(row)
    title = f"{NAMES[sampler]}, {NAMES[loss]}: learned, and how much more the others have"
    return grid(title, heads, rows)


def shapes_table(every: list[Found], steps: int) -> list[str]:
    """The words and bows of alpha_bar over steps."""
    cases = [(sampler, loss) for sampler in CONFIG.samplers for loss in CONFIG.losses]
    rows = []
    for one in every:
        levels = [one.alpha_bar(*case, steps) for case in cases]
        rows.append([one.name, *(f"{measures.shape(x)} {measures.bow(x):+.2f}" for x in levels)])
    heads = ("covariance", *(f"{NAMES[a]}, {NAMES[b]}" for a, b in cases))
    return grid(f"Shapes of alpha_bar over steps, S = {steps}: word and bow", heads, rows)


def gap(one: Found, steps: int, clean: str) -> tuple[float, float]:
    """Cosine's W2 minus the learned one's under DDIM, and over it."""
    a, b = (one.of("ddim", "w2", x, steps, clean=clean) ** 0.5 for x in ("cosine", "learned"))
    return a - b, a / b


def gaps_table(every: list[Found], clean: str) -> list[str]:
    """Gap and ratio over S."""
    rows = [
        [one.name, *(f"{g:.3g} ({r:.3f})" for g, r in (gap(one, s, clean) for s in one.steps))]
        for one in every
    ]
    heads = ("covariance", *(f"S = {s}" for s in every[0].steps))
    return grid(
        f"DDIM, W2, clean end {clean}: cosine minus learned (cosine / learned)", heads, rows
    )


def means_table(every: dict[str, Found]) -> list[str]:
    """The mean's part of the squared W2 and what the true start changes."""
    rows = []
    for one in (x for name, x in every.items() if name.endswith(MEAN)):
        row = [one.name.removesuffix(MEAN)]
        for sampler in CONFIG.samplers:
            for s in (one.steps[1], one.steps[-1]):
                part, start, full = (
                    one.of(sampler, "w2", x, s) for x in ("mean_part", "marginal", "full")
                )
                row.append(f"{part:.3g}; {percent(part / full)}; {percent(start / full - 1)}")
        rows.append(row)
    few, many = (next(iter(every.values())).steps[i] for i in (1, -1))
    heads = [f"{NAMES[x]}, S = {s}" for x in CONFIG.samplers for s in (few, many)]
    title = "With a mean: its part of W2 squared; the same of all; the change by the true start"
    return grid(title, ("covariance", *heads), rows)


def starts_table(every: list[Found]) -> list[str]:
    """What the true start changes without a mean."""
    rows = []
    for one in every:
        row = [one.name]
        for sampler, loss in (("ddim", "w2"), ("ddim", "kl"), ("ddpm", "w2"), ("ddpm", "kl")):
            changes = [
                one.of(sampler, loss, "marginal", s) / one.of(sampler, loss, "full", s) - 1
                for s in (one.steps[1], one.steps[-1])
            ]
            row.append(" ".join(map(percent, changes)))
        rows.append(row)
    heads = ("covariance", "DDIM, W2 squared", "DDIM, KL", "DDPM, W2 squared", "DDPM, KL")
    few, many = every[0].steps[1], every[0].steps[-1]
    title = f"No mean: change of the loss by the true start at S = {few} and S = {many}"
    return grid(title, heads, rows)


def scores(one: Found, loss: str, sampler: str | None = None) -> np.ndarray:
    """(measured - predicted) / standard error of all samples of a spectrum."""
    chosen = [x for x in one.document["checks"] if sampler in (None, x["sampler"])]
    return np.array(
        [(x[f"{loss}_measured"] - x[f"{loss}_predicted"]) / x[f"{loss}_error"] for x in chosen]
    )


def checks_table(every: dict[str, Found]) -> list[str]:
    """Monte Carlo against the prediction."""
    rows = []
    for one in every.values():
        for sampler in CONFIG.samplers if one.document["checks"] else ():
            cells = []
            for loss in CONFIG.losses:
                z = scores(one, loss, sampler)
                cells.append(f"{np.sqrt((z**2).mean()):.2f}; {np.abs(z).max():.2f}")
            chosen = [x for x in one.document["checks"] if x["sampler"] == sampler]
            spread = [x["spread"] for x in chosen]
            cells.append(f"{min(spread):.2f} to {max(spread):.2f}")
            rows.append([f"{one.name}, {NAMES[sampler]}", str(len(chosen)), *cells])
    heads = ("", "plans", "W2 squared: rms z; largest", "KL: rms z; largest", "variances: mean z²")
    return grid(f"Monte Carlo, {CONFIG.n:,} samples a plan: z scores of the losses", heads, rows)


def lines_of(results: Path = RESULTS) -> list[str]:
    """All tables."""
    every = found(results)
    if not every:
        return ["", f"{NOT_YET}: `python -m experiments run synthetic_gaussian`", ""]
    plain = centred(every)
    lines = ["", *reference_table(every["exponential"])]
    for sampler in CONFIG.samplers:
        for loss in CONFIG.losses:
            lines += losses_table(plain, sampler, loss)
    lines += shapes_table(plain, max(CONFIG.kept))
    for clean in RANGES:
        lines += gaps_table(plain, clean)
    return [*lines, *means_table(every), *starts_table(plain), *checks_table(every)]


def main(results: Path = RESULTS, readme: Path = HERE / "README.md") -> None:
    """Write them between the marks of the README."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
