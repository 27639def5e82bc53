"""``sweep``: many fits on all devices of all processes, to a table that survives a kill."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from specjax._core import checks, distributed
from specjax.sweep.solve import Outcomes, local_mesh, solve
from specjax.sweep.axes import Block, Rules, Sweep, blocks, rules, tables
from specjax.sweep.folder import Folder, Made, Part, described, parts, table

if TYPE_CHECKING:
    import pyarrow as pa
    from jax.sharding import Mesh

Progress = Callable[[int, int], None]
"""Called with (fits done, fits in all), of this process."""

_PART_ROWS = {"cpu": 4096}
_PART_ROWS_ELSEWHERE = 2**17  # on an accelerator, several batches


@dataclass(frozen=True, eq=False)
class SweepResult:
    """A finished sweep.

    Attributes:
      sweep: what was asked for. folder: where its files are, None without ``out``.
      fits: how many this process made now; the others were there.
    """

    sweep: Sweep
    folder: Path | None
    fits: int
    _made: list[pa.Table] = field(default_factory=list, repr=False)

    @functools.cached_property
    def table(self) -> pa.Table:
        """A row a fit (:class:`pyarrow.Table`; ``.to_pandas()``, polars and DuckDB take it)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._made or self.folder is None:
            return pa.concat_tables(self._made)
        return pq.read_table(Folder(self.folder).results)

    @property
    def failed(self) -> int:
        """The number of rows with an error."""
        return self.table.num_rows - self.table.column("error").null_count


def sweep(
    spectra: Any,
    steps: Sequence[int],
    *,
    out: str | os.PathLike[str] | None = None,
    mesh: Mesh | None = None,
    part_rows: int | None = None,
    progress: Progress | None = None,
    **axes: Any,
) -> SweepResult | None:
    """Fit the product of spectra, steps, samplers, losses, ends, seeds and noises.

    Fits that share a compiled program are vmapped in batches over all devices. With
    ``jax.distributed`` every process fits its own parts on its own devices.

    Args:
      spectra: a mapping of names to spectra, or a list of them.
      steps: S. axes: those of :class:`Sweep`, such as ``samplers=["ddim", "ddpm"]``.
      out: the results folder; one that holds the same sweep is gone on with. Without it nothing
        is written, and one process does it all.
      mesh: the devices of this process, one axis named "fits"; all of them by default.
      part_rows: rows of a part file; by default 4,096 on a CPU.
      progress: see :data:`Progress`.

    Returns:
      A :class:`SweepResult`; None on all processes but the first.

    Raises:
      ValueError: for axes that :class:`Sweep` refuses, a folder of another sweep or with other
        files in it, part_rows below 1.

    Example:
      >>> found = sx.sweep([sx.Spectrum([1.0])], steps=[2, 3])
      >>> found.table.column("converged").to_pylist()
      [True, True]
    """
    wanted = Sweep(_named(spectra), steps, **axes)
    todo = list(blocks(wanted))
    mesh = local_mesh() if mesh is None else mesh
    rows = _PART_ROWS.get(mesh.devices.flat[0].platform, _PART_ROWS_ELSEWHERE)
    if part_rows is not None:
        rows = checks.whole_number("part_rows", part_rows)
    if out is None:
        every = parts(todo, rows)
        made = dict(_made(wanted, every, mesh, progress))
        return SweepResult(wanted, None, wanted.size, [made[p.number].table for p in every])
    folder = Folder(Path(out))
    if jax.process_index():
        distributed.wait_for(lambda: folder.begun)
    every = parts(todo, folder.open(wanted, rows))
    own = every[jax.process_index() :: jax.process_count()]
    mine = folder.missing(own)
    there = sum(part.size for part in own) - sum(part.size for part in mine)
    folder.forget(mine)
    distributed.meet()
    for number, made_now in _made(wanted, mine, mesh, progress, there):
        folder.write(every[number], made_now)
    # All of them, as jax.distributed ends the others soon after one has left.
    distributed.wait_for(lambda: folder.complete(every))
    if jax.process_index():
        distributed.wait_for(folder.results.exists)
        return None
    folder.combine(len(every))
    return SweepResult(wanted, folder.path, sum(part.size for part in mine))


