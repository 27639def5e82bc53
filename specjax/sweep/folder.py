"""The results folder of a sweep: its description, and a Parquet file a block.

``sweep.json`` says what is fitted and how it is cut into blocks; ``table/block-000000.parquet`` and
so on are the blocks, each written by one process, whole or not at all. Together they are one
dataset. A block that a device could not take is ``block-000000.failed.parquet``, rows with an
error, until a resumed sweep has tried again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specjax import files
from specjax._core import checks
from specjax._core.checks import UserError
from specjax.sweep.axes import Sweep
from specjax.sweep.groups import Block
from specjax.sweep.lock import Watch, sign_of_life, wait_for

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 4


class ResultsFolder:
    """A results folder, as one of several processes sees it."""

    def __init__(self, path: Path, process: int = 0, processes: int = 1) -> None:
        self.path, self.process, self.processes = path, process, processes
        self.table, self.manifest = path / "table", path / "sweep.json"

    @contextlib.contextmanager
    def open(self, sweep: Sweep, rows: int) -> Iterator[int]:
        """Begin or resume a sweep, and hold the folder; gives the rows of a block.

        Raises:
          UserError: for a folder of something else, that another sweep writes, or that cannot be
            written to; if process 0 does not begin.
        """
        own = self._sign_of(self.process)
        if self.process:
            # A file of an earlier sweep may lie here: only a touch says that process 0 has begun.
            first = Watch(self._sign_of(0))
            wait_for(lambda: first.touched and self.manifest.exists(), [first])
            with sign_of_life(own):
                yield self._resume(sweep)
            return
        # Files with a dot in front are being written, or were when a sweep was killed.
        others = [p for p in self.path.glob("*") if not p.name.startswith(".")]
        if not self.manifest.exists() and (others or self.path.is_file()):
            raise UserError(
                f"out = {str(self.path)!r} exists and is no folder of a sweep: give a new one"
            )
        files.check_not_owned(self.path)
        with files.new_folder(self.path, parents=True), sign_of_life(own, exclusive=True):
            if self.manifest.exists():
                rows = self._resume(sweep)
            else:
                self._describe(sweep, rows)
            self.table.mkdir(exist_ok=True)
            for failed in self.table.glob("*.failed.parquet"):
                failed.unlink()
            yield rows

    def _sign_of(self, process: int) -> Path:
        return self.path / f".process-{process}"

    def _describe(self, sweep: Sweep, rows: int) -> None:
        document = {
            "fingerprint": sweep.fingerprint,
            "fits": sweep.size,
            "block_rows": rows,
            "sweep": sweep.document(),
            "sources": {name: dict(s.source or {}) for name, s in sweep.spectra.items()},
        }
        files.write(self.manifest, "sweep", FORMAT, document, {}, container="json")

    def _resume(self, sweep: Sweep) -> int:
        """Return the rows of a block, if the folder is of this sweep."""
        document = files.read(self.manifest, {"sweep": FORMAT}).header
        with files.decoding(self.manifest, "sweep"):
            known, fingerprint = dict(document["sweep"]), document["fingerprint"]
            rows = checks.whole_number("block_rows", document["block_rows"])
        if fingerprint != sweep.fingerprint:
            raise UserError(
                f"out = {str(self.path)!r} holds another sweep ({_difference(known, sweep)}): "
                "give another folder"
            )
        return rows

    def path_of(self, block: Block, *, failed: bool = False) -> Path:
        """Return the file of a block."""
        return self.table / f"block-{block.number:06d}{'.failed' if failed else ''}.parquet"

    def missing(self, blocks: list[Block]) -> list[Block]:
        """Return the blocks that are not there."""
        return [block for block in blocks if not self.path_of(block).exists()]

    def write(self, block: Block, table: pa.Table, *, failed: bool) -> None:
        """Write a block, whole or not at all."""
        import pyarrow.parquet as pq

        with files.atomically(self.path_of(block, failed=failed)) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def wait_for_all(self, blocks: list[Block]) -> None:
        """Wait until all blocks are there, also failed ones.

        Raises:
          UserError: for a process that is gone.
        """

        def complete() -> bool:
            missing = self.missing(blocks)
            return all(self.path_of(block, failed=True).exists() for block in missing)

        others = [0] if self.process else range(1, self.processes)
        wait_for(complete, [Watch(self._sign_of(process)) for process in others])

    def read(self) -> pa.Table:
        """Read all blocks, in order."""
        import pyarrow as pa
        import pyarrow.dataset

        paths = [str(path) for path in sorted(self.table.glob("block-*.parquet"))]
        try:
            return pyarrow.dataset.dataset(paths, format="parquet").to_table()
        except pa.ArrowInvalid as error:
            why = " ".join(str(error).split())
            raise UserError(f"{why}: delete that file and start the sweep again") from error


def _difference(known: dict[str, Any], sweep: Sweep) -> str:
    own = sweep.document()
    name = next((name for name in own if known.get(name) != own[name]), "versions")
    if name == "spectra":
        return "its spectra are not these"
    return f"its {name}: {known.get(name)}, yours: {own.get(name)}"
