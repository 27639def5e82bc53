"""Tables and JSON of probes, for the command line."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from specjax.files import numbers, plain
from specjax.gaussian.probe import Probe
from specjax.gaussian.probe_bands import Band, bands, noise_of, title

_COLUMNS = 7


def facts(probe: Probe) -> dict[str, Any]:
    """What ``specjax probe`` says, for machines."""
    return {
        **plain(probe.source),
        **({"noise": probe.spectrum.noise.name} if probe.spectrum.noise is not None else {}),
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
    if noise := noise_of(probe):
        console.print(noise)
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