def _named(spectra: Any) -> dict[str, Any]:
    """Spectra by name: their own where they have one, and numbers where those are the same."""
    if hasattr(spectra, "items"):
        return dict(spectra)
    if not hasattr(spectra, "__iter__"):
        spectra = [spectra]
    named: dict[str, Any] = {}
    for i, spectrum in enumerate(spectra):
        source = getattr(spectrum, "source", None) or {}
        name = str(source.get("name", f"spectrum {i}"))
        while name in named:
            name = f"{name} {i}"
        named[name] = spectrum
    return named


def _made(
    wanted: Sweep, todo: list[Part], mesh: Mesh, progress: Progress | None, done: int = 0
) -> Iterator[tuple[int, Made]]:
    """Numbers and rows of parts, as they are finished."""
    nodes, about = rules(wanted), described(wanted)
    total = done + sum(part.size for part in todo)

    def report(fits: int) -> None:
        nonlocal done
        done += fits
        if progress:
            progress(done, total)

    report(0)
    for block in dict.fromkeys(part.block for part in todo):
        own = [part for part in todo if part.block is block]
        for part, outcomes, seconds, error in _fitted(block, own, nodes, mesh, report):
            rows = table(part, about, wanted.nodes, outcomes, seconds, error)
            yield part.number, Made(rows, again=error is not None and block.error is None)


def _fitted(
    block: Block,
    own: list[Part],
    nodes: Rules,
    mesh: Mesh,
    report: Callable[[int], None],
) -> Iterator[tuple[Part, Outcomes | None, np.ndarray, str | None]]:
    """The parts of a block; what raises (no memory, a broken device) is an error of its rows."""
    left = {part.number: _Open(part) for part in own}
    index = np.concatenate([part.index for part in own])
    number = np.concatenate([np.full(part.size, part.number) for part in own])
    error = block.error
    if error is None:
        try:
            with jax.enable_x64(True):
                found = solve(block.group, tables(block, nodes), block.fits(index), mesh)
                for at, outcomes, seconds in found:
                    for one in np.unique(number[at]):
                        mine = number[at] == one
                        rows = index[at[mine]] - left[one].part.first
                        part = jax.tree.map(lambda x, m=mine: x[m], outcomes)
                        left[one].add(rows, part, seconds / max(at.size, 1))
                        if left[one].complete:
                            yield left.pop(one).finished()
                    report(at.size)
        except (jax.errors.JaxRuntimeError, MemoryError) as problem:
            error = " ".join(str(problem).split())[:500] or type(problem).__name__
    assert error is not None or not left
    for open_part in left.values():
        yield open_part.part, None, np.zeros(open_part.part.size), error
        report(open_part.part.size - open_part.count)


class _Open:
    """A part whose fits are coming in."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.count = 0
        self.outcomes: Any = None
        self.seconds = np.zeros(part.size)

    def add(self, rows: np.ndarray, outcomes: Outcomes, seconds: float) -> None:
        """Put some outcomes into their rows."""
        if self.outcomes is None:
            self.outcomes = jax.tree.map(
                lambda x: np.zeros((self.part.size, *x.shape[1:]), x.dtype), outcomes
            )
        for all_rows, some in zip(self.outcomes, outcomes, strict=True):
            all_rows[rows] = some
        self.seconds[rows] = seconds
        self.count += len(rows)

    @property
    def complete(self) -> bool:
        """Whether all rows are there."""
        return self.count == self.part.size

    def finished(self) -> tuple[Part, Outcomes, np.ndarray, None]:
        """What :func:`_fitted` yields."""
        return self.part, self.outcomes, self.seconds, None
