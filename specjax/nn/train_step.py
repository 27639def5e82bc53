"""One update of the parameters: the loss, its gradient, AdamW, the average.

The plain loss is the weighted squared error of x0; frequency terms (:mod:`specjax.nn.terms`) may be
added to what is minimised. They are logged beside it, and validation is by the plain loss alone, so
that runs with and without them can be compared.
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
from specjax.nn.loops import repeat
from specjax.nn.noise_levels import WEIGHTINGS, Quantile, stratified
from specjax.nn.terms import ramp, term_values, weighted
from specjax.noise.noise_spectrum import NoiseSpectrum, colored
from specjax.sampling.denoisers import Within


class TrainState(NamedTuple):
    """Everything that changes in training.

    Attributes:
      step: updates made []. params, ema: of the network. optimiser: of optax.
      failed: the first step whose loss or gradient was not finite [], -1 while there is none.
    """

    step: jax.Array
    params: Any
    ema: Any
    optimiser: Any
    failed: jax.Array


class Batch(NamedTuple):
    """Samples [..., *sample] in the network's units and their labels [...], if there are any."""

    samples: Any
    labels: Any


@dataclass(frozen=True)
class Task:
    """What an update needs besides the state.

    Attributes:
      denoiser: from parameters to the denoiser that they make.
      classes: how many there are (0: the network is not conditional).
      quantile: of the noise levels, see :mod:`specjax.nn.noise_levels`.
      noise: its spectrum; None for white noise. omits: whether it leaves directions out, in which
        the data are known and nothing is learned.
    """

    denoiser: Callable[[Any], NetworkDenoiser]
    classes: int
    quantile: Quantile
    config: TrainConfig
    noise: NoiseSpectrum | None = None
    omits: bool = False

    def with_noise(self, noise: NoiseSpectrum | None) -> Task:
        """With other arrays of the noise; as it is where there are none."""
        return self if noise is None else replace(self, noise=noise)

    def estimator(self, denoiser: Callable[..., Any]) -> Callable[..., Any]:
        """The denoiser, told what the noise leaves out."""
        if not self.omits:
            return denoiser
        assert self.noise is not None
        return Within(denoiser, self.noise)


_NOISE, _VALIDATION = 2**32 - 1, 2**32 - 2
"""What keys are for: beyond the numbers of samples, whose keys are made of the same seed."""


def learning_rate(config: OptimiserConfig) -> Callable[[Any], Any]:
    """The learning rate over updates: a linear warm-up, then its decay."""
    warmup = min(config.warmup, config.steps)
    peak = config.learning_rate
    if config.decay == "constant":
        after: Any = optax.constant_schedule(peak)
    else:
        after = optax.cosine_decay_schedule(peak, max(config.steps - warmup, 1))
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after], [warmup])


def optimiser(config: OptimiserConfig) -> optax.GradientTransformation:
    """AdamW behind a clipped gradient."""
    adamw = optax.adamw(learning_rate(config), b2=config.beta2, weight_decay=config.weight_decay)
    return optax.chain(optax.clip_by_global_norm(config.clip), adamw)


def begin(task: Task, params: Any) -> TrainState:
    """The state before the first update."""
    state = optimiser(task.config.optimiser).init(params)
    ema = jax.tree.map(jnp.copy, params)
    return TrainState(jnp.zeros((), jnp.int32), params, ema, state, jnp.full((), -1, jnp.int32))


def update(
    task: Task, state: TrainState, batches: Batch, noise: NoiseSpectrum | None = None
) -> tuple[TrainState, dict[str, Any]]:
    """Updates by batches [k, n, ...]: the state after them and metrics [k].

    The metrics are the plain loss, each term without its weight ("loss_amplitude"), and the norm of
    the gradient of their weighted sum.

    Randomness is a function of the seed and the step, over the whole batch: neither the devices
    nor the parts that a batch is computed in change it (but for dropout).

    Args:
      noise: the task's, as an argument of a compiled program and not one of its constants.
    """
    return repeat(partial(_one_update, task.with_noise(noise)), state, batches)


