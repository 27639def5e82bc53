"""What a run says of itself: metrics as JSON lines and for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from specjax import files

METRICS = "metrics.jsonl"


class Log:
    """Lines of numbers by step; after a resume those of later steps are dropped.

    Args:
      folder: of the run. step: where it goes on.
    """

    def __init__(self, folder: Path, step: int):
        from tensorboardX import SummaryWriter

        self.path = folder / METRICS
        kept = [line for line in read_metrics(folder) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        files.write_atomically(self.path, text.encode())
        # TensorBoard hides what an earlier start wrote beyond that step.
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._board.close()

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """One line."""
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
        for name, number in numbers.items():
            self._board.add_scalar(name, number, step)

    def picture(self, step: int, pixels: np.ndarray) -> None:
        """A picture [H, W] or [H, W, 3], uint8."""
        form = "HW" if pixels.ndim == 2 else "HWC"
        self._board.add_image("samples", pixels, step, dataformats=form)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of a run's metrics."""
    path = folder / METRICS
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # the line that a kill cut
    return found
