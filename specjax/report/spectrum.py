"""The tables and the JSON of ``specjax spectrum``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjax.files import numbers, plain
from specjax.report.table import Block, Column, Table, print_blocks
from specjax.report.words import count, wrote
from specjax.spectra.few_samples import few_samples
from specjax.spectra.power_law import directions_for, power_law_fit, ranked, variance_beyond
from specjax.spectra.spectrum import Spectrum

VARIANCE_SHARES = (0.9, 0.99, 0.999)
"""Shares of the variance for which the number of directions is given."""

_SOURCE = ("name", "samples", "skipped", "shape", "data_range", "method", "rank", "shrinkage")
_BOOTSTRAP = ("level", "replicates", "seed", "method")


def spectrum_json(spectrum: Spectrum) -> dict[str, Any]:
    """Give what ``specjax spectrum`` prints for machines; null where it is not known."""
    source = spectrum.source or {}
    eigenvalues = np.asarray(spectrum.eigenvalues, np.float64)
    weights = np.asarray(spectrum.weights, np.float64)
    order = ranked(spectrum)[0]
    law = power_law_fit(spectrum) if order.size >= 3 else None
    intervals = spectrum.intervals
    return {
        **{name: plain(source.get(name)) for name in _SOURCE},
        "dimension": int(source.get("dimension", spectrum.dimension)),
        "precision": source.get("precision"),
        "fingerprint": spectrum.fingerprint,
        "total_variance": float(weights @ eigenvalues),
        "largest": float(eigenvalues[order[0]]),
        "smallest_positive": float(eigenvalues[order[-1]]),
        "zeros": round(float(weights[eigenvalues <= 0].sum())),
        "directions": {
            str(share): round(directions_for(spectrum, share)) for share in VARIANCE_SHARES
        },
        "power_law": None if law is None else law._asdict(),
        "bootstrap": intervals and {name: getattr(intervals, name) for name in _BOOTSTRAP},
        "eigenvalues": _selected_eigenvalues(spectrum),
    }


def print_spectrum(spectrum: Spectrum, written: Sequence[str]) -> None:
    """Print :func:`spectrum_blocks`."""
    print_blocks(spectrum_blocks(spectrum, written))


def spectrum_blocks(spectrum: Spectrum, written: Sequence[str] = ()) -> list[Block]:
    """Report a spectrum: the tables of ``specjax spectrum``, and what was written."""
    facts = spectrum_json(spectrum)
    properties = Table("", ["", ""], list(_properties(facts).items()))
    columns = [
        Column("rank", "{:,}", "right"),
        Column("eigenvalue", align="right"),
        Column("variance up to it", "{:.5g} %", "right"),
    ]
    rows: list[list[Any]] = []
    for one in facts["eigenvalues"]:
        extrapolated = " (extrapolated)" if one.get("extrapolated") else ""
        value = f"{one['value']:.5g}{extrapolated}"
        rows.append([one["rank"], value, 100 * one["variance_up_to"]])
        if "interval" in one:
            lower, upper = map(float, one["interval"])
            rows[-1].append(f"{lower:.5g} to {upper:.5g}")
    if facts["bootstrap"]:
        columns.append(Column(f"{100 * facts['bootstrap']['level']:g} % interval", align="right"))
    return [properties, Table("", columns, rows, [*few_samples(spectrum), *wrote(written)])]


def _selected_eigenvalues(spectrum: Spectrum) -> list[dict[str, Any]]:
    """List eigenvalues at ranks 1, 2, 3, 5, 10, 20, 50, ... and the last one."""
    order, first, _ = ranked(spectrum)
    measured_rank = (spectrum.source or {}).get("rank")
    last, beyond = variance_beyond(spectrum)
    most = round(float(last[-1]))
    ranks = {1, 2, 3, *(d * 10**e for e in range(12) for d in (1, 2, 5)), most}
    rows = []
    for rank in sorted(rank for rank in ranks if rank <= most):
        # An eigenvalue may stand for several directions: find the one whose ranks include this.
        at = int(np.searchsorted(first, rank, side="right")) - 1
        row = {
            "rank": rank,
            "value": float(np.asarray(spectrum.eigenvalues)[order[at]]),
            "variance_up_to": float(1 - beyond[at]),
        }
        if measured_rank is not None:
            row["extrapolated"] = rank > measured_rank
        if spectrum.intervals is not None:
            ends = (spectrum.intervals.lower[order[at]], spectrum.intervals.upper[order[at]])
            row["interval"] = numbers(ends)
        rows.append(row)
    return rows


def _properties(facts: dict[str, Any]) -> dict[str, str]:
    """Put what is known of the data and the spectrum into words."""
    law, ends, bootstrap = facts["power_law"], facts["data_range"], facts["bootstrap"]
    skipped = f" ({facts['skipped']:,} bad files skipped)" if facts["skipped"] else ""
    zeros = f" (and {count(facts['zeros'], 'zero')})" if facts["zeros"] else ""
    shares = {
        f"{100 * float(share):g} % of variance": f"in {count(directions, 'direction')}"
        for share, directions in facts["directions"].items()
    }
    intervals = (
        bootstrap and f"bootstrap, {bootstrap['replicates']:,} replicates, " + (bootstrap["method"])
    )
    return {
        "data": facts["name"] or "unknown",
        "samples": "unknown" if facts["samples"] is None else f"{facts['samples']:,}{skipped}",
        "shape": " x ".join(map(str, facts["shape"])) if facts["shape"] else "unknown",
        "d": f"{facts['dimension']:,}",
        "units": f"{ends[0]:g} to {ends[1]:g}, mapped to [-1, 1]" if ends else "of the samples",
        "method": _method(facts),
        "precision": facts["precision"] or "unknown",
        "total variance": f"{facts['total_variance']:.6g}",
        "largest eigenvalue": f"{facts['largest']:.6g}",
        "smallest eigenvalue": f"{facts['smallest_positive']:.6g}{zeros}",
        **shares,
        **({"intervals": intervals} if intervals else {}),
        "power law": "unknown: it needs three positive eigenvalues" if law is None else (
            f"rank^-{law['exponent']:.3f}, standard error {law['standard_error']:.3f}, "
            f"R^2 {law['r_squared']:.3f}"
        ),
    }  # fmt: skip


def _method(facts: dict[str, Any]) -> str:
    words = [facts["method"] or "unknown"]
    if facts["rank"]:
        words.append(f"rank {facts['rank']:,} and a power law beyond")
    if facts["shrinkage"]:
        words.append(f"shrinkage {facts['shrinkage']:.4g}")
    return ", ".join(words)
