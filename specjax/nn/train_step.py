"""One update of the parameters: noise, the loss and its gradient, AdamW, the average.

What is minimised is :func:`specjax.nn.losses.training_loss`. Frequency terms are logged beside the
plain squared error, and validation is by the plain loss alone, so that runs with and without terms
can be compared.

Keys: the noise of an update is a function of the seed and the step, that of the validation of the
seed and the batch. Both come from the run's seed folded with numbers that no sample has
(:func:`specjax.sample` folds the same seed with a sample's number), so that they are never equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from specjax.nn.config import OptimiserConfig, TrainConfig
from specjax.nn.denoiser import NetworkDenoiser
from specjax.nn.losses import Losses, squared_error, training_loss
from specjax.nn.noise_levels import Quantile, stratified
from specjax.noise.noise_spectrum import NoiseSpectrum, colored
from specjax.sampling.denoisers import Within

_NOISE, _VALIDATION = 2**32 - 1, 2**32 - 2


class TrainState(NamedTuple):
    """Everything that changes in training.

    Attributes:
      step: updates made []. params: the network's parameters. ema: their average.
      optimiser: optax's state.
      failed: the first step whose loss or gradient was not finite [], -1 while there is none.
    """

    step: jax.Array
    params: Any
    ema: Any
    optimiser: Any
    failed: jax.Array


class Batch(NamedTuple):
    """Samples [..., *sample] in the network's units and their labels [...], or None."""

    samples: Any
    labels: Any


@dataclass(frozen=True)
class Task:
    """The data of a training that an update does not change.

    Attributes:
      denoiser: makes a denoiser of parameters.
      classes: how many there are (0: the network is not conditional).
      quantile: that of the noise levels, see :mod:`specjax.nn.noise_levels`.
      noise: the forward noise; None for white noise. omits: whether it leaves directions out, in
        which the data are known and nothing is learned (known beforehand, as the noise is traced).
    """

    denoiser: Callable[[Any], NetworkDenoiser]
    classes: int
    quantile: Quantile
    config: TrainConfig
    noise: NoiseSpectrum | None = None
    omits: bool = False

    def with_noise(self, noise: NoiseSpectrum | None) -> Task:
        """Return the task with other arrays of the noise; the same where there are none."""
        return self if noise is None else replace(self, noise=noise)


def learning_rate(config: OptimiserConfig) -> Callable[[Any], Any]:
    """Return the learning rate over updates: a linear warm-up, then its decay.

    Update i of the warm-up has (i + 1) / (warmup + 1) of the peak: no update is without effect.
    """
    warmup = min(config.warmup, config.updates)
    peak = config.learning_rate
    if config.decay == "constant":
        after: Any = optax.constant_schedule(peak)
    else:
        after = optax.cosine_decay_schedule(peak, max(config.updates - warmup, 1))
    rise = optax.linear_schedule(peak / (warmup + 1), peak, warmup)
    return optax.join_schedules([rise, after], [warmup])


def optimiser(config: OptimiserConfig) -> optax.GradientTransformation:
    """Return AdamW on the clipped gradient."""
    adamw = optax.adamw(learning_rate(config), b2=config.beta2, weight_decay=config.weight_decay)
    return optax.chain(optax.clip_by_global_norm(config.clip), adamw)


def initial_state(task: Task, params: Any) -> TrainState:
    """Return the state before the first update."""
    state = optimiser(task.config.optimiser).init(params)
    ema = jax.tree.map(jnp.copy, params)
    return TrainState(jnp.zeros((), jnp.int32), params, ema, state, jnp.full((), -1, jnp.int32))


def update(
    task: Task, state: TrainState, batches: Batch, noise: NoiseSpectrum | None = None
) -> tuple[TrainState, dict[str, Any]]:
    """Update by batches [k, n, ...]; return the state after them and metrics [k].

    The metrics are the plain loss, each term without its weight ("loss_amplitude"), and the norm of
    the gradient of their weighted sum.

    Randomness is a function of the seed and the step, over the whole batch: neither the devices
    nor the parts that a batch is computed in change it (but for dropout).

    Args:
      noise: the task's, as an argument of a compiled program and not one of its constants.
    """
    return scan(partial(_one_update, task.with_noise(noise)), state, batches)


