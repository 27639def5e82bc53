"""Samples against data, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specjax.data import Dataset
from specjax.evaluate.error_bars import Evaluation
from specjax.evaluate.feature_spaces import Features
from specjax.evaluate.measures import DEFAULT, check_measures
from specjax.evaluate.reference import MOST_SAMPLES, SPLITS, Progress, Reference, samples_for
from specjax.evaluate.subsample import collect, rows_kept
from specjax.evaluate.tasks import tasks_for


def evaluate(
    samples: Any,
    data: Any,
    *,
    measures: Sequence[str] = DEFAULT,
    features: Features | Sequence[Features] = (),
    pca: int | None = None,
    n: int | None = None,
    splits: int = SPLITS,
    seed: int = 0,
    spatial: int | None = None,
    name: str = "samples",
    progress: Progress | None = None,
) -> Evaluation:
    """How far generated samples are from data, with error bars, beside real against real.

    The data are split at random into a reference and a held-out set of n samples each, ``splits``
    times. The floor is held-out against reference; the value is n generated samples against the
    same references, so both have the bias of the same n.

    The error bar of several seeds' sets is the standard error of their mean; set i meets reference
    i. A single set of 2 n samples or more is cut into such sets. That of fewer is the delete-half
    jackknife's (Shao and Wu 1989): the standard deviation over ``splits`` of how much a random
    half of the samples differs from all of them beside the same reference. For means it is right;
    the measures are none, and it is up to 2 times the spread of new sets near the floor, 1.1 to
    1.5 times far from it (recall 2, and more between n and 2 n samples). The floor's is the
    standard error over splits. None includes what other data would have given. Samples that know
    the data (copies, or a model fitted to all of them) can be nearer to the reference than new
    data: below the floor.

    Args:
      samples: one set [m, *shape], or several, one a seed: [seeds, m, *shape] or a list of sets.
      data: [N, *shape], in the same units; or a dataset, of which many samples are a random part.
      measures: names in :data:`MEASURES`.
      features: maps of samples to features, on which those measures that suit are taken as well;
        their columns are called "feature_frechet" and so on, of Inception's "fid".
      pca: compare vectors by so many principal components of the data; by default all numbers of
        samples of up to 2,048, and 512 components of larger ones. The spectrum, measured in bands,
        always sees everything.
      n: samples on either side of a comparison, at most half of the data and all of a set; by
        default that, up to 10,000.
      splits: random splits of the data, two or more.
      seed: of the splits, of the samples drawn, and of random projections.
      spatial: axes of a sample that are sides; 1 for sound of several channels [L, C], which is
        taken for an image by default. It matters to the spectrum.
      name: what the result is called. progress: called with (comparisons, their number).

    Returns:
      An :class:`Evaluation`; its ``n`` says what was compared.

    Raises:
      ValueError: for another shape, NaN, too few samples or data, an unknown measure.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> data, samples = rng.normal(size=(400, 4)), 2 * rng.normal(size=(3, 200, 4))
      >>> found = evaluate(samples, data, measures=["frechet"])
      >>> found.values["frechet"].value > 3.0 > 1.0 > found.floor["frechet"].value  # 4 (2 - 1)^2
      True
    """
    data = _in_memory(data, n, seed)
    sets = _sets(samples, data.ndim)
    fewest = min(len(one) for one in sets)
    tasks = tasks_for(check_measures(measures), {})
    n = samples_for(len(data), min(fewest, MOST_SAMPLES if n is None else n), tasks)
    if len(sets) == 1:
        sets = in_sets(sets[0], n, seed)
    done = _Counter(progress, 2 * splits if len(sets) == 1 else len(sets))
    reference = Reference.of(
        data, n=n, measures=measures, features=_several(features), pca=pca, splits=splits,
        seed=seed, spatial=spatial, progress=done.first,
    )  # fmt: skip
    return judged(reference, name, sets, done)


def _in_memory(data: Any, n: int | None, seed: int) -> np.ndarray:
    """Samples [N, *shape] in the network's units."""
    if not isinstance(data, Dataset):
        return _rows("data", data)
    most = rows_kept(tuple(data.source["shape"]), n)
    return collect(data.samples, data.data_range, most=most, seed=seed)


def judged(
    reference: Reference,
    name: str,
    sets: Sequence[np.ndarray],
    done: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Sets of samples, one a seed, beside data that are prepared: see :func:`evaluate`.

    A set is looked at once it is its turn, so that a sequence may make it then.
    """
    found = []
    if len(sets) > 1:
        for number, one in enumerate(sets):
            found.append(reference.compare(reference.mapped(one), number))
            done()
        return reference.evaluation(name, found)
    halves, mapped = [], reference.mapped(sets[0])
    for number in range(len(reference.splits)):
        found.append(reference.compare(mapped, number))
        done()
        halves.append(reference.compare(mapped, number, half=True))
        done()
    return reference.evaluation(name, found, halves)


def in_sets(samples: np.ndarray, n: int, seed: int) -> list[np.ndarray]:
    """Samples [m, ...] as disjoint random sets of n, at most ten; all of them if m < 2 n."""
    count = min(len(samples) // n, 10)
    if count < 2:
        return [samples]
    order = np.random.default_rng([seed, count]).permutation(len(samples))
    return [samples[rows] for rows in order[: count * n].reshape(count, n)]


def _sets(samples: Any, ndim: int) -> list[np.ndarray]:
    """The sets of samples [m, *shape]."""
    if isinstance(samples, list | tuple):
        sets = [_rows("samples", one) for one in samples]
    else:
        samples = _rows("samples", samples)
        sets = list(samples) if samples.ndim == ndim + 1 else [samples]
    if not sets:
        raise ValueError("samples has no sets: give [m, *shape], or such a set for each seed")
    return sets


def _rows(name: str, given: Any) -> np.ndarray:
    found = np.asarray(given)
    if not found.ndim:
        raise ValueError(f"{name} = {given!r}: give samples [n, *shape]")
    return found


def _several(features: Features | Sequence[Features]) -> Sequence[Features]:
    return (features,) if callable(features) else tuple(features)


class _Counter:
    """Tells what is done of all: first the reference, then the rest, one by one."""

    def __init__(self, progress: Progress | None, rest: int) -> None:
        self.progress, self.rest, self.done, self.total = progress, rest, 0, rest

    def first(self, done: int, total: int | None) -> None:
        self.total = (total or 0) + self.rest
        self._tell(done)

    def __call__(self) -> None:
        self._tell(self.done + 1)

    def _tell(self, done: int) -> None:
        self.done = done
        if self.progress:
            self.progress(self.done, self.total)