def _one_update(task: Task, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Any]]:
    config = task.config.optimiser
    root = jax.random.fold_in(jax.random.key(task.config.seed), _NOISE)
    for_batch, for_dropout = jax.random.split(jax.random.fold_in(root, state.step))
    noised = _noised(task, batch, for_batch)
    losses, gradient = _gradient(task, state, noised, for_dropout)
    norm = optax.tree.norm(gradient)
    change, optimiser_state = optimiser(config).update(gradient, state.optimiser, state.params)
    params = optax.apply_updates(state.params, change)
    # An average over all updates at first, so that it forgets how it began.
    decay = jnp.minimum(config.ema, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(lambda e, p: e + (1 - decay) * (p - e), state.ema, params)
    bad = ~(jnp.isfinite(losses["loss"]) & jnp.isfinite(norm)) & (state.failed < 0)
    failed = jnp.where(bad, state.step, state.failed)
    metrics = {**losses, "gradient_norm": norm}
    return TrainState(state.step + 1, params, ema, optimiser_state, failed), metrics


class _Noised(NamedTuple):
    """A batch with its noise, levels and labels."""

    clean: jax.Array
    noise: jax.Array
    logsnr: jax.Array
    labels: jax.Array | None


def _noised(task: Task, batch: Batch, key: jax.Array, *, training: bool = True) -> _Noised:
    config = task.config.optimiser
    for_noise, for_levels, for_flip, for_label = jax.random.split(key, 4)
    clean, labels = batch.samples, batch.labels
    n = len(clean)
    if config.flip and training:
        turned = jnp.flip(clean, axis=2)
        left = jax.random.bernoulli(for_flip, shape=(n,) + (1,) * (clean.ndim - 1))
        clean = jnp.where(left, turned, clean)
    if labels is not None and training:
        hidden = jax.random.bernoulli(for_label, config.drop_label, (n,))
        labels = jnp.where(hidden, task.classes, labels)
    noise = colored(task.noise, jax.random.normal(for_noise, clean.shape, clean.dtype))
    return _Noised(clean, noise, task.quantile(stratified(for_levels, n)), labels)


class _Estimate(NamedTuple):
    """What the network says of a noised batch: x0 [n, *sample], at levels sigma [n]."""

    x0: jax.Array
    sigma: jax.Array
    denoiser: NetworkDenoiser


def _estimate(task: Task, params: Any, noised: _Noised, key: jax.Array | None) -> _Estimate:
    sigma = jnp.exp(-noised.logsnr / 2)
    wide = sigma.reshape(-1, *(1,) * (noised.clean.ndim - 1))
    noisy = noised.clean + wide * noised.noise
    denoiser = task.denoiser(params)
    one = jnp.ones((), sigma.dtype)
    x0 = task.estimator(denoiser)(noisy, one, sigma, noised.labels, key=key)
    return _Estimate(x0, sigma, denoiser)


def _plain(task: Task, noised: _Noised, found: _Estimate) -> jax.Array:
    """The weighted squared error of x0, per number of a sample."""
    error = jnp.mean((found.x0 - noised.clean) ** 2, axis=tuple(range(1, found.x0.ndim)))
    weight = WEIGHTINGS[task.config.noise.weighting].weight
    return jnp.mean(weight(found.sigma, found.denoiser.sigma_data) * error)


Losses = dict[str, jax.Array]


def _loss(
    task: Task, step: jax.Array, params: Any, noised: _Noised, key: jax.Array | None
) -> tuple[jax.Array, Losses]:
    """What is minimised, and what it is made of: the plain loss and the terms."""
    found = _estimate(task, params, noised, key)
    plain = _plain(task, noised, found)
    config = task.config.loss
    if not config.weights:
        return plain, {"loss": plain}
    shape = (-1, *found.denoiser.shape)
    samples = found.x0.reshape(shape), noised.clean.reshape(shape)
    terms = term_values(config, *samples, found.sigma, found.denoiser.sigma_data)
    named = {f"loss_{name}": value for name, value in terms.items()}
    return plain + weighted(config, terms, ramp(config, step)), {"loss": plain, **named}


def _gradient(task: Task, state: TrainState, noised: _Noised, key: jax.Array) -> tuple[Losses, Any]:
    """The losses and the gradient, summed over the parts of a batch."""
    parts = task.config.optimiser.accumulate
    dropout = key if task.config.model.dropout else None
    gradient = jax.grad(partial(_loss, task, state.step), has_aux=True)

    def found(part: _Noised, own: jax.Array | None) -> tuple[Losses, Any]:
        change, losses = gradient(state.params, part, own)
        return losses, change

    if parts == 1:
        return found(noised, dropout)
    # Every part has a share of each device's samples, and of all levels.
    split = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0), noised)

    def add(total: Any, part: tuple[_Noised, jax.Array]) -> tuple[Any, None]:
        noised_part, i = part
        own = None if dropout is None else jax.random.fold_in(dropout, i)
        return jax.tree.map(lambda a, b: a + b / parts, total, found(noised_part, own)), None

    names = ("loss", *(f"loss_{name}" for name in task.config.loss.weights))
    zero = ({name: jnp.zeros(()) for name in names}, jax.tree.map(jnp.zeros_like, state.params))
    return repeat(add, zero, (split, jnp.arange(parts)))[0]


def validation_loss(
    task: Task, params: Any, batch: Batch, index: Any = 0, noise: NoiseSpectrum | None = None
) -> jax.Array:
    """The plain loss [] on a numbered batch of held-out samples, with always the same noise."""
    task = task.with_noise(noise)
    key = jax.random.fold_in(jax.random.key(task.config.seed), _VALIDATION)
    noised = _noised(task, batch, jax.random.fold_in(key, index), training=False)
    return _plain(task, noised, _estimate(task, params, noised, None))
