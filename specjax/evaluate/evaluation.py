"""Evaluate samples, or the samples that a network draws along schedules, against data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax._core.shown import Results
from specjax.data import Dataset
from specjax.evaluate.error_bars import Evaluation
from specjax.evaluate.feature_spaces import Features
from specjax.evaluate.measures import DEFAULT, Measured, check_measures
from specjax.evaluate.pairwise import NotFiniteError
from specjax.evaluate.reference import MAX_N, SPLITS, Progress, Reference, samples_to_compare
from specjax.evaluate.subsample import subsample_dataset
from specjax.noise.noise_spectrum import NoiseSpectrum
from specjax.sampling.generate import generate

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from specjax.sampling.step import SamplerPlan

SEEDS = 3
MAX_SETS = 10
"""Sets that a large set of samples is cut into, at most."""


@shows_progress("measuring", "comparisons")
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
    progress: Progress | Literal[False] | None = None,
) -> Evaluation:
    """Measure how far generated samples are from data, with error bars, beside real against real.

    The data are split at random into a reference and a held-out set of n samples each, ``splits``
    times. The floor is held-out against reference; the value is n generated samples against the
    same references, so both have the bias of the same n.

    The error bar of several seeds' sets is the standard error of their mean; set i meets reference
    i. A single set of 2 n samples or more is cut into such sets. That of fewer is the delete-half
    jackknife's (:mod:`specjax.evaluate.error_bars`), over ``splits`` random halves. It is right for
    means, which the measures are not: it is up to 2 times the spread of new sets near the floor,
    1.1 to 1.5 times far from it (recall 2, and more between n and 2 n samples). The floor's error
    bar is the standard error over splits. None includes what other data would have given. Samples
    that know the data (copies, or a model fitted to all of them) can be nearer to the reference
    than new data: below the floor.

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
      name: what the result is called.
      progress: called with (comparisons done, their number).

    Returns:
      An :class:`Evaluation`; its ``n`` says what was compared.

    Raises:
      UserError: for another shape, NaN, too few samples or data, an unknown measure.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> data, samples = rng.normal(size=(400, 4)), 2 * rng.normal(size=(3, 200, 4))
      >>> found = evaluate(samples, data, measures=["frechet"])
      >>> found.values["frechet"].value > 3.0 > 1.0 > found.floor["frechet"].value  # 4 (2 - 1)^2
      True
    """
    if isinstance(data, Dataset):
        data = subsample_dataset(data, n, seed=seed)
    data = _sample_array("data", data)
    sets = _sample_sets(samples, data.ndim)
    most = min(*map(len, sets), MAX_N if n is None else n)
    n = samples_to_compare(len(data), most, check_measures(measures))
    if len(sets) == 1:
        sets = split_into_sets(sets[0], n, seed)
    comparisons, preparation = len(sets) if len(sets) > 1 else 2 * splits, 0

    def preparing(done: int, total: int | None) -> None:
        nonlocal preparation
        preparation = total or 0
        if progress:
            progress(done, preparation + comparisons)

    def comparing(done: int, total: int | None) -> None:
        if progress:
            progress(preparation + done, preparation + comparisons)

    reference = Reference.of(
        data, n=n, measures=measures, features=[features] if callable(features) else features,
        pca=pca, splits=splits, seed=seed, spatial=spatial, progress=preparing,
    )  # fmt: skip
    return evaluate_sets(reference, name, sets.__getitem__, len(sets), comparing)


def evaluate_sets(
    reference: Reference,
    name: str,
    draw: Callable[[int], np.ndarray],
    seeds: int,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate sets of samples against data that are prepared: see :func:`evaluate`.

    Args:
      draw: the set [m, *shape] of a seed, counted from 0; it is called when its turn comes.
    """
    measured: list[Measured] = []
    if seeds > 1:
        for seed in range(seeds):
            measured.append(reference.compare(reference.mapped(draw(seed)), seed))
            if progress:
                progress(seed + 1, seeds)
        return reference.evaluation(name, measured)
    mapped, comparisons = reference.mapped(draw(0)), 2 * len(reference.splits)
    for number in range(comparisons):  # beside each split the whole set, then a random half of it
        measured.append(reference.compare(mapped, number // 2, half=number % 2 == 1))
        if progress:
            progress(number + 1, comparisons)
    return reference.evaluation(name, measured[::2], measured[1::2])


def split_into_sets(samples: np.ndarray, n: int, seed: int) -> list[np.ndarray]:
    """Cut samples [m, ...] into disjoint random sets of n, at most ten; keep all if m < 2 n."""
    count = min(len(samples) // n, MAX_SETS)
    if count < 2:
        return [samples]
    order = np.random.default_rng([seed, count]).permutation(len(samples))
    return [samples[rows] for rows in order[: count * n].reshape(count, n)]


def _sample_sets(samples: Any, ndim: int) -> list[np.ndarray]:
    """Return the sets of samples [m, *shape], where data have ``ndim`` dimensions."""
    if isinstance(samples, list | tuple):
        sets = [_sample_array("samples", one) for one in samples]
    else:
        samples = _sample_array("samples", samples)
        sets = list(samples) if samples.ndim == ndim + 1 else [samples]
    if not sets:
        raise UserError("samples has no sets: give [m, *shape], or such a set for each seed")
    return sets


def _sample_array(name: str, samples: Any) -> np.ndarray:
    array = np.asarray(samples)
    if not array.ndim:
        raise UserError(f"{name} = {samples!r}: give samples [n, *shape]")
    return array


@shows_progress("sampling and measuring", "samples")
def evaluate_schedules(
    plans: Mapping[str, SamplerPlan],
    denoise: Callable[..., Any],
    reference: Reference,
    *,
    seeds: int = SEEDS,
    labels: Any = None,
    conditions: Any = None,
    batch: int | None = None,
    mesh: Mesh | None = None,
    noise: NoiseSpectrum | None = None,
    progress: Progress | Literal[False] | None = None,
) -> Results[Evaluation]:
    """Draw n samples for each plan and each seed, and evaluate them against the reference.

    The noise of sample i of a seed is the same for every plan, and so is what it is compared with:
    plans differ by less than their error bars suggest, which hold for each alone.

    Args:
      plans: by name.
      denoise: what is sampled, as in :func:`specjax.sampling.generate.generate`.
      labels: [n], the classes of the samples of each set, for a conditional denoiser.
      conditions: in place of labels, a tree of arrays [n, ...].
      batch: samples in one call of the denoiser, over all devices.
      mesh: of devices over which each batch is cut.
      noise: the forward noise that the denoiser was trained with; white by default.
      reference: the data, with their floor and n. Its ``seed`` is that of the first set of
        samples, the next ones follow.
      seeds: how many sets of n samples; of one set the error bar is the jackknife's.
      progress: called with (samples drawn, their number).

    Returns:
      An :class:`Evaluation` for each plan, in order. Numbers are NaN for a plan whose samples are
      not finite.

    Raises:
      UserError: for what :func:`specjax.sampling.generate.generate` refuses.

    Example:
      >>> data = np.random.default_rng(0).normal(size=(400, 4))
      >>> denoise = sx.wiener(sx.Spectrum.from_samples(data))  # or any denoise(x, alpha, sigma)
      >>> plans = {f"{n} steps": sx.plan("ddpm", sx.family("cosine", n)) for n in (2, 20)}
      >>> reference = Reference.of(data, measures=["frechet"])
      >>> coarse, fine = evaluate_schedules(plans, denoise, reference)
      >>> coarse.values["frechet"].value > fine.values["frechet"].value
      True
    """
    checks.whole_number("seeds", seeds)
    total = len(plans) * seeds * reference.n

    def draw(number: int, plan: SamplerPlan, seed: int) -> np.ndarray:
        before = (number * seeds + seed) * reference.n
        return generate(
            plan, denoise, reference.n, reference.shape, seed=reference.seed + seed, labels=labels,
            conditions=conditions, batch=batch, mesh=mesh, noise=noise,
            progress=lambda done, _: progress(before + done, total) if progress else None,
        )  # fmt: skip

    rows: Results[Evaluation] = Results()
    for number, (name, plan) in enumerate(plans.items()):
        try:
            rows.append(evaluate_sets(reference, name, partial(draw, number, plan), seeds))
        except NotFiniteError:
            rows.append(reference.not_finite(name, seeds))
    return rows
