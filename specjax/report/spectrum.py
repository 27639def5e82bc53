"""Tables and JSON of spectra, for the command line."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from specjax.files import numbers, plain
from specjax.spectra.power_law import directions_for, power_law_fit, ranked, variance_beyond
from specjax.spectra.spectrum import Spectrum

SHARES = (0.9, 0.99, 0.999)
"""Of the variance, whose numbers of directions are told."""

_SOURCE = ("name", "samples", "skipped", "shape", "data_range", "method", "rank", "shrinkage")
_BOOTSTRAP = ("level", "replicates", "seed", "method")


def facts(spectrum: Spectrum) -> dict[str, Any]:
    """What ``specjax spectrum`` says, for machines; null where it is not known."""
    source = spectrum.source or {}
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)
    weights = np.asarray(spectrum.weights, np.float64)
    order = ranked(spectrum)[0]
    law = power_law_fit(spectrum) if order.size >= 3 else None
    found = spectrum.intervals
    return {
        **{name: plain(source.get(name)) for name in _SOURCE},
        "dimension": int(source.get("dimension", spectrum.dimension)),
        "precision": source.get("precision"),
        "fingerprint": spectrum.fingerprint,
        "total_variance": float(weights @ eigenvalues),
        "largest": float(eigenvalues[order[0]]),
        "smallest_positive": float(eigenvalues[order[-1]]),
        "zeros": round(float(weights[eigenvalues <= 0].sum())),
        "directions": {str(share): round(directions_for(spectrum, share)) for share in SHARES},
        "power_law": None if law is None else law._asdict(),
        "bootstrap": None if found is None else {name: getattr(found, name) for name in _BOOTSTRAP},
        "eigenvalues": _some(spectrum),
    }


def _some(spectrum: Spectrum) -> list[dict[str, Any]]:
    """Eigenvalues at ranks 1, 2, 3, 5, 10, 20, 50, ... and at the end."""
    order, first, _ = ranked(spectrum)
    found = (spectrum.source or {}).get("rank")
    last, beyond = variance_beyond(spectrum)
    most = round(float(last[-1]))
    ranks = {1, 2, 3, *(d * 10**e for e in range(12) for d in (1, 2, 5)), most}
    rows = []
    for rank in sorted(rank for rank in ranks if rank <= most):
        # Of eigenvalues that stand for several, the one whose ranks include this.
        at = int(np.searchsorted(first, rank, side="right")) - 1
        row = {
            "rank": rank,
            "value": float(np.asarray(spectrum.eigenvalues)[order[at]]),
            "variance_up_to": float(1 - beyond[at]),
        }
        if found is not None:
            row["extrapolated"] = rank > found
        if spectrum.intervals is not None:
            ends = (spectrum.intervals.lower[order[at]], spectrum.intervals.upper[order[at]])
            row["interval"] = numbers(ends)
        rows.append(row)
    return rows


def print_spectrum(spectrum: Spectrum, written: list[str]) -> None:
    """The tables of ``specjax spectrum``, and what was written."""
    console = Console(highlight=False, soft_wrap=True)
    known = facts(spectrum)
    table = Table(show_header=False)
    for name, text in _words(known).items():
        table.add_row(name, text)
    console.print(table)
    console.print(_eigenvalues(known))
    if written:
        console.print("wrote " + ", ".join(written))


def _words(known: dict[str, Any]) -> dict[str, str]:
    law, zeros, ends = known["power_law"], known["zeros"], known["data_range"]
    skipped = f" ({known['skipped']:,} bad files skipped)" if known["skipped"] else ""
    words = {
        "data": known["name"] or "unknown",
        "samples": "unknown" if known["samples"] is None else f"{known['samples']:,}{skipped}",
        "shape": " x ".join(map(str, known["shape"])) if known["shape"] else "unknown",
        "d": f"{known['dimension']:,}",
        "units": f"[-1, 1], from {ends[0]:g} to {ends[1]:g}" if ends else "of the samples",
        "method": _method(known),
        "precision": known["precision"] or "unknown",
        "total variance": f"{known['total_variance']:.6g}",
        "largest eigenvalue": f"{known['largest']:.6g}",
        "smallest eigenvalue": f"{known['smallest_positive']:.6g}",
    }
    if zeros:
        words["smallest eigenvalue"] += f" (and {zeros:,} zero{'s' * (zeros != 1)})"
    for share, count in known["directions"].items():
        words[f"{100 * float(share):g} % of variance"] = f"in {count:,} directions"
    if known["bootstrap"] is not None:
        found = known["bootstrap"]
        words["intervals"] = f"bootstrap, {found['replicates']:,} replicates, {found['method']}"
    words["power law"] = "unknown: it needs three positive eigenvalues" if law is None else (
        f"rank^-{law['exponent']:.3f}, standard error {law['standard_error']:.3f}, "
        f"R^2 {law['r_squared']:.3f}"
    )  # fmt: skip
    return words


def _method(known: dict[str, Any]) -> str:
    words = [known["method"] or "unknown"]
    if known["rank"]:
        words.append(f"rank {known['rank']:,} and a power law beyond")
    if known["shrinkage"]:
        words.append(f"shrinkage {known['shrinkage']:.4g}")
    return ", ".join(words)


def _eigenvalues(known: dict[str, Any]) -> Table:
    table = Table()
    for name in ("rank", "eigenvalue", "variance up to it"):
        table.add_column(name, justify="right")
    found = known["bootstrap"]
    if found is not None:
        table.add_column(f"{100 * found['level']:g} % interval", justify="right")
    for row in known["eigenvalues"]:
        cells = [f"{row['rank']:,}", f"{row['value']:.5g}", f"{100 * row['variance_up_to']:.5g} %"]
        if row.get("extrapolated"):
            cells[1] += " (extrapolated)"
        if "interval" in row:
            lower, upper = (float(end) for end in row["interval"])
            cells.append(f"{lower:.5g} to {upper:.5g}")
        table.add_row(*cells)
    return table
