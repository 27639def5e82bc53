"""The tables and claims of restoration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.estimates import estimate
from experiments.experiment import NOT_YET
from experiments.restoration.run import (
    EXACT,
    EXPERIMENT,
    GALAXIES,
    METHODS,
    NETWORK,
    NETWORK_TURN,
    SAMPLERS,
    SPECTRA,
    THROUGH,
    TRADE,
    TURN,
)
from experiments.session import read_all
from experiments.summary import Claim, not_run, table, verdict

KINDS = {"blur": "deblurring", "noise": "denoising"}
DIGITS = {
    EXACT: "the exact denoiser of half of the digits",
    NETWORK: "a UNet of 0.69 M parameters trained on the digits",
}
TURNS = {TURN: "exact denoiser", NETWORK_TURN: "UNet"}
GOAL = 0.8
"""Of the best constant's W2, what learned weights should have at most."""
SHOWN = "20"

Losses = dict[str, dict[str, float]]


def spectra_of(results: Path) -> dict[str, dict[str, Any]]:
    """Read what has been run of spectra, by name: by S, measurement and method."""
    found = {}
    for name in SPECTRA:
        for one in read_all(results, f"{name}.json"):
            found[name] = one.get("steps", {})
    return found


def tables(results: Path) -> list[str]:
    """Make all tables."""
    lines: list[str] = []
    found = spectra_of(results)
    for name, words in SPECTRA.items():
        lines += [f"### {words}: average squared W2 to the posterior", ""]
        if name not in found:
            lines += [f"{NOT_YET}: `{EXPERIMENT.command(name)}`", ""]
        for kind, title in KINDS.items() if name in found else ():
            lines += _spectrum(found[name], kind, title)
    lines += _trade(read_all(results, f"{TRADE}.json"))
    for name, title in DIGITS.items():
        lines += _digits(name, title, read_all(results, f"{name}-?.json"))
    lines += _galaxies(read_all(results, f"{GALAXIES}-*.json"))
    for name, title in TURNS.items():
        lines += _turns(name, title, read_all(results, f"{name}-?.json"))
    return lines


def _spectrum(by_steps: dict[str, Any], kind: str, title: str) -> list[str]:
    head = [title, "S", "learned", "best constant", "customary", "exact score", "ratio"]
    rows = []
    for method in METHODS:
        for steps, every in by_steps.items():
            if method not in every.get(kind, {}):
                continue
            w2 = {x: y["w2"] for x, y in every[kind][method]["losses"].items()}
            four = [w2[x] for x in ("learned", "constant", "customary", "exact score")]
            ratio = w2["learned"] / w2["constant"]
            rows.append([method, steps, *(f"{x:.3g}" for x in four), f"{ratio:.2f}"])
    return table(head, rows)


def _trade(found: list[dict[str, Any]]) -> list[str]:
    title = "### MSE and perception, digits, deblurring: the exact score's direction in 10 steps"
    if not found:
        return [title, "", f"{NOT_YET}: `{EXPERIMENT.command(TRADE)}`", ""]
    one, rows = found[0], []
    every = {f"learned, w = {float(w):g}": x for w, x in one["learned"].items()} | one["others"]
    perception, mse = (np.array(one["curve"][x]) for x in ("perception", "mse"))
    for name, parts in every.items():
        least = float(np.interp(parts["perception"], perception, mse))
        ratio = f"{parts['mse'] / least:.3f}"
        rows.append([name, f"{parts['perception']:.3f}", f"{parts['mse']:.3f}", f"{least:.3f}",
                     ratio])  # fmt: skip
    head = ["weights", "perception", "MSE", "least MSE at that perception", "ratio"]
    return [title, "", *table(head, rows)]


def _digits(name: str, title: str, seeds: list[dict[str, Any]]) -> list[str]:
    title = f"### {title}, deblurring"
    if not seeds:
        return [title, "", f"{NOT_YET}: `{EXPERIMENT.command(name)}`", ""]
    head = ["method", "S", "weights", "PSNR, dB", "energy distance to the posterior, 1000 times",
            "Fréchet distance"]  # fmt: skip
    rows = [["the posterior itself", "", "", *_three([one["posterior"] for one in seeds])]]
    for steps in (x for x in seeds[0] if x.isdecimal()):
        for method in seeds[0][steps]:
            for label in SAMPLERS:
                if all(label in one.get(steps, {}).get(method, {}) for one in seeds):
                    known = [one[steps][method][label] for one in seeds]
                    rows.append([method, steps, label, *_three(known)])
    return [title, "", *table(head, rows)]


def _three(known: list[dict[str, float]]) -> list[Any]:
    energy = [1000 * one["energy"] for one in known]
    return [estimate([one["psnr"] for one in known]), estimate(energy),
            estimate([one["frechet"] for one in known])]  # fmt: skip


