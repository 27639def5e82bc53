"""Tables and JSON of probes, for the command line."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from specjax.io import numbers, plain
from specjax.probe import Probe

_COLUMNS = 7
_BANDS = 5


class Band(NamedTuple):
    """Directions of neighbouring eigenvalues: ranks from ``first`` to ``last``, from 1.

    ``gain``, ``wiener_gain``, ``gain_error`` [L] are averages over its directions (the last the
    standard error, taking directions as independent); ``error``, ``wiener_error``, ``excess``
    [L] sums.
    """

    first: int
    last: int
    eigenvalues: np.ndarray
    gain: np.ndarray
    wiener_gain: np.ndarray
    gain_error: np.ndarray
    error: np.ndarray
    wiener_error: np.ndarray
    excess: np.ndarray
    excess_error: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """The error over Wiener's [L], by the excess, which is what is known well."""
        return 1 + self.excess / self.wiener_error

    @property
    def name(self) -> str:
        """The ranks and the variance."""
        ranks = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        return f"{ranks} ({self.eigenvalues.mean():.2g})"


def bands(probe: Probe, count: int = _BANDS) -> list[Band]:
    """The directions in at most ``count`` bands, evenly over the logarithm of the rank.

    Directions of no variance are left out.
    """
    lam = np.asarray(probe.spectrum.eigenvalues, np.float64)
    order = np.argsort(-lam, kind="stable")[: int((lam > 0).sum())]
    edges = np.unique(np.geomspace(1, len(order) + 1, count + 1).round().astype(int)) - 1
    return [_band(probe, lam, order[a:b], a + 1) for a, b in itertools.pairwise(edges)]


def _band(probe: Probe, lam: np.ndarray, members: np.ndarray, first: int) -> Band:
    def of(x: np.ndarray) -> np.ndarray:
        return x[:, members]

    gain_error, excess_error = (
        np.linalg.norm(of(probe.standard_errors[name]), axis=1) for name in ("gain", "excess")
    )
    return Band(
        first,
        first + len(members) - 1,
        lam[members],
        of(probe.gain).mean(1),
        of(probe.wiener_gain).mean(1),
        gain_error / len(members),
        of(probe.error).sum(1),
        of(probe.wiener_error).sum(1),
        of(probe.excess).sum(1),
        excess_error,
    )


def title(probe: Probe) -> str:
    """What was probed, in words."""
    source = probe.source
    of = f"{source['run']} at step {source['step']:,}" if "run" in source else "a denoiser"
    data = source.get("data") or (probe.spectrum.source or {}).get("name")
    return f"{of}, probed with {source['n']:,} samples of {data}" if data else of


def facts(probe: Probe) -> dict[str, Any]:
    """What ``specjax probe`` says, for machines."""
    return {
        **plain(probe.source),
        "dimension": probe.spectrum.dimension,
        "fingerprint": probe.fingerprint,
        "logsnr": numbers(probe.logsnr),
        "bands": [
            {
                "ranks": [band.first, band.last],
                **{name: numbers(getattr(band, name)) for name in Band._fields[3:]},
            }
            for band in bands(probe)
        ],
    }


def print_probe(probe: Probe, written: list[str]) -> None:
    """The gain and the error in bands of directions at some levels, and what was written."""
    console = Console(highlight=False, soft_wrap=True)
    found = bands(probe)
    shown = np.unique(np.linspace(0, len(probe.logsnr) - 1, _COLUMNS).round().astype(int))
    console.print(title(probe))
    gains = [[f"{x:+.3f}" for x in (band.gain - band.wiener_gain)[shown]] for band in found]
    console.print(_table("gain less Wiener's", probe, shown, found, gains))
    errors = [[f"{x:.3g}x" for x in band.ratio[shown]] for band in found]
    console.print(_table("error over Wiener's", probe, shown, found, errors))
    console.print(_worst(probe))
    console.print("wrote " + ", ".join(written))


def _table(
    name: str, probe: Probe, shown: np.ndarray, found: list[Band], cells: list[list[str]]
) -> Table:
    table = Table(title=f"{name}, by logsnr", title_justify="left")
    table.add_column("directions (variance)", no_wrap=True)
    for level in probe.logsnr[shown]:
        table.add_column(f"{level:.3g}", justify="right", no_wrap=True)
    for band, row in zip(found, cells, strict=True):
        table.add_row(band.name, *row)
    return table


def _worst(probe: Probe) -> str:
    """Where the error of all directions together is least and most, relative to Wiener's."""
    ratio = 1 + probe.excess.sum(1) / probe.wiener_error.sum(1)
    least, most = int(np.argmin(ratio)), int(np.argmax(ratio))
    return "error of all directions over Wiener's: " + " to ".join(
        f"{ratio[k]:.3g}x at logsnr {probe.logsnr[k]:.3g}" for k in (least, most)
    )
