"""The claims under test: ``python -m experiments.erring_denoiser.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``.
"""

from __future__ import annotations

from pathlib import Path

from experiments.common import between
from experiments.erring_denoiser.config import IDEAL, PART, PROBED, PROBED_ERRING, USUAL
from experiments.erring_denoiser.found import HERE, Results, results_of
from experiments.erring_denoiser.tables import COMMAND
from experiments.estimates import differences, estimate
from experiments.registry import NOT_YET
from experiments.trained_networks.claims import DROP, verdict
from experiments.trained_networks.tables import percent

README = HERE.parent / "README.md"
MARKS = ("<!-- erring_denoiser -->", "<!-- end of erring_denoiser -->")
EFFECT = 0.02
"""What is less is no difference: DDIM's schedules hardly change, but on the same noise they do."""

_WHOSE = "a UNet of 0.69 M parameters on the digits"


def _line(claim: str, holds: str, text: str) -> str:
    return f"| {_WHOSE}, {claim} | {holds} | {text} | {COMMAND} |"


def _compared(
    found: Results, sampler: str, name: str, other: str | None, least: float, claim: str
) -> list[str]:
    known = {s: x for s in found.steps if (x := found.below(sampler, name, other, s))}
    if not known:
        return []
    text = "; ".join(f"S = {s}: {percent(x)} %" for s, x in known.items())
    return [_line(claim, verdict(known, least), text)]


def _ordered(found: Results, sampler: str) -> list[str]:
    with_error, without = (found.mean_order(sampler, name) for name in (USUAL, IDEAL))
    if not with_error:
        return []
    gain = differences(without, with_error)
    claim = (
        f"{sampler}: the loss with the denoiser's error {PART:g} orders the six heuristics more as "
        "they are measured than the loss without (Spearman, mean over S)"
    )
    each = [estimate([*x.values()]) for x in (with_error, without)]
    return [_line(claim, gain.verdict(), f"{each[0]} against {each[1]}, higher by {gain}")]


def lines_of(results: Path = HERE / "results") -> list[str]:
    """All claims; a line where nothing has been run."""
    found = results_of(results)
    if not found.own:
        return [_line("fitted with a denoiser's error, schedules are better", NOT_YET, "-")]
    lines = []
    for sampler in found.samplers:
        start = f"{sampler}: the schedule fitted with the denoiser's error {PART:g}"
        lower = f"has a feature-Fréchet distance {100 * EFFECT:g} % below that"
        for name, other, least, claim in (
            (USUAL, IDEAL, EFFECT, f"{start} {lower} without"),
            (USUAL, None, 0.0, f"{start} beats the best heuristic of the sampler"),
            (USUAL, None, DROP, f"{start} is {100 * DROP:.1f} % below the best heuristic"),
            (PROBED_ERRING, PROBED, EFFECT, f"{start} and the probed gain {lower} with the gain"),
        ):
            lines += _compared(found, sampler, name, other, least, claim)
        lines += _ordered(found, sampler)
    return lines


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
