"""Train the classifier whose features are compared: ``specjax train-features``."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from specjax import files
from specjax.data import Collected, Dataset, rescaled
from specjax.evaluate import classifier
from specjax.evaluate.features import ClassifierFeatures
from specjax.evaluate.grid import Form, on_grid
from specjax.evaluate.training_options import TrainOptions
from specjax.spectra import estimate

_WARM_UP = 0.05  # of the steps
_CHECKED_EVERY = 50  # steps, so that a loss that is not finite stops the training soon


def train_features(
    dataset: Dataset,
    collected: Collected,
    options: TrainOptions | None = None,
    *,
    seed: int = 0,
    progress: estimate.Progress | None = None,
) -> ClassifierFeatures:
    """A classifier of a labelled dataset, trained on a random part of it.

    AdamW (Loshchilov and Hutter, 1711.05101) with warm-up and cosine decay on the cross entropy,
    in float32. The result is a function of the data, the options and the seed.

    Args:
      dataset: with classes. collected: its samples, by :func:`specjax.data.collect`.
      options: see :class:`TrainOptions`. seed: of the parameters, the split and the batches.
      progress: called with the steps done and their number.

    Returns:
      The features. Their ``source["accuracy"]`` is the share of the held-out samples that are
      classified rightly. Of windows of sound, some of a file can be held out while others are
      learned from, so that it says less about new files.

    Raises:
      ValueError: for a dataset without labels, or with one class; for too few samples; for options
        that are not allowed; if the loss is not finite.
    """
    options = options or TrainOptions()
    shape = collected.samples.shape[1:]
    options.check(shape)
    labels, classes = _labels(dataset, collected)
    form = Form(shape, len(classes), options.features, options.width)
    held, learned = _split(len(labels), options.held_out, seed)
    batches = _batches(collected.samples, labels, learned, dataset.data_range, options, seed)
    parameters = _fitted(form, batches, options, seed, progress)
    source = {
        "data": files.plain(dict(dataset.source)), "classes": list(classes), "seed": seed,
        "options": asdict(options), "learned_from": len(learned), "held_out": len(held),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": files.versions(),
    }  # fmt: skip
    trained = ClassifierFeatures(form, parameters, source)
    accuracy = _accuracy(trained, collected.samples, labels, held, dataset.data_range)
    return ClassifierFeatures(form, parameters, {**source, "accuracy": accuracy})


def check_labelled(dataset: Dataset) -> None:
    """Refuse, before anything is read, a dataset without several classes."""
    if dataset.classes is None or len(dataset.classes) < 2:
        found = "one class" if dataset.classes else "no labels"
        raise ValueError(
            f"{dataset.name} has {found}: give digits, a TFDS set with a feature 'label', a .npz "
            "file with an array 'labels', or a folder with a subfolder for each class (see label)"
        )


def _labels(dataset: Dataset, collected: Collected) -> tuple[np.ndarray, tuple[str, ...]]:
    check_labelled(dataset)
    if collected.labels is None or collected.classes is None:
        raise ValueError("collected has no labels: give what specjax.data.collect(dataset) gives")
    return collected.labels, collected.classes


def _split(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the held-out samples and of the others, both sorted."""
    held = round(share * count)
    if not 0 < held < count:
        raise ValueError(f"held_out = {share!r} of {count} samples leaves none: give more samples")
    order = np.random.default_rng((seed, 0)).permutation(count)
    return np.sort(order[:held]), np.sort(order[held:])


class Batch(NamedTuple):
    """Samples [n, *sides, C] in [-1, 1] (float32) and their classes [n]."""

    samples: np.ndarray
    labels: np.ndarray


def _batches(
    samples: np.ndarray,
    labels: np.ndarray,
    learned: np.ndarray,
    data_range: tuple[float, float] | None,
    options: TrainOptions,
    seed: int,
) -> Iterator[Batch]:
    """Batches without end, of rounds one after another: every sample once, in random order.

    What a round leaves for less than a batch is the next batch's beginning.
    """
    rng = np.random.default_rng((seed, 1))
    size = min(options.batch, len(learned))
    waiting = learned[:0]
    while True:
        waiting = np.append(waiting, rng.permutation(learned))
        while len(waiting) >= size:
            mine, waiting = np.sort(waiting[:size]), waiting[size:]
            rows = on_grid(rescaled(samples[mine], data_range), samples.shape[1:])
            yield Batch(_moved(rows, options, rng), labels[mine])


def _moved(rows: np.ndarray, options: TrainOptions, rng: np.random.Generator) -> np.ndarray:
    """Samples [n, *sides, C] that are shifted and mirrored at random."""
    if options.shift:
        for axis in range(1, rows.ndim - 1):
            offsets = rng.integers(-options.shift, options.shift + 1, len(rows))
            places = np.arange(rows.shape[axis]) + offsets[:, None]
            places = np.clip(places, 0, rows.shape[axis] - 1)
            wide = [1] * rows.ndim
            wide[0], wide[axis] = places.shape
            rows = np.take_along_axis(rows, places.reshape(wide), axis)
    if options.flip:
        mirrored = rng.random(len(rows)) < 0.5
        rows = np.where(mirrored[:, None, None, None], rows[:, :, ::-1], rows)
    return rows


def _fitted(
    form: Form,
    batches: Iterator[Batch],
    options: TrainOptions,
    seed: int,
    progress: estimate.Progress | None,
) -> Any:
    """Parameters after all steps."""
    definition, parameters = classifier.initial(form, seed)
    optimizer = _optimizer(options)
    state = optimizer.init(parameters)
    step = _step(definition, optimizer)
    for done, batch in zip(range(1, options.steps + 1), batches, strict=False):
        parameters, state, loss = step(parameters, state, *batch)
        last = done == options.steps
        if (done % _CHECKED_EVERY == 0 or last) and not np.isfinite(loss):
            raise ValueError(
                f"the loss is not finite by step {done} with learning_rate = "
                f"{options.learning_rate!r}: give a lower one"
            )
        if progress:
            progress(done, options.steps)
    return jax.tree.map(np.asarray, parameters)


def _optimizer(options: TrainOptions) -> optax.GradientTransformation:
    rate = optax.warmup_cosine_decay_schedule(
        0.0, options.learning_rate, max(1, int(_WARM_UP * options.steps)), options.steps + 1
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(rate, weight_decay=options.weight_decay),
    )


def _step(definition: Any, optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    """One step, compiled on its own: XLA runs convolutions in a loop without threads on CPU."""

    def loss_of(parameters: Any, samples: jax.Array, labels: jax.Array) -> jax.Array:
        _, odds = classifier.apply(definition, parameters, samples)
        return optax.softmax_cross_entropy_with_integer_labels(odds, labels).mean()

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(parameters: Any, state: Any, samples: jax.Array, labels: jax.Array) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(parameters, samples, labels)
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, loss

    return step


def _accuracy(
    trained: ClassifierFeatures,
    samples: np.ndarray,
    labels: np.ndarray,
    held: np.ndarray,
    data_range: tuple[float, float] | None,
) -> float:
    """The share of held-out samples that are classified rightly."""
    right = 0
    for start in range(0, len(held), 1024):
        mine = held[start : start + 1024]
        chances = trained.probabilities(rescaled(samples[mine], data_range))
        right += int((chances.argmax(1) == labels[mine]).sum())
    return right / len(held)
