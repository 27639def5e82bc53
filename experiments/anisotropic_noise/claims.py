"""The claims under test: ``python -m experiments.anisotropic_noise.claims``.

Writes this experiment's lines of the table in ``experiments/README.md``.
"""

from __future__ import annotations

from pathlib import Path

from experiments.anisotropic_noise.config import DATASETS
from experiments.anisotropic_noise.tables import HERE, Found, found_of
from experiments.common import between
from experiments.estimates import differences
from experiments.registry import NOT_YET

README = HERE.parent / "README.md"
MARKS = ("<!-- anisotropic_noise -->", "<!-- end of anisotropic_noise -->")
CLAIMS = {
    "power law, -0.06": ("isotropic", "noise (r + 0.01)^-0.06 is better than isotropic"),
    "power law, learned with the schedule": (
        "isotropic", "the exponent learned with the schedule is better than isotropic",
    ),
    "corrupted data, band omitted": (
        "corrupted data, isotropic",
        "trained on data corrupted in a band, noise without it is nearer to clean data",
    ),
}  # fmt: skip
MEASURES = {"frechet": "Fréchet in pixels", "outside": "Fréchet outside of the band"}


def _line(data: str, plan: str, claim: str, measure: str, pair: tuple[Found, Found]) -> str:
    mine, other = (one.judged[plan][measure] for one in pair)
    gain = differences(*(one.seeds[plan][measure] for one in pair))
    verdict = gain.verdict()
    command = f"`python -m experiments.anisotropic_noise.run --data {data}`"
    text = f"{mine} against {other}, lower by {gain} with the same seed ({gain.seeds} seeds)"
    what = f"{DATASETS[data]}, {plan}: {claim} ({MEASURES[measure]})"
    return f"| {what} | {verdict} | {text} | {command} |"


def lines_of(results: Path = HERE / "results") -> list[str]:
    """A line for each claim, dataset and sampler."""
    lines = []
    for data, words in DATASETS.items():
        found: dict[str, Found] = {one.name: one for one in found_of(data, results)}
        command = f"`python -m experiments.anisotropic_noise.run --data {data}`"
        if not found:
            lines.append(
                f"| {words}: noise with a spectrum is better | {NOT_YET} | - | {command} |"
            )
        for name, (other, claim) in CLAIMS.items():
            if name in found and other in found:
                pair = (found[name], found[other])
                lines += [
                    _line(data, plan, claim, measure, pair)
                    for plan in found[name].judged
                    for measure in (MEASURES if "band" in name else ("frechet",))
                ]
    return lines


def main(results: Path = HERE / "results", readme: Path = README) -> None:
    """Write the lines between the marks."""
    between(MARKS, lines_of(results), readme)


if __name__ == "__main__":
    main()
