"""The claims in the project's README: ``python -m experiments.summary``.

A few of each experiment's lines in ``experiments/README.md``, and how many of all hold.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from experiments.common import between
from experiments.registry import NOT_YET, experiment, experiments

PROJECT = Path(__file__).parent.parent / "README.md"
MARKS = ("<!-- claims: written by experiments/summary.py -->", "<!-- end of claims -->")
_DIGITS = "a UNet of 0.69 M parameters on the digits: "
_SOUND = "a 1-D UNet on spoken digits, 8 kHz, windows of 400: "
_UNET = "a UNet of 0.69 M parameters trained on the digits"
_ERRING = "a UNet of 0.69 M parameters on the digits, dpmpp_2m: "
_HALF = "half of the digits, kernel width: "
_NOISE = "1,797 digits, 8x8, dpmpp_2m, 64 steps: "
_REFIT = "the schedule refitted to the probed network beats the W2 fit one"
_CLOTHING = "60,000 pieces of clothing, 28x28, ddim: "
CHOSEN = {
    "synthetic_gaussian": (
        "Gaussians: the learned schedule is not above",
        "Gaussians: the predicted W2 squared is that of samples",
        "Gaussians: DDIM, W2, clean end 0.9999: the closed form is within",
    ),
    "real_spectra": (
        "6 real spectra, ddim, w2, S = 10: the learned schedule beats every heuristic",
        "6 real spectra, ddim, w2, S = 10: the schedule of any other dataset beats cosine",
    ),
    "trained_networks": (
        _DIGITS + "ddim spectral W2 has",
        _DIGITS + "heun spectral W2 has",
        _DIGITS + "plan: mixture has",
        _DIGITS + "plan: mixture takes",
        _DIGITS + "plan: network has",
        _DIGITS + "plan: network takes",
        _SOUND + "ddim spectral W2 has",
        _SOUND + "heun spectral W2 has",
        _SOUND + "dpmpp_2m spectral W2 has",
    ),
    "learned_plans": (
        _UNET + ": S = 5: the learned plan beats every heuristic",
        _UNET + ": S = 5: the learned plan is better than DPM-Solver++(2M)",
    ),
    "beyond_gaussian": (
        _HALF + "ddim learned W2",
        _HALF + "dpmpp_2m learned W2",
        _HALF + "the plan learned on the prior itself",
    ),
    "ideal_denoiser": (
        "the ideal denoiser of the digits' Gaussian: every band is as predicted",
        "the exact denoiser of half of the digits: the ideal denoiser predicts every band",
        f"UNets, ddim, S = 10: {_REFIT}",
        f"UNets, dpmpp_2m, S = 10: {_REFIT}",
    ),
    "erring_denoiser": (
        _ERRING + "the schedule fitted with the denoiser's error 0.1 has",
        _ERRING + "the schedule fitted with the denoiser's error 0.1 beats",
        _ERRING + "the loss with",
    ),
    "intermediate_steps": (
        _UNET + ", ddim: low frequencies are formed before high ones",
        _UNET + ", ddim: S = 5: levels placed by the watched formation",
    ),
    "high_frequencies": (
        _CLOTHING + "`relative` makes the highest band better",
        _CLOTHING + "`relative` makes the mean band (RMS) better",
    ),
    "anisotropic_noise": (
        _NOISE + "noise (r + 0.01)^-0.06 is better",
        _NOISE + "trained on data corrupted in a band, noise without it is nearer to clean data "
        "(Fréchet in pixels)",
    ),
}
"""Of each experiment, how the claims that the README shows begin."""

VERDICTS = ("yes", "in part", "no", "not clear", NOT_YET)


class Line(NamedTuple):
    """A line of the table of claims."""

    claim: str
    verdict: str
    measured: str
    command: str

    @property
    def kind(self) -> str:
        """One of VERDICTS; a claim that holds at some S is "in part"."""
        plain = self.verdict.strip("*")
        return plain if plain in VERDICTS else "in part"


def lines_of(name: str) -> list[Line]:
    """The claims of an experiment, as measured."""
    module = importlib.import_module(experiment(name).module("claims"))
    return [Line(*map(str.strip, text.strip("| ").split(" | "))) for text in module.lines_of()]


def chosen(name: str, lines: list[Line]) -> Iterator[Line]:
    """Those that the README shows.

    Raises:
      ValueError: where a beginning is not that of one line alone.
    """
    for start in CHOSEN.get(name, ()):
        found = [line for line in lines if line.claim.startswith(start)]
        if len(found) != 1:
            raise ValueError(f"{len(found)} claims of {name} begin with {start!r}: one should")
        yield found[0]


def text() -> list[str]:
    """Both tables."""
    every = {name: lines_of(name) for name in experiments()}
    lines = ["", "| claim | holds | measured |", "|---|---|---|"]
    for name in CHOSEN:
        lines += [f"| {x.claim} | {x.verdict} | {x.measured} |" for x in chosen(name, every[name])]
    head = "| experiment | " + " | ".join(VERDICTS) + " |"
    lines += ["", "How many claims of each experiment hold:", "", head, "|---" * 6 + "|"]
    for name, known in every.items():
        counts = Counter(line.kind for line in known)
        link = f"[{experiment(name).about.question}](experiments/{name}/README.md)"
        lines.append(f"| {link} | {' | '.join(str(counts[x]) for x in VERDICTS)} |")
    return [*lines, ""]


def main(readme: Path = PROJECT) -> None:
    """Write them between the marks."""
    between(MARKS, text(), readme)


if __name__ == "__main__":
    main()
