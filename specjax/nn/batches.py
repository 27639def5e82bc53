"""Batches of samples, in an order that is a function of the seed and the step alone.

So a resumed training takes the samples that it would have taken. grain (0.2.18) can do this, too,
but draws indices one by one: its shuffled, repeated and batched ``MapDataset`` took 2.6 ms to draw
64 of them, and 4.4 ms for a batch of digits with reading ahead, where the lines here took 0.4 ms
(for 128 images of 32 x 32 x 3: 7 ms and 2.6 ms).
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from specjax.data.in_memory import rescaled
from specjax.nn.sharding import over_batches
from specjax.nn.train_step import Batch

_READ_AHEAD = 2
"""Batches that are made ready while the device computes."""


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, number: int, count: int) -> np.ndarray:
    """The order of the samples in a pass over all of them."""
    return np.random.default_rng([seed, number]).permutation(count)


@dataclass(frozen=True)
class Samples:
    """Stored samples and the batches made of them.

    Attributes:
      samples: [N, *sample] as they are stored. labels: [N] or None.
      members: [M], the numbers of those that are used.
      data_range: the range of the stored values that is mapped to [-1, 1].
      batch: samples in an update, over all processes. seed: that of their order.
    """

    samples: Any
    labels: np.ndarray | None
    members: np.ndarray
    data_range: tuple[float, float] | None
    batch: int
    seed: int

    def indices(self, step: int) -> np.ndarray:
        """Return the numbers [batch] of an update's samples: each once in a pass over all."""
        count = len(self.members)
        passes, positions = np.divmod(np.arange(step * self.batch, (step + 1) * self.batch), count)
        order = [
            _permutation(self.seed, int(each), count)[positions[passes == each]]
            for each in np.unique(passes)
        ]
        return self.members[np.concatenate(order)]

    def rows(self, indices: np.ndarray) -> Batch:
        """Read samples in the network's units, and their labels."""
        in_file_order = np.argsort(indices, kind="stable")
        samples = np.empty((len(indices), *self.samples.shape[1:]), np.float32)
        samples[in_file_order] = rescaled(self.samples[indices[in_file_order]], self.data_range)
        return Batch(samples, None if self.labels is None else self.labels[indices])

    def batches(self, mesh: Mesh, start: int, sizes: Sequence[int]) -> Iterator[Batch]:
        """Yield global arrays [size, batch, ...] for the updates from ``start`` on.

        Args:
          sizes: how many updates' batches are yielded together, one number for each.
        """
        firsts = start + np.cumsum([0, *sizes])
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(1, "batches") as reader:
            for first, after in itertools.pairwise(firsts):
                waiting.append(reader.submit(self._global_batches, mesh, range(first, after)))
                if len(waiting) > _READ_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _global_batches(self, mesh: Mesh, steps: range) -> Batch:
        """The batches of some updates, of which every process reads what its devices take."""
        chosen = np.stack([self.indices(step) for step in steps])
        sharding, shape = over_batches(mesh), chosen.shape
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
