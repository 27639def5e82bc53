"""The tables and the JSON of ``specjax probe``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from specjax.files import numbers, plain
from specjax.gaussian.probe import Probe
from specjax.report.probe_bands import Band, bands, noise_words, title
from specjax.report.table import Block, Column, Table, print_blocks
from specjax.report.words import spread, wrote

_COLUMNS = 6  # fit 80 characters


def probe_json(probe: Probe) -> dict[str, Any]:
    """Give what ``specjax probe`` prints for machines."""
    noise = probe.spectrum.noise
    return {
        **plain(probe.source),
        **({} if noise is None else {"noise": noise.name}),
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


def print_probe(probe: Probe, written: Sequence[str]) -> None:
    """Print :func:`probe_blocks`."""
    print_blocks(probe_blocks(probe, written))


def probe_blocks(probe: Probe, written: Sequence[str] = ()) -> list[Block]:
    """Report gains and errors in bands of directions at some levels, and what was written."""
    all_bands = bands(probe)
    shown = spread(len(probe.logsnr), _COLUMNS)
    blocks: list[Block] = ["\n".join(filter(None, [title(probe), noise_words(probe)]))]
    names = [band.name for band in all_bands]
    for words, form, values in (
        ("gain less Wiener's", "{:+.3f}", [band.gain - band.wiener_gain for band in all_bands]),
        ("error over Wiener's", "{:.3g}x", [band.ratio for band in all_bands]),
    ):
        columns = [Column(f"{x:.3g}", form, "right") for x in probe.logsnr[shown]]
        rows = [[name, *x[shown].tolist()] for name, x in zip(names, values, strict=True)]
        blocks.append(Table(f"{words}, by logsnr", ["directions (variance)", *columns], rows))
    return [*blocks, _extremes(probe), *wrote(written)]


def _extremes(probe: Probe) -> str:
    """Say where the error of all directions together is least and most, relative to Wiener's."""
    ratio = 1 + probe.excess.sum(1) / probe.wiener_error.sum(1)
    ends = [f"{ratio[k]:.3g}x at logsnr {probe.logsnr[k]:.3g}" for k in (np.argmin(ratio),
            np.argmax(ratio))]  # fmt: skip
    return f"error of all directions over Wiener's: {' to '.join(ends)}"