def _galaxies(seeds: list[dict[str, Any]]) -> list[str]:
    title = "### a published network of galaxies, deblurring: signal-to-noise ratio in dB"
    if not seeds:
        return [title, "", f"{NOT_YET}: `{EXPERIMENT.command(GALAXIES)}`", ""]
    one = seeds[0]
    rows = [
        [method, steps, *(f"{every[x]['psnr']:.2f}" if x in every else "-" for x in SAMPLERS)]
        for steps in (x for x in one if x.isdecimal())
        for method, every in one[steps].items()
    ]
    lines = table(["method", "S", *SAMPLERS], rows)
    return [title, "", *lines, f"What was measured has {one['measured']['psnr']:.2f} dB.", ""]


def _turns(name: str, title: str, seeds: list[dict[str, Any]]) -> list[str]:
    title = f"### turning back, {title}: what is kept of a digit noised up to sigma and denoised"
    if not seeds:
        return [title, "", f"{NOT_YET}: `{EXPERIMENT.command(name)}`", ""]
    head = ["sigma", "kept, predicted for a Gaussian", "kept, measured", "the same sample again"]
    rows = [
        [sigma, f"{one['predicted']:.3f}",
         estimate([x["turns"][sigma]["kept"] for x in seeds]),
         estimate([x["turns"][sigma]["same"] for x in seeds])]
        for sigma, one in seeds[0]["turns"].items()
    ]  # fmt: skip
    return [title, "", *table(head, rows)]


def claims(results: Path) -> Iterator[Claim]:
    """Make all claims of what has been run."""
    found = spectra_of(results)
    for name, words in SPECTRA.items():
        command = EXPERIMENT.command(name)
        for kind, title in KINDS.items():
            claim = f"{words}, {title}, S = {SHOWN}: learned weights have at most {GOAL} of the W2 "
            claim += "of the best constant, with every method"
            every = found.get(name, {}).get(SHOWN, {}).get(kind, {})
            if every:
                yield _ratios(claim, every, command)
            else:
                yield not_run(claim, command)
    for name, title in DIGITS.items():
        yield from _carried(name, title, read_all(results, f"{name}-?.json"))
    galaxies = read_all(results, f"{GALAXIES}-*.json")
    command = EXPERIMENT.command(GALAXIES)
    for label, told in (("learned, error 0.1", "learned weights"),
                        ("weights alone", "weights along Karras's levels")):  # fmt: skip
        claim = f"A network of galaxies: {told} deblur better than the best constant"
        known = galaxies and any(label in x for x in galaxies[0].get("10", {}).values())
        yield _sharper(claim, label, galaxies[0], command) if known else not_run(claim, command)


def _ratios(claim: str, every: dict[str, Any], command: str) -> Claim:
    ratios = {
        method: one["losses"]["learned"]["w2"] / one["losses"]["constant"]["w2"]
        for method, one in every.items()
    }
    measured = ", ".join(f"{method} {ratio:.2f}" for method, ratio in ratios.items())
    return Claim(claim, verdict(max(ratios.values()) <= GOAL), measured, command)


def _carried(name: str, title: str, seeds: list[dict[str, Any]]) -> Iterator[Claim]:
    command = EXPERIMENT.command(name)
    for label, told in (
        ("learned, error 0.1", "weights learned on the Gaussian, with the error 0.1,"),
        ("weights alone", "weights learned so along Karras's levels"),
        (THROUGH, "weights learned through the denoiser"),
    ):
        claim = f"{title[0].upper()}{title[1:]}, deblurring: {told} come closer to the posterior "
        claim += "than the best constant"
        if not seeds:
            yield not_run(claim, command)
            continue
        gains = {
            f"{method}, S = {steps}": estimate(
                [one[steps][method][label]["energy"] / one[steps][method]["constant"]["energy"]
                 for one in seeds]
            ).mean
            for steps in (x for x in seeds[0] if x.isdecimal()) for method in seeds[0][steps]
            if all(label in one.get(steps, {}).get(method, {}) for one in seeds)
        }  # fmt: skip
        if not gains:
            yield not_run(claim, command)
            continue
        measured = ", ".join(f"{x}: {gain:.2f} of its energy distance" for x, gain in gains.items())
        yield Claim(claim, _some(gain < 1 for gain in gains.values()), measured, command)


def _some(holds: Iterator[bool]) -> str:
    known = list(holds)
    return verdict(all(known)) if all(known) or not any(known) else "in part"


def _sharper(claim: str, label: str, one: dict[str, Any], command: str) -> Claim:
    gains = {
        f"{method}, S = {steps}": every[label]["psnr"] - every["constant"]["psnr"]
        for steps in (x for x in one if x.isdecimal()) for method, every in one[steps].items()
    }  # fmt: skip
    measured = ", ".join(f"{x}: {gain:+.2f} dB" for x, gain in gains.items())
    return Claim(claim, _some(gain > 0 for gain in gains.values()), measured, command)
