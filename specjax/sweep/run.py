"""``sweep``: many fits on all devices of all processes, to a table that survives a kill."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from specjax._core import checks, distributed
from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax.sweep.axes import Sweep
from specjax.sweep.folder import ResultsFolder
from specjax.sweep.groups import Block, Quadratures, blocks, quadratures, shared_inputs
from specjax.sweep.solve import local_mesh, solve
from specjax.sweep.table import FittedBlock, block_table, spectrum_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from jax.sharding import Mesh

Progress = Callable[[int, int], None]
"""Called with (fits done, fits in all), of this process."""

_BLOCK_ROWS = {"cpu": 4096}
_BLOCK_ROWS_ELSEWHERE = 2**17  # on an accelerator, several batches


@dataclass(frozen=True, eq=False)
class SweepResult:
    """A finished sweep.

    Attributes:
      sweep: what was fitted. folder: where its files are, None without ``out``.
      fits: how many this process made now; the others were there.
    """

    sweep: Sweep
    folder: Path | None
    fits: int
    _tables: list[pa.Table] = field(default_factory=list, repr=False)

    @functools.cached_property
    def table(self) -> pa.Table:
        """A row a fit (:class:`pyarrow.Table`; ``.to_pandas()``, polars and DuckDB take it)."""
        import pyarrow as pa

        if self._tables or self.folder is None:
            return pa.concat_tables(self._tables)
        return ResultsFolder(self.folder).read()

    @property
    def failed(self) -> int:
        """The number of rows with an error."""
        return self.table.num_rows - self.table.column("error").null_count


def sweep(
    spectra: Any,
    steps: Sequence[int] = (),
    *,
    out: str | os.PathLike[str] | None = None,
    mesh: Mesh | None = None,
    block_rows: int | None = None,
    progress: Progress | None = None,
    **axes: Any,
) -> SweepResult | None:
    """Fit the product of spectra, steps, samplers, losses, ends, seeds and noises.

    Fits that share a compiled program are vmapped in batches over all devices. With
    ``jax.distributed`` every process fits its own blocks on its own devices.

    Args:
      spectra: a mapping of names to spectra, a list of them, or a :class:`Sweep`.
      steps: S. axes: those of :class:`Sweep`, such as ``samplers=["ddim", "ddpm"]``.
      out: the results folder; one that holds the same sweep is gone on with. Without it nothing
        is written, and one process does it all.
      mesh: the devices of this process, one axis named "fits"; all of them by default.
      block_rows: rows of a file; by default 4,096 on a CPU.
      progress: see :data:`Progress`.

    Returns:
      A :class:`SweepResult`; None on all processes but the first.

    Raises:
      UserError: for axes that :class:`Sweep` refuses, a folder of another sweep, with other files
        in it or that another process writes, block_rows below 1, a process that is gone.

    Example:
      >>> found = sx.sweep([sx.Spectrum([1.0])], steps=[2, 3])
      >>> found.table.column("converged").to_pylist()
      [True, True]
    """
    if not isinstance(spectra, Sweep):
        spectra = Sweep(_named(spectra), steps, **axes)
    elif len(steps) or axes:
        raise UserError(f"a Sweep has its axes: {', '.join(axes) or 'steps'} cannot be changed")
    mesh = local_mesh() if mesh is None else mesh
    rows = _BLOCK_ROWS.get(mesh.devices.flat[0].platform, _BLOCK_ROWS_ELSEWHERE)
    if block_rows is not None:
        rows = checks.whole_number("block_rows", block_rows)
    import_extra("pyarrow", "sweep", "the table of a sweep")
    if out is None:
        made = {
            fitted.block.number: table
            for fitted, table in _fit_blocks(spectra, blocks(spectra, rows), mesh, progress)
        }
        return SweepResult(spectra, None, spectra.size, [made[i] for i in sorted(made)])
    process, processes = jax.process_index(), jax.process_count()
    folder = ResultsFolder(Path(out), process, processes)
    with folder.open(spectra, rows) as rows:
        distributed.meet()
        every = blocks(spectra, rows)
        own = every[process::processes]
        missing = folder.missing(own)
        fits, kept = sum(x.size for x in missing), sum(x.size for x in own)
        for fitted, table in _fit_blocks(spectra, missing, mesh, progress, kept - fits):
            folder.write(fitted.block, table, failed=fitted.retry)
        # All of them, as jax.distributed ends the others soon after one has left.
        folder.wait_for_all(every)
    return None if process else SweepResult(spectra, folder.path, fits)


def _named(spectra: Any) -> dict[str, Any]:
    """Name spectra: by their own names where they have some, with numbers where those are equal."""
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


def _fit_blocks(
    wanted: Sweep, todo: list[Block], mesh: Mesh, progress: Progress | None, kept: int = 0
) -> Iterator[tuple[FittedBlock, pa.Table]]:
    """Fit blocks, group by group, and yield each with its rows as soon as it is finished."""
    done, total = kept, kept + sum(block.size for block in todo)

    def report(fits: int) -> None:
        nonlocal done
        done += fits
        if progress:
            progress(done, total)

    report(0)
    nodes, spectra = quadratures(wanted), spectrum_columns(wanted)
    for _, own in itertools.groupby(todo, key=lambda block: id(block.group)):
        for fitted in _fit_group(list(own), nodes, mesh, report):
            yield fitted, block_table(fitted, spectra, wanted.nodes)


def _fit_group(
    todo: list[Block], nodes: Quadratures, mesh: Mesh, report: Callable[[int], None]
) -> Iterator[FittedBlock]:
    """Fit blocks of one group; what raises (no memory, a broken device) is an error of its rows."""
    group = todo[0].group
    unfinished = {block.number: FittedBlock(block) for block in todo}
    fits = np.concatenate([block.fits for block in todo])
    block_of = np.repeat([block.number for block in todo], [block.size for block in todo])
    error = group.error
    if error is None:
        try:
            with jax.enable_x64(True):
                shared = shared_inputs(group, nodes)
                solved = solve(group.options, shared, group.indices(fits), mesh)
                for done, outputs, seconds in solved:
                    for number in np.unique(block_of[done]):
                        mine = block_of[done] == number
                        some = jax.tree.map(lambda x, mine=mine: x[mine], outputs)
                        unfinished[number].add(fits[done[mine]], some, seconds / done.size)
                        if not unfinished[number].missing:
                            yield unfinished.pop(number)
                    report(done.size)
        except (jax.errors.JaxRuntimeError, MemoryError) as problem:
            error = " ".join(str(problem).split())[:500] or type(problem).__name__
    for left in unfinished.values():
        failed = FittedBlock(left.block)  # without the fits that had come in
        failed.error = error
        yield failed
        report(left.missing)
