"""The table of a sweep on disk: Parquet, in parts that appear whole or not at all.

A results folder holds ``sweep.json`` (what is fitted, and how it is cut into parts),
``parts/part-000000.parquet`` and so on, and when all parts are there ``results.parquet``. Every
part is written by one process; which parts exist is all that a resumed sweep needs to know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from specjax import files
from specjax._core import checks
from specjax.sampling.samplers import options_of
from specjax.schedules.families import SCHEDULES
from specjax.spectra.power_law import power_law_fit
from specjax.spectra.spectrum import Spectrum
from specjax.sweep.noises import named
from specjax.sweep.solve import Outcomes
from specjax.sweep.axes import RIVALS, Block, Pair, Sweep

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 2
"""2 has noises; a sweep without them is still written as 1."""


@dataclass(frozen=True)
class Part:
    """A run of consecutive fits of one block."""

    number: int
    block: Block
    first: int
    size: int

    @property
    def index(self) -> np.ndarray:
        """Of its fits within the block."""
        return np.arange(self.first, self.first + self.size)


def parts(blocks: Iterable[Block], rows: int) -> list[Part]:
    """All blocks, cut into parts of at most that many rows."""
    found: list[Part] = []
    for block in blocks:
        for first in range(0, block.size, rows):
            found.append(Part(len(found), block, first, min(rows, block.size - first)))
    return found


class Made(NamedTuple):
    """The rows of a part; ``again`` if another machine may do better."""

    table: pa.Table
    again: bool


class Folder:
    """A results folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def results(self) -> Path:
        """The whole table."""
        return self.path / "results.parquet"

    def part(self, number: int) -> Path:
        """The file of a part."""
        return self.path / "parts" / f"part-{number:06d}.parquet"

    def given_up(self, number: int) -> Path:
        """The file of a part that a device could not take; a resumed sweep tries it again."""
        return self.part(number).with_suffix(".failed.parquet")

    def _there(self, number: int) -> Path:
        whole = self.part(number)
        return whole if whole.exists() else self.given_up(number)

    @property
    def begun(self) -> bool:
        """Whether there is a sweep in it."""
        return (self.path / "sweep.json").exists()

    def open(self, sweep: Sweep, rows: int) -> int:
        """Begin or resume a sweep here; the rows of a part.

        Raises:
          ValueError: for a folder with something else in it, or that cannot be written to.
        """
        manifest = self.path / "sweep.json"
        if manifest.exists():
            self._make(self.path / "parts")
            return self._resumed(manifest, sweep)
        if self.path.exists() and not self._empty():
            raise ValueError(
                f"out = {str(self.path)!r} exists and is no folder of a sweep: give a new one"
            )
        self._make(self.path)
        document = {
            "format": "specjax.sweep",
            "format_version": FORMAT if sweep.has_noise else 1,
            "fingerprint": sweep.fingerprint,
            "fits": sweep.size,
            "part_rows": rows,
            "sweep": sweep.document(),
            "sources": {name: dict(s.source or {}) for name, s in sweep.spectra.items()},
            "versions": files.versions(),
        }
        text = json.dumps(files.plain(document), indent=1)
        files.write_atomically(manifest, (text + "\n").encode())
        self._make(self.path / "parts")
        return rows

    def _empty(self) -> bool:
        """But for files that are being written."""
        return self.path.is_dir() and all(p.name.startswith(".") for p in self.path.iterdir())

    def _make(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"cannot make {path}: {error.strerror or error}") from error

    def _resumed(self, manifest: Path, sweep: Sweep) -> int:
        try:
            document = json.loads(files.read_bytes(manifest))
            known, rows = dict(document["sweep"]), int(document["part_rows"])
            fingerprint = document["fingerprint"]
            checks.whole_number("part_rows", rows)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{manifest} is damaged: {error}; give another folder") from error
        if fingerprint != sweep.fingerprint:
            raise ValueError(
                f"out = {str(self.path)!r} holds another sweep ({_difference(known, sweep)}): "
                "give another folder"
            )
        return rows

    def missing(self, wanted: list[Part]) -> list[Part]:
        """Those that are not there yet, or that were given up."""
        return [part for part in wanted if not self.part(part.number).exists()]

    def forget(self, wanted: list[Part]) -> None:
        """Remove the whole table, and what was given up of parts that are tried again."""
        self.results.unlink(missing_ok=True)
        for part in wanted:
            self.given_up(part.number).unlink(missing_ok=True)

    def complete(self, wanted: list[Part]) -> bool:
        """Whether all are there, be they given up."""
        return all(self._there(part.number).exists() for part in wanted)

    def write(self, part: Part, made: Made) -> None:
        """A part, whole or not at all."""
        import pyarrow.parquet as pq

        path = self.given_up(part.number) if made.again else self.part(part.number)
        with files.atomically(path) as temporary:
            pq.write_table(made.table, temporary, compression="zstd")

    def combine(self, count: int) -> Path:
        """All parts in order as one file, a row group each."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with files.atomically(self.results) as temporary:
            writer = None
            for number in range(count):
                path = self._there(number)
                try:
                    table = pq.read_table(path)
                except pa.ArrowInvalid as error:
                    raise ValueError(f"{path} is damaged: delete it and start again") from error
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
            if writer:
                writer.close()
        return self.results


def _difference(known: Mapping[str, Any], sweep: Sweep) -> str:
    own = files.plain(sweep.document())
    white = {"noises": [{"family": "isotropic"}]}
    known, own = {**white, **known}, {**white, **own}
    name = next((name for name in own if known.get(name) != own[name]), "versions")
    if name == "spectra":
        return "its spectra are not these"
    return f"its {name}: {known.get(name)}, yours: {own.get(name)}"


class Described(NamedTuple):
    """What the table says of a spectrum, under its noise.

    ``noise`` is that of :func:`specjax.sweep.noises.named`, None in a sweep without, and
    ``denoiser_error`` is None in a sweep where no denoiser errs.
    """

    dimension: int
    exponent: float
    fingerprint: str
    noise: tuple[str, str] | None
    denoiser_error: float | None


def described(sweep: Sweep) -> dict[Pair, Described]:
    """All spectra of a sweep."""
    assert isinstance(sweep.denoiser_error, Mapping)
    errors = sweep.denoiser_error
    return {
        pair: Described(
            spectrum.dimension, _exponent(spectrum), spectrum.fingerprint,
            named(spectrum.noise) if sweep.has_noise else None,
            errors.get(pair.spectrum, 0.0) if errors else None,
        )
        for pair, spectrum in sweep.under.items()
    }  # fmt: skip


def table(
    part: Part,
    spectra: Mapping[Pair, Described],
    nodes: int,
    outcomes: Outcomes | None,
    seconds: np.ndarray,
    error: str | None,
) -> pa.Table:
    """The rows of a part; without outcomes they say why there are none."""
    import pyarrow as pa

    block, index = part.block, part.index
    fits = block.fits(index)
    own = [spectra[pair] for pair in block.spectra]
    cases = [block.cases[i] for i in fits.case]
    columns: dict[str, Any] = {
        "spectrum": np.asarray([pair.spectrum for pair in block.spectra])[fits.spectrum],
        "dimension": np.array([s.dimension for s in own])[fits.spectrum],
        "exponent": np.array([s.exponent for s in own])[fits.spectrum],
        "fingerprint": np.array([s.fingerprint for s in own])[fits.spectrum],
        **_noise_columns(own, fits.spectrum),
        **_error_column(own, fits.spectrum),
        "steps": np.array([case.steps for case in cases]),
        "sampler": np.repeat(block.objective.sampler.name, part.size),
        "sampler_options": np.repeat(json.dumps(options_of(block.objective.sampler)), part.size),
        "loss": np.repeat(block.objective.loss.name, part.size),
        "process": np.repeat(block.objective.process, part.size),
        "alpha_bar_noisy": np.array([case.alpha_bar_range[0] for case in cases]),
        "alpha_bar_clean": np.array([case.alpha_bar_range[1] for case in cases]),
        "seed": fits.seed,
        "restarts": np.repeat(block.group.restarts, part.size),
        "nodes": np.repeat(nodes, part.size),
        **_judged(part, outcomes),
        "seconds": seconds,
        "error": pa.array([error] * part.size, pa.string()),
        "logsnr": _levels(part, [case.steps for case in cases], outcomes),
    }
    return pa.table(columns)


def _noise_columns(own: list[Described], index: np.ndarray) -> dict[str, Any]:
    """Of a sweep that has noises."""
    known = [s.noise for s in own if s.noise is not None]
    if not known:
        return {}
    name, parameters = (np.array(words)[index] for words in zip(*known, strict=True))
    return {"noise": name, "noise_parameters": parameters}


def _error_column(own: list[Described], index: np.ndarray) -> dict[str, Any]:
    """Of a sweep where some denoiser errs."""
    known = [s.denoiser_error for s in own if s.denoiser_error is not None]
    return {"denoiser_error": np.array(known)[index]} if known else {}


def _exponent(spectrum: Spectrum) -> float:
    """Of the power law; NaN where there are too few eigenvalues for one."""
    try:
        return power_law_fit(spectrum).exponent
    except ValueError:
        return math.nan


def _judged(part: Part, outcomes: Outcomes | None) -> dict[str, Any]:
    """Losses and flags; NaN and False where nothing was fitted."""
    import pyarrow as pa

    nothing = np.full(part.size, np.nan)
    if outcomes is None:
        value = slope = nothing
        rivals, iterations = np.full((part.size, len(RIVALS)), np.nan), np.zeros(part.size, int)
    else:
        value, slope = outcomes.value, outcomes.slope
        rivals, iterations = outcomes.rivals, outcomes.iterations
    heuristics = dict(zip(RIVALS, rivals.T, strict=True))
    blind = np.stack([heuristics[name] for name in SCHEDULES])  # they do not look at the data
    best = np.where(np.isnan(blind), np.inf, blind).argmin(0)
    best_value = blind[best, np.arange(part.size)]
    known, finite = ~np.isnan(best_value), np.isfinite(value)
    return {
        "value": value,
        "finite": finite,
        "converged": finite & (slope <= part.block.group.tolerance),
        "iterations": iterations.astype(np.int64),
        "slope": slope,
        "best_heuristic": pa.array(np.array(list(SCHEDULES))[best], pa.string(), mask=~known),
        "best_heuristic_value": best_value,
        **{f"heuristic_{name}": losses for name, losses in heuristics.items()},
    }


def _levels(part: Part, steps: list[int], outcomes: Outcomes | None) -> pa.Array:
    """The schedules as lists, without the idle levels in front."""
    import pyarrow as pa

    if outcomes is None:
        return pa.array([None] * part.size, pa.list_(pa.float64()))
    width = outcomes.levels.shape[1]
    counts = np.asarray(steps) + 1
    kept = np.arange(width) >= width - counts[:, None]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    flat = np.ascontiguousarray(outcomes.levels[kept], np.float64)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