def _one_update(task: Task, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Any]]:
    config = task.config.optimiser
    root = jax.random.fold_in(jax.random.key(task.config.seed), _NOISE)
    for_batch, for_dropout = jax.random.split(jax.random.fold_in(root, state.step))
    noised = _noised(task, batch, for_batch)
    losses, gradient = _gradient(task, state, noised, for_dropout)
    norm = optax.tree.norm(gradient)
    change, optimiser_state = optimiser(config).update(gradient, state.optimiser, state.params)
    params = optax.apply_updates(state.params, change)
    # At first it averages over all updates, so that it forgets the initial parameters.
    decay = jnp.minimum(config.ema, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(lambda e, p: e + (1 - decay) * (p - e), state.ema, params)
    bad = ~(jnp.isfinite(losses["loss"]) & jnp.isfinite(norm)) & (state.failed < 0)
    failed = jnp.where(bad, state.step, state.failed)
    metrics = {**losses, "gradient_norm": norm}
    return TrainState(state.step + 1, params, ema, optimiser_state, failed), metrics


class _Noised(NamedTuple):
    """A batch [n, ...] with its noise, its levels logsnr [n] and its labels."""

    clean: jax.Array
    noise: jax.Array
    logsnr: jax.Array
    labels: jax.Array | None


def _noised(task: Task, batch: Batch, key: jax.Array, *, training: bool = True) -> _Noised:
    """Draw noise and levels for a batch and, in training, what is flipped and left unlabelled."""
    config = task.config.optimiser
    for_noise, for_levels, for_flip, for_label = jax.random.split(key, 4)
    clean, labels = batch.samples, batch.labels
    n = len(clean)
    if config.flip and training:
        mirrored = jnp.flip(clean, axis=2)
        which = jax.random.bernoulli(for_flip, shape=(n,) + (1,) * (clean.ndim - 1))
        clean = jnp.where(which, mirrored, clean)
    if labels is not None and training:
        hidden = jax.random.bernoulli(for_label, config.drop_label, (n,))
        labels = jnp.where(hidden, task.classes, labels)
    noise = colored(task.noise, jax.random.normal(for_noise, clean.shape, clean.dtype))
    return _Noised(clean, noise, task.quantile(stratified(for_levels, n)), labels)


def _estimate(
    task: Task, params: Any, noised: _Noised, key: jax.Array | None
) -> tuple[jax.Array, jax.Array, NetworkDenoiser]:
    """The network's x0 [n, *sample], its levels s = sigma / alpha [n], and the denoiser."""
    pure, s = jnp.isneginf(noised.logsnr), jnp.exp(-noised.logsnr / 2)
    scales = jnp.where(pure, 0.0, 1.0), jnp.where(pure, 1.0, s)  # VE, but for pure noise
    alpha, sigma = (x.reshape(-1, *(1,) * (noised.clean.ndim - 1)) for x in scales)
    denoiser = task.denoiser(params)
    estimate: Any = denoiser
    if task.omits and task.noise is not None:
        estimate = Within(estimate, task.noise)  # there the estimate is the data themselves
    x = alpha * noised.clean + sigma * noised.noise
    x0 = estimate(x, *scales, noised.labels, key=key)
    return x0, s, denoiser


def _loss(
    task: Task, step: jax.Array, params: Any, noised: _Noised, key: jax.Array | None
) -> tuple[jax.Array, Losses]:
    """The loss that is minimised, and its parts by name."""
    x0, sigma, denoiser = _estimate(task, params, noised, key)
    return training_loss(
        task.config, step, x0, noised.clean, sigma,
        sigma_data=denoiser.sigma_data, shape=denoiser.shape,
    )  # fmt: skip


def _gradient(task: Task, state: TrainState, noised: _Noised, key: jax.Array) -> tuple[Losses, Any]:
    """The losses and the gradient, as means over the parts of a batch."""
    parts = task.config.optimiser.accumulate
    gradient = jax.grad(partial(_loss, task, state.step), has_aux=True)

    def of_part(part: _Noised, i: Any) -> tuple[Losses, Any]:
        dropout = jax.random.fold_in(key, i) if parts > 1 else key
        change, losses = gradient(
            state.params, part, dropout if task.config.model.dropout else None
        )
        return losses, change

    if parts == 1:
        return of_part(noised, 0)
    # Every part has a share of each device's samples, and of all levels.
    split = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0), noised)

    def add(total: Any, part: tuple[_Noised, jax.Array]) -> tuple[Any, None]:
        return jax.tree.map(lambda a, b: a + b / parts, total, of_part(*part)), None

    names = ("loss", *(f"loss_{name}" for name in task.config.loss.weights))
    zero = ({name: jnp.zeros(()) for name in names}, jax.tree.map(jnp.zeros_like, state.params))
    return scan(add, zero, (split, jnp.arange(parts)))[0]


def validation_loss(
    task: Task, params: Any, batch: Batch, index: Any = 0, noise: NoiseSpectrum | None = None
) -> jax.Array:
    """Return the plain loss [] on a numbered batch of held-out samples, with always the same noise.

    Args:
      noise: as in :func:`update`.
    """
    task = task.with_noise(noise)
    key = jax.random.fold_in(jax.random.key(task.config.seed), _VALIDATION)
    noised = _noised(task, batch, jax.random.fold_in(key, index), training=False)
    x0, sigma, denoiser = _estimate(task, params, noised, None)
    return squared_error(task.config, x0, noised.clean, sigma, denoiser.sigma_data)


def on_cpu() -> bool:
    """Return whether computations run on the processor by default."""
    return jax.default_backend() == "cpu"


def scan(body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, xs: Any) -> tuple[Any, Any]:
    """Do as ``jax.lax.scan``, but without a loop on CPU.

    There XLA runs convolutions inside loops without its threaded kernels, some seven times as
    slow; elsewhere a loop on the device saves the dispatch of every turn.
    """
    if not on_cpu():
        return jax.lax.scan(body, carry, xs)
    outputs = []
    for i in range(len(jax.tree.leaves(xs)[0])):
        carry, y = body(carry, jax.tree.map(lambda x, i=i: x[i], xs))
        outputs.append(y)
    return carry, jax.tree.map(lambda *parts: jnp.stack(parts), *outputs)
