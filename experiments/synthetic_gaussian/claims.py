"""The claims under test: ``python -m experiments.synthetic_gaussian.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.common import between
from experiments.registry import NOT_YET
from experiments.synthetic_gaussian import about_losses, about_schedules
from experiments.synthetic_gaussian.config import CONFIG, RANGES
from experiments.synthetic_gaussian.results import Found, found
from experiments.synthetic_gaussian.run import RESULTS
from experiments.synthetic_gaussian.statement import COMMAND, Claim
from experiments.synthetic_gaussian.tables import HERE

README = HERE.parent / "README.md"
MARKS = ("<!-- synthetic_gaussian -->", "<!-- end of synthetic_gaussian -->")


def claims(every: dict[str, Found]) -> Iterator[Claim]:
    """All of them."""
    yield about_schedules.reference(every)
    yield about_schedules.least(every)
    for clean in RANGES:
        for loss in CONFIG.losses:
            yield about_schedules.closed_form(every, loss, clean)
    yield from (about_schedules.closed_best(every, loss) for loss in CONFIG.losses)
    yield from (about_schedules.white(every, sampler) for sampler in CONFIG.samplers)
    for group in about_schedules.GROUPS:
        for sampler in CONFIG.samplers:
            yield from (
                about_schedules.shape(every, group, sampler, loss) for loss in CONFIG.losses
            )
    for clean in RANGES:
        yield from about_losses.gaps(every, clean)
    yield from (about_losses.confirmed(every, loss) for loss in CONFIG.losses)
    yield from (about_losses.mean_part(every, sampler) for sampler in CONFIG.samplers)
    for sampler in CONFIG.samplers:
        yield from (about_losses.start(every, sampler, loss) for loss in CONFIG.losses)
    yield about_losses.processes(every)


def lines_of(results: Path = RESULTS) -> list[str]:
    """The lines of the table."""
    every = found(results)
    if not every:
        return [
            f"| Gaussians: learned schedules beat every heuristic | {NOT_YET} | - | {COMMAND} |"
        ]
    return [str(claim) for claim in claims(every)]


def main(results: Path = RESULTS, readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
