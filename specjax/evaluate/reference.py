"""Data to compare samples with: random splits, the spaces of comparison, the floor.

**Value and floor use the same n.** Measures depend on the number of samples: the Fréchet distance
of two sets of one distribution is of order d / n, precision grows with n. So the data are split at
random into two disjoint sets of n samples, the reference R and the held-out H, several times:

    floor = measure(H, R),   value = measure(generated, R)

with n generated samples, and the same R for both. n is at most half of the data.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax.evaluate.error_bars import Bands, Estimate, Evaluation
from specjax.evaluate.feature_spaces import Features, Space, by_prefix, spaces_for
from specjax.evaluate.measures import (
    BANDS,
    DEFAULT,
    MEASURES,
    Measured,
    SpaceMeasure,
    check_measures,
    in_spaces,
)
from specjax.evaluate.pairwise import as_vectors
from specjax.spectra.stationary import spatial_axes

Progress = Callable[[int, int | None], None]
"""Called with how many comparisons and batches of features are done, and their number."""

SPLITS = 5
MAX_N = 10_000
"""The n that is used where the data have more and none is asked for."""


class Split(NamedTuple):
    """Rows of the data [n] each, disjoint."""

    reference: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False)
class Reference:
    """Data that are ready to be compared with; made by :meth:`of`.

    Attributes:
      real: the rows of the data that any split has, by space.
      shape: of one sample.
      splits: random splits of the data.
      measures: those taken, each in its space.
      spaces: where samples are compared, by name.
      n: samples on either side of a comparison.
      seed: of the splits, and of the first set of samples.
      floors: the measured numbers of real against real, for each split.
      variance: of the data, summed over the numbers of a sample.
    """

    real: Mapping[str, np.ndarray]
    shape: tuple[int, ...]
    splits: tuple[Split, ...]
    measures: tuple[SpaceMeasure, ...]
    spaces: Mapping[str, Space]
    n: int
    seed: int
    floors: tuple[Measured, ...]
    variance: float | None = None

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
            what is used by default.
          measures: names in :data:`MEASURES`.
          features: maps of samples to features, see :func:`specjax.evaluate.evaluate`.
          pca: compare vectors by so many principal components of the data.
          splits: random splits of the data, two or more.
          seed: of the splits and of random projections.
          spatial: axes of a sample that are sides.
          progress: called with (comparisons, their number).

        Raises:
          UserError: for an unknown measure, too few data, NaN, too many components.
        """
        data = np.asarray(checks.unmasked("data", data))
        as_vectors("data", data)
        measures = check_options(
            data.shape[1:], n=n, measures=measures, features=features, pca=pca, splits=splits,
            seed=seed, spatial=spatial,
        )  # fmt: skip
        n = samples_to_compare(len(data), n, measures)
        for one in features:
            if hasattr(one, "check_units"):
                one.check_units(data)
        named = by_prefix(features)
        chosen = in_spaces(measures, named)
        orders = (np.random.default_rng([seed, s]).permutation(len(data)) for s in range(splits))
        used, rows = np.unique(np.stack([order[: 2 * n] for order in orders]), return_inverse=True)
        spaces = spaces_for(data, pca, named, seed, spatial)
        needed = {measure.space for measure in chosen}
        total = splits + sum(spaces[space].batches(len(used)) for space in needed)
        steps, data = itertools.count(1), data[used]

        def step_done() -> None:
            if progress:
                progress(next(steps), total)

        real = {space: spaces[space].mapped(data, step_done) for space in needed}
        parts = tuple(Split(*pair) for pair in rows.reshape(splits, 2, n))
        reference = cls(real, data.shape[1:], parts, chosen, spaces, n, seed, ())
        floors = []
        for number, part in enumerate(parts):
            held_out = {space: x[part.held_out] for space, x in real.items()}
            floors.append(reference._measured(held_out, number))
            step_done()
        variance = float(data.reshape(len(data), -1).var(0, dtype=np.float64).sum())
        return replace(reference, floors=tuple(floors), variance=variance)

    def _measured(self, a: Mapping[str, np.ndarray], number: int) -> Measured:
        """Take all measures of n samples a, by space, beside the reference of a split."""
        rows = self.splits[number % len(self.splits)].reference
        measured: dict[str, Any] = {}
        for measure in self.measures:
            b = self.real[measure.space][rows]
            measured.update(measure(a[measure.space], b, self.seed))
        return measured

    def mapped(self, samples: Any) -> dict[str, np.ndarray]:
        """Check generated samples [m, *shape], and map them to every space that is needed.

        Raises:
          UserError: for another shape, NaN, fewer than n.
        """
        samples = np.asarray(checks.unmasked("samples", samples))
        if samples.shape[1:] != self.shape:
            raise UserError(
                f"samples are of shape {samples.shape[1:]}, the data of shape {self.shape}: give "
                "data of the same shape"
            )
        as_vectors("samples", samples, self.n)
        return {space: self.spaces[space].mapped(samples) for space in self.real}

    def compare(
        self, mapped: Mapping[str, np.ndarray], number: int, half: bool = False
    ) -> Measured:
        """Measure n of the mapped samples, drawn at random, beside the reference of a split.

        Args:
          mapped: samples in each space, from :meth:`mapped`.
          number: of the split, modulo their number.
          half: only a random half of the same samples.
        """
        most = len(next(iter(mapped.values())))
        count = self.n // 2 if half else self.n
        rows = np.random.default_rng([self.seed, number, 1]).permutation(most)[:count]
        return self._measured({space: x[rows] for space, x in mapped.items()}, number)

    def evaluation(
        self, name: str, measured: Sequence[Measured], halves: Sequence[Measured] | None = None
    ) -> Evaluation:
        """Sum up what was measured.

        Args:
          name: of the schedule or the samples.
          measured: for each seed's set, or for one set beside each split.
          halves: of a single set: what half of it measures beside the same reference, see
            :mod:`specjax.evaluate.error_bars`.
        """

        def entries(rows: Sequence[Measured] | None, column: str) -> Any:
            return None if rows is None else np.stack([row[column] for row in rows])

        bands = None
        if BANDS in self.floors[0]:
            bands = Bands.of(*(entries(rows, BANDS) for rows in (measured, halves, self.floors)))
        titles = {c: title for one in self.measures for c, title in one.titles.items()}
        return Evaluation(
            name=name,
            values={c: Estimate.of(entries(measured, c), entries(halves, c)) for c in titles},
            floor={c: Estimate.of(entries(self.floors, c)) for c in titles},
            titles=titles,
            bands=bands,
            n=self.n,
            seeds=1 if halves else len(measured),
            splits=len(self.splits),
            space=self.spaces["vectors"].description,
            error="random halves" if halves else f"{len(measured)} sets",
            seed=self.seed,
            variance=self.variance,
        )

    def not_finite(self, name: str, seeds: int) -> Evaluation:
        """Return the evaluation of samples that are not finite: every number is NaN.

        Args:
          name: of the schedule or the samples.
          seeds: the number of sets.
        """
        nothing: dict[str, Any] = dict.fromkeys(self.floors[0], np.nan)
        if BANDS in nothing:
            nothing[BANDS] = self.floors[0][BANDS] * [[1], [np.nan], [1], [np.nan]]
        if seeds == 1:  # one set is compared with every split, as are halves of it
            rows = [nothing] * len(self.splits)
            return self.evaluation(name, rows, rows)
        return self.evaluation(name, [nothing] * seeds)


