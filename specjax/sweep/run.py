"""``sweep``: many fits on all devices of all processes, to a table that survives a kill."""

from __future__ import annotations

import functools
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from specjax._core import checks, distributed
from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax._core.progress import shows_progress
from specjax._core.shown import Shown
from specjax.sweep.axes import Sweep
from specjax.sweep.folder import ResultsFolder
from specjax.sweep.groups import Block, Quadratures, blocks, pool, quadratures
from specjax.sweep.programs import local_mesh
from specjax.sweep.solve import FitOutputs, Solver
from specjax.sweep.table import FittedBlock, block_table, spectrum_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from jax.sharding import Mesh

Progress = Callable[[int, int], None]
"""Called with (fits done, fits in all), of this process."""

_BLOCK_ROWS = {"cpu": 4096}
_BLOCK_ROWS_ELSEWHERE = 2**17  # on an accelerator, several batches
_WORKERS = 2  # threads that compile and run


@dataclass(frozen=True, eq=False, repr=False)
class SweepResult(Shown):
    """A finished sweep.

    Attributes:
      sweep: what was fitted.
      folder: where its files are, None without ``out``.
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


@shows_progress("sweep", "fits")
def sweep(
    spectra: Any,
    steps: Sequence[int] = (),
    *,
    out: str | os.PathLike[str] | None = None,
    mesh: Mesh | None = None,
    block_rows: int | None = None,
    progress: Progress | Literal[False] | None = None,
    **axes: Any,
) -> SweepResult | None:
    """Fit the product of spectra, steps, samplers, losses, ends, seeds and noises.

    Fits that share a compiled program are vmapped in batches over all devices. With
    ``jax.distributed`` every process fits its own blocks on its own devices.

    Args:
      spectra: a mapping of names to spectra, a list of them, or a :class:`Sweep`.
      steps: S.
      axes: those of :class:`Sweep`, such as ``samplers=["ddim", "ddpm"]``.
      out: the results folder; one that holds the same sweep is gone on with. Without it nothing
        is written, and one process does it all.
      mesh: the devices of this process, one axis named "fits"; all of them by default.
      block_rows: rows of a file; by default 4,096 on a CPU.
      progress: see :data:`Progress`; by default a line on standard error in long calls, False
        for none.

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
            for fitted, table in _fit_blocks(spectra, blocks(spectra, rows), mesh, progress or None)
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
        for fitted, table in _fit_blocks(spectra, missing, mesh, progress or None, kept - fits):
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
    together = [
        list(own)
        for _, own in itertools.groupby(
            todo, key=lambda block: (block.group.shape, block.group.discretizations)
        )
    ]
    # One pool of fits is compiled while another one runs.
    news: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stop = threading.Event()

    def tell(new: Any) -> None:
        if stop.is_set():  # after Ctrl-C, say: ends this thread, however large its block is
            raise InterruptedError
        news.put(new)

    def work(own: list[Block]) -> None:
        try:
            for fitted in _solve_together(own, nodes, mesh, tell):
                tell(fitted)
            tell(None)
        except BaseException as error:  # for the thread that waits
            news.put(error)

    workers = ThreadPoolExecutor(_WORKERS)
    try:
        working = len([workers.submit(work, own) for own in together])
        while working:
            new = news.get()
            if isinstance(new, BaseException):
                raise new
            if isinstance(new, int):
                report(new)
            elif new is None:
                working -= 1
            else:
                yield new, block_table(new, spectra, wanted.nodes)
    finally:
        stop.set()
        workers.shutdown(wait=True, cancel_futures=True)


def _solve_together(
    todo: list[Block], nodes: Quadratures, mesh: Mesh, report: Callable[[int], None]
) -> Iterator[FittedBlock]:
    """Solve blocks of one shape, and yield each as soon as it is finished.

    What raises (no memory, a broken device) is an error of the rows that are not finished.
    """
    unfinished = {block.number: FittedBlock(block) for block in todo}
    able = [block for block in todo if block.group.error is None]
    error = ""
    try:
        with jax.enable_x64(True):
            for block, rows, outputs, seconds in _solve_blocks(able, nodes, mesh, report):
                unfinished[block.number].add(rows, outputs, seconds)
                if not unfinished[block.number].missing:
                    yield unfinished.pop(block.number)
    except (jax.errors.JaxRuntimeError, MemoryError) as problem:
        error = " ".join(str(problem).split())[:500] or type(problem).__name__
    for left in unfinished.values():
        failed = FittedBlock(left.block)  # without the fits that had come in
        failed.error = left.block.group.error or error
        yield failed
        report(left.missing)


def _solve_blocks(
    blocks: list[Block], nodes: Quadratures, mesh: Mesh, report: Callable[[int], None]
) -> Iterator[tuple[Block, np.ndarray, FitOutputs, np.ndarray]]:
    """Yield parts of blocks: which fits of the group, their outputs and seconds."""
    if not blocks:
        return
    shape, options, shared, fits = pool([(block.group, block.fits) for block in blocks], nodes)
    solver = Solver(shape, options, shared, fits, mesh)
    solver.prepare()
    block_of = np.repeat(np.arange(len(blocks)), [block.size for block in blocks])
    number = np.concatenate([block.fits for block in blocks])
    for done, outputs, seconds in solver.solve():
        for k in np.unique(block_of[done]):
            mine = block_of[done] == k
            some = jax.tree.map(lambda x, mine=mine: x[mine], outputs)
            yield blocks[k], number[done[mine]], some, seconds[mine]
        report(done.size)
