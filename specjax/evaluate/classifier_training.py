"""Train the classifier whose features are compared: ``specjax train-features``."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from specjax import files
from specjax._core.checks import UserError
from specjax._core.extras import import_extra
from specjax.data import Collected, Dataset, rescaled
from specjax.evaluate.classifier_features import Architecture, ClassifierFeatures
from specjax.evaluate.classifier_options import TrainOptions
from specjax.spectra import estimate

_WARM_UP = 0.05  # of the updates
_CHECK_INTERVAL = 50  # updates, so that a loss that is not finite stops the training soon


def train_features(
    dataset: Dataset,
    collected: Collected,
    options: TrainOptions | None = None,
    *,
    seed: int = 0,
    progress: estimate.Progress | None = None,
) -> ClassifierFeatures:
    """Train a classifier of a labelled dataset on a random part of it.

    AdamW (Loshchilov and Hutter, 1711.05101) with warm-up and cosine decay on the cross entropy,
    in float32. The result is a function of the data, the options and the seed.

    Args:
      dataset: with classes. collected: its samples, by :func:`specjax.data.collect`.
      options: see :class:`TrainOptions`. seed: of the parameters, the split and the batches.
      progress: called with the updates done and their number.

    Returns:
      The features. Their ``source["accuracy"]`` is the share of the held-out samples that are
      classified rightly. Of windows of sound, some of a file can be held out while others are
      learned from, so that it says less about new files.

    Raises:
      UserError: for a dataset without labels, or with one class; for too few samples; for options
        that are not allowed; if the loss is not finite.
    """
    options = options or TrainOptions()
    samples, labels, classes = collected
    shape = samples.shape[1:]
    options.check(shape)
    check_labelled(dataset)
    if labels is None or classes is None:
        raise UserError("collected has no labels: give what specjax.data.collect(dataset) gives")
    architecture = Architecture(shape, len(classes), options.feature_count, options.width)
    held_out, learned = _split(len(labels), options.held_out, seed)
    batches = _batches(samples, labels, learned, dataset.data_range, options, seed)
    parameters = _fit(architecture, batches, options, seed, progress)
    source = {
        "data": files.plain(dict(dataset.source)), "classes": list(classes), "seed": seed,
        "options": asdict(options), "learned_from": len(learned), "held_out": len(held_out),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": files.versions(),
    }  # fmt: skip
    trained = ClassifierFeatures(architecture, parameters, source)
    is_right = []
    for part in np.array_split(held_out, -(-len(held_out) // 1024)):
        probabilities = trained.probabilities(rescaled(samples[part], dataset.data_range))
        is_right.append(probabilities.argmax(1) == labels[part])
    accuracy = float(np.concatenate(is_right).mean())
    return replace(trained, source={**source, "accuracy": accuracy})


def check_labelled(dataset: Dataset) -> None:
    """Raise a UserError for a dataset without several classes, before anything is read."""
    if dataset.classes is None or len(dataset.classes) < 2:
        known = "one class" if dataset.classes else "no labels"
        raise UserError(
            f"{dataset.name} has {known}: give digits, a TFDS set with a feature 'label', a .npz "
            "file with an array 'labels', or a folder with a subfolder for each class (see label)"
        )


def _split(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the held-out samples; return their numbers and those of the others, both sorted."""
    held_out = round(share * count)
    if not 0 < held_out < count:
        raise UserError(f"held_out = {share!r} of {count} samples leaves none: give more samples")
    order = np.random.default_rng((seed, 0)).permutation(count)
    return np.sort(order[:held_out]), np.sort(order[held_out:])


def _batches(
    samples: np.ndarray,
    labels: np.ndarray,
    learned: np.ndarray,
    data_range: tuple[float, float] | None,
    options: TrainOptions,
    seed: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield samples [n, *sides, C] in [-1, 1] (float32) and their classes [n], without end.

    Every epoch has every sample once, in random order; what an epoch leaves for less than a batch
    begins the next batch.
    """
    rng = np.random.default_rng((seed, 1))
    size = min(options.batch, len(learned))
    waiting = learned[:0]
    while True:
        waiting = np.append(waiting, rng.permutation(learned))
        while len(waiting) >= size:
            chosen, waiting = np.sort(waiting[:size]), waiting[size:]
            rows = rescaled(samples[chosen], data_range)
            rows = rows if rows.ndim == 4 else rows[..., None]
            yield _augmented(rows, options, rng), labels[chosen]


def _augmented(rows: np.ndarray, options: TrainOptions, rng: np.random.Generator) -> np.ndarray:
    """Shift and mirror samples [n, *sides, C] at random."""
    if options.translate:
        for axis in range(1, rows.ndim - 1):
            offsets = rng.integers(-options.translate, options.translate + 1, len(rows))
            indices = np.arange(rows.shape[axis]) + offsets[:, None]
            indices = np.clip(indices, 0, rows.shape[axis] - 1)
            others = [i for i in range(1, rows.ndim) if i != axis]
            rows = np.take_along_axis(rows, np.expand_dims(indices, others), axis)
    if options.flip:
        is_mirrored = rng.random(len(rows)) < 0.5
        rows = np.where(is_mirrored[:, None, None, None], rows[:, :, ::-1], rows)
    return rows


def _fit(
    architecture: Architecture,
    batches: Iterator[tuple[np.ndarray, np.ndarray]],
    options: TrainOptions,
    seed: int,
    progress: estimate.Progress | None,
) -> dict[str, np.ndarray]:
    """Make all updates; return the parameters by path.

    Each step is compiled on its own, since XLA runs convolutions inside a loop without threads on
    a CPU.
    """
    nnx, optax = (
        import_extra(name, "evaluate", "training a classifier") for name in ("flax.nnx", "optax")
    )
    from specjax.evaluate import classifier

    graph, params = nnx.split(classifier.Classifier(architecture, rngs=nnx.Rngs(seed)))
    warm_up = max(1, int(_WARM_UP * options.updates))
    rate = optax.warmup_cosine_decay_schedule(
        options.learning_rate / (warm_up + 1),  # not 0, with which the first update does nothing
        options.learning_rate,
        warm_up,
        options.updates + 1,
    )
    adamw = optax.adamw(rate, weight_decay=options.weight_decay)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), adamw)

    def loss_of(params: Any, samples: jax.Array, labels: jax.Array) -> jax.Array:
        _, logits = nnx.merge(graph, params)(samples)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, opt_state: Any, samples: jax.Array, labels: jax.Array) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(params, samples, labels)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    opt_state = optimizer.init(params)
    for done, batch in zip(range(1, options.updates + 1), batches, strict=False):
        params, opt_state, loss = step(params, opt_state, *batch)
        if (done % _CHECK_INTERVAL == 0 or done == options.updates) and not np.isfinite(loss):
            raise UserError(
                f"the loss is not finite by step {done} with learning_rate = "
                f"{options.learning_rate!r}: give a lower one"
            )
        if progress:
            progress(done, options.updates)
    return classifier.parameters_by_path(params)