def check_options(
    shape: tuple[int, ...],
    *,
    n: int | None = None,
    measures: Sequence[str] = DEFAULT,
    features: Sequence[Features] = (),
    pca: int | None = None,
    splits: int = SPLITS,
    seed: int = 0,
    spatial: int | None = None,
) -> tuple[str, ...]:
    """Check the options of :meth:`Reference.of` for samples of a shape, before data are read.

    Returns:
      The measures, each once.

    Raises:
      UserError: for an option that is not allowed, and samples that the features do not take.
    """
    checks.whole_number("splits", splits, 2)
    checks.whole_number("seed", seed, 0)
    if n is not None:
        checks.whole_number("n", n)
    if pca is not None and checks.whole_number("pca", pca) > math.prod(shape):
        raise UserError(f"pca = {pca}: samples have {math.prod(shape):,} numbers, give fewer")
    if spatial is not None:
        spatial_axes(shape, spatial)
    for one in features:
        if hasattr(one, "check_shape"):
            one.check_shape(shape)
    return check_measures(measures)


def samples_to_compare(data: int, n: int | None, measures: Sequence[str]) -> int:
    """Return the n of each comparison: what is asked for or ``MAX_N``, at most half of the data.

    Raises:
      UserError: if that is fewer than a measure needs.
    """
    n = min(MAX_N if n is None else checks.whole_number("n", n), data // 2)
    least = 2 * max(MEASURES[name].least for name in measures)  # halves of a set are compared, too
    if n < least:
        raise UserError(
            f"n = {n} of {data} data: give at least {least} samples, and twice as many data, which "
            "are split in two"
        )
    return n
