"""Data to compare samples with: random splits, what is compared as what, the floor.

**Value and floor use the same n.** Measures depend on the number of samples: the Fréchet distance
of two sets of one distribution is of order d / n, precision grows with n. So the data are split at
random into two disjoint sets of n samples, the reference R and the held-out H, several times:

    floor = measure(H, R),   value = measure(generated, R)

with n generated samples, and the same R for both. n is at most half of the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax.evaluate.error_bars import Bands, Estimate, Evaluation
from specjax.evaluate.feature_spaces import Features, Space, check_units, spaces_for
from specjax.evaluate.measures import DEFAULT, Found, check_measures
from specjax.evaluate.pairwise import vectors
from specjax.evaluate.tasks import BANDS, Task, prefixed, tasks_for

Progress = Callable[[int, int | None], None]
"""Called with the comparisons, and the batches mapped to features, done and their number."""

SPLITS = 5
MOST_SAMPLES = 10_000
"""The n that is taken of plenty of data if none is asked for."""


class Split(NamedTuple):
    """Rows of the data [n] each, disjoint."""

    reference: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False)
class Reference:
    """Data, ready to be compared with; made by :meth:`of`.

    Attributes:
      real: the rows that are used, by space. shape: of one sample.
      splits, tasks, spaces, n, seed: as told in this module. measured: the floor of each split.
    """

    real: Mapping[str, np.ndarray]
    shape: tuple[int, ...]
    splits: tuple[Split, ...]
    tasks: tuple[Task, ...]
    spaces: Mapping[str, Space]
    n: int
    seed: int
    measured: tuple[Found, ...]

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        n: int | None = None,
        measures: Sequence[str] = DEFAULT,
        features: Sequence[Features] = (),
        pca: int | None = None,
        splits: int = SPLITS,
        seed: int = 0,
        spatial: int | None = None,
        progress: Progress | None = None,
    ) -> Reference:
        """Prepare data, and measure their floor.

        Args:
          data: [N, *shape], in the units of the samples to come.
          n: samples on either side of a comparison; half of the data and 10,000 are the most, and
            what is taken by default.
          measures, features, pca, splits, seed, spatial, progress: see
            :func:`specjax.evaluate.evaluate`.

        Raises:
          ValueError: for an unknown measure, too few data, NaN, too many components.
        """
        named = prefixed(features)
        tasks = tasks_for(check_measures(measures), named)
        checks.whole_number("splits", splits, 2)
        checks.whole_number("seed", seed, 0)
        data = np.asarray(data)
        vectors("data", data)
        n = samples_for(len(data), n, tasks)
        drawn = _drawn(len(data), n, splits, seed)
        used, rows = np.unique(np.concatenate([np.concatenate(one) for one in drawn]),
                               return_inverse=True)  # fmt: skip
        for one in named.values():
            check_units(one, data)
        spaces = spaces_for(data, pca, named, seed, spatial)
        needed = {task.space for task in tasks}
        steps = sum(spaces[name].batches(len(used)) for name in needed) + splits
        done, mine = _counted(progress, steps), data[used]
        real = {name: spaces[name].mapped(mine, done) for name in needed}
        parts = tuple(Split(*pair) for pair in rows.reshape(splits, 2, n))
        made = cls(real, data.shape[1:], parts, tasks, spaces, n, seed, ())
        found = []
        for number in range(splits):
            found.append(made._floor(number))
            done()
        return cls(real, data.shape[1:], parts, tasks, spaces, n, seed, tuple(found))

    def _floor(self, number: int) -> Found:
        split, found = self.splits[number], {}
        for task in self.tasks:
            real = self.real[task.space]
            found.update(task.run(real[split.held_out], real[split.reference], self.seed))
        return found

    def mapped(self, samples: Any) -> dict[str, np.ndarray]:
        """Generated samples [m, *shape] in every space that is needed, once they are checked.

        Raises:
          ValueError: for another shape, NaN, fewer than n.
        """
        samples = np.asarray(samples)
        if samples.shape[1:] != self.shape:
            raise ValueError(
                f"samples are of shape {samples.shape[1:]}, the data of shape {self.shape}: give "
                "data of the same shape"
            )
        vectors("samples", samples, self.n)
        return {name: self.spaces[name].mapped(samples) for name in self.real}

    def compare(self, mapped: Mapping[str, np.ndarray], number: int, half: bool = False) -> Found:
        """n of the mapped samples, drawn at random, beside the reference of a split.

        Args:
          number: of the split, counted round. half: only a random half of the same samples.
        """
        most = len(next(iter(mapped.values())))
        count = self.n // 2 if half else self.n
        rows = np.random.default_rng([self.seed, number, 1]).permutation(most)[:count]
        reference = self.splits[number % len(self.splits)].reference
        found: dict[str, Any] = {}
        for task in self.tasks:
            a, b = mapped[task.space][rows], self.real[task.space][reference]
            found.update(task.run(a, b, self.seed))
        return found

    def evaluation(
        self, name: str, found: Sequence[Found], halves: Sequence[Found] = ()
    ) -> Evaluation:
        """What was compared, as an :class:`Evaluation`.

        Args:
          found: of each seed's set; or of one set beside each split, and then ``halves`` are those
            of half of it beside the same reference. A half differs from the whole as a new set
            does from another: the standard deviation of that is the error bar.
        """
        values = {column: Estimate.of([one[column] for one in found]) for column in self.columns}
        for column in self.columns if halves else ():
            away = [half[column] - one[column] for half, one in zip(halves, found, strict=True)]
            spread = np.std(away, ddof=1)
            values[column] = values[column]._replace(error=float(spread))
        titles = {column: task.title(column) for task in self.tasks for column in task.columns}
        return Evaluation(
            name, values, self.floor, titles, self._bands(found, halves), self.n,
            1 if halves else len(found), len(self.splits), self.spaces["vectors"].words,
            "random halves" if halves else f"{len(found)} sets", self.seed,
        )  # fmt: skip

    def unknown(self, name: str, seeds: int) -> Evaluation:
        """The evaluation of sets of samples that are not finite: every number is NaN."""
        nothing: dict[str, Any] = dict.fromkeys(self.columns, np.nan)
        if BANDS in self.measured[0]:
            nothing[BANDS] = self.measured[0][BANDS] * [[1], [np.nan], [1], [np.nan]]
        if seeds == 1:  # its error would have been of halves, beside each split
            return self.evaluation(name, [nothing] * len(self.splits), [nothing] * len(self.splits))
        return self.evaluation(name, [nothing] * seeds)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all numbers."""
        return tuple(column for task in self.tasks for column in task.columns)

    @property
    def floor(self) -> dict[str, Estimate]:
        """Real against real, by column."""
        return {name: Estimate.of([one[name] for one in self.measured]) for name in self.columns}

    def _bands(self, found: Sequence[Found], halves: Sequence[Found]) -> Bands | None:
        if BANDS not in found[0]:
            return None
        every = np.stack([one[BANDS] for one in found])
        frequency, generated, real, decibel = every.mean(0)
        spread = np.stack([one[BANDS] for one in halves]) - every if halves else every
        error = spread[:, 3].std(0, ddof=1) if len(spread) > 1 else np.full_like(decibel, np.nan)
        floors = np.stack([one[BANDS][3] for one in self.measured])
        return Bands(
            frequency, generated, real, decibel, error if halves else error / np.sqrt(len(every)),
            np.sqrt((floors**2).mean(0)),
        )  # fmt: skip


def samples_for(data: int, n: int | None, tasks: Sequence[Task] = ()) -> int:
    """n: what is asked for or ``MOST_SAMPLES``, at most half of the data.

    Raises:
      ValueError: if that is fewer than a measure needs.
    """
    asked = MOST_SAMPLES if n is None else checks.whole_number("n", n)
    least = 2 * max((task.measure.least for task in tasks), default=2)
    if min(asked, data // 2) < least:
        raise ValueError(
            f"n = {min(asked, data // 2)} of {data} data: give at least {least} samples, and twice "
            "as many data, which are split in two"
        )
    return min(asked, data // 2)


def _counted(progress: Progress | None, total: int) -> Callable[[], None]:
    """What reports one step more whenever it is called."""
    steps = itertools.count(1)
    return lambda: progress(next(steps), total) if progress else None


def _drawn(data: int, n: int, splits: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of each split."""
    orders = (np.random.default_rng([seed, s]).permutation(data) for s in range(splits))
    return [(order[:n], order[n : 2 * n]) for order in orders]
