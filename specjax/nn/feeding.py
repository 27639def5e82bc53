"""Batches in an order that is a function of the seed and the step alone."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from specjax.data.in_memory import rescaled
from specjax.nn.sharding import over_batches
from specjax.nn.step import Batch

_AHEAD = 2
"""Batches that are made ready while the device computes."""


@functools.lru_cache(maxsize=4)
def _order(seed: int, number: int, count: int) -> np.ndarray:
    """Of a pass over all samples."""
    return np.random.default_rng([seed, number]).permutation(count)


@dataclass(frozen=True)
class Feed:
    """The samples that are trained on.

    Attributes:
      samples: [N, *sample] as they are stored. labels: [N] or None.
      members: [M], the numbers of those that are used.
      data_range: of the samples, mapped to [-1, 1].
      batch: samples in an update, over all processes. seed: of their order.
    """

    samples: Any
    labels: np.ndarray | None
    members: np.ndarray
    data_range: tuple[float, float] | None
    batch: int
    seed: int

    def indices(self, step: int) -> np.ndarray:
        """Which samples [batch] an update takes: each once in a pass over all of them."""
        count = len(self.members)
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        passes, within = np.divmod(places, count)
        found = np.empty_like(places)
        for each in np.unique(passes):
            order = _order(self.seed, int(each), count)
            mine = passes == each
            found[mine] = self.members[order[within[mine]]]
        return found

    def rows(self, indices: np.ndarray) -> Batch:
        """Samples in the network's units, and their labels."""
        in_file_order = np.argsort(indices, kind="stable")
        samples = np.empty((len(indices), *self.samples.shape[1:]), np.float32)
        samples[in_file_order] = rescaled(self.samples[indices[in_file_order]], self.data_range)
        return Batch(samples, None if self.labels is None else self.labels[indices])

    def batches(self, mesh: Mesh, start: int, sizes: Sequence[int]) -> Iterator[Batch]:
        """Global arrays [size, batch, ...] for the updates from start on."""
        waiting: queue.Queue[Any] = queue.Queue(_AHEAD)
        ended = threading.Event()

        def offer(item: Any) -> bool:
            while not ended.is_set():
                try:
                    waiting.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def make() -> None:
            try:
                step = start
                for size in sizes:
                    if not offer(self._together(mesh, range(step, step + size))):
                        return
                    step += size
                offer(None)
            except BaseException as error:
                offer(error)

        threading.Thread(target=make, daemon=True).start()
        try:
            while (item := waiting.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            ended.set()

    def _together(self, mesh: Mesh, steps: range) -> Batch:
        """The batches of some updates; every process reads what its devices take."""
        chosen = np.stack([self.indices(step) for step in steps])
        sharding = over_batches(mesh)
        shape = chosen.shape
        mine = sharding.addressable_devices_indices_map(shape)
        columns = sorted({index[1].indices(shape[1])[:2] for index in mine.values() if index})
        local = np.concatenate([chosen[:, low:high] for low, high in columns], axis=1)
        rows = self.rows(local.reshape(-1))
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(
                sharding, x.reshape(*local.shape, *x.shape[1:]), (*shape, *x.shape[1:])
            ),
            rows,
        )
