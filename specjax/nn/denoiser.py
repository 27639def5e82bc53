"""A network as a denoiser: what it predicts, and the samples that it takes.

A target is one of the adapters of :mod:`specjax.sampling.denoisers`. The network is given logsnr,
that of pure noise as :data:`LEAST_LOGSNR`; one of flow matching is given its time
(:func:`flow_level`). Flax is loaded with the first network, not with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from specjax._core.arrays import Array, value
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.sampling.denoisers import (
    Denoiser,
    NetworkCall,
    flow_time,
    from_edm,
    from_eps,
    from_flow,
    from_v,
    logsnr_level,
)

if TYPE_CHECKING:
    from specjax.nn.config import TrainConfig
    from specjax.nn.run import RunInfo
    from specjax.nn.unet import UNet
    from specjax.sampling.guidance import Guided


LEAST_LOGSNR = -30.0
"""The least level that a network is told: here nothing of the data is left (alpha_bar = 1e-13)."""


def flow_level(s: Array) -> Array:
    """Return the time t of flow matching as ``30 (1/2 - t)``, in the range of logsnr."""
    return 30 * (0.5 - flow_time(s))


class Target(NamedTuple):
    """A row of the table: ``denoiser(network, sigma_data)``.

    ``needs_signal`` is what the answer is called where it says nothing of the data in pure noise.
    """

    denoiser: Callable[[NetworkCall, float], Denoiser]
    summary: str
    needs_signal: str | None = None


TARGETS: Mapping[str, Target] = {
    "f": Target(
        lambda network, sigma_data: from_edm(network, sigma_data=sigma_data, level=logsnr_level),
        "EDM's F: noise at low levels of noise, data at high ones (2206.00364, table 1)",
        "F (EDM)",
    ),
    "eps": Target(lambda network, _: from_eps(network), "the noise (2006.11239)", "eps"),
    "v": Target(lambda network, _: from_v(network), "alpha eps - sigma x0 (2202.00512)"),
    "flow": Target(
        lambda network, _: from_flow(network, level=flow_level),
        "eps - x0, the velocity of flow matching (2210.02747)",
    ),
}
"""What a network may predict, by name."""


def network_shape(shape: tuple[int, ...], spatial: int | None = None) -> tuple[int, ...]:
    """Return the [*sides, channels] that the network sees of samples of a shape.

    Args:
      shape: one sample's, as the data have it. spatial: how many of its axes are sides; by
        default one of [T], two of [H, W] and of [H, W, C].

    Raises:
      UserError: if there is no such network.

    Example:
      >>> network_shape((8, 8)), network_shape((400,)), network_shape((400, 2), spatial=1)
      ((8, 8, 1), (400, 1), (400, 2))
    """
    sides = min(len(shape), 2) if spatial is None else spatial
    if sides not in (1, 2) or len(shape) - sides not in (0, 1):
        raise UserError(
            f"samples of shape {tuple(shape)} with spatial = {sides}: the network takes [T], "
            "[H, W] or [H, W, C], and [T, C] with spatial = 1"
        )
    return tuple(shape) if len(shape) > sides else (*shape, 1)


@value(data=["params"], static=["graph", "target", "sigma_data", "shape"])
@dataclass(frozen=True, eq=False, repr=False)
class NetworkDenoiser(Brief):
    """A network as a denoiser: ``denoise(x, alpha, sigma, labels=None) -> x0``; a pytree.

    Attributes:
      params: the network's parameters.
      graph: its static part, from ``nnx.split``.
      target: a name in TARGETS.
      sigma_data: root mean square of the data.
      shape: [*sides, channels] as the network sees samples.
    """

    params: Any
    graph: Any
    target: str
    sigma_data: float
    shape: tuple[int, ...]

    @property
    def needs_signal(self) -> str | None:
        """The name of the network's answer, if that says nothing of the data in pure noise."""
        return TARGETS[self.target].needs_signal

    def with_params(self, params: Any) -> NetworkDenoiser:
        """Return the same network with other ``params``."""
        return replace(self, params=params)

    def __call__(
        self,
        x: jax.Array,
        alpha: jax.Array,
        sigma: jax.Array,
        labels: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """``E[x0 | x]`` of x [n, *sample]; alpha and sigma are [] or [n]; a key means dropout."""
        from flax import nnx

        unet = nnx.merge(self.graph, self.params)

        def network(scaled: jax.Array, level: jax.Array) -> jax.Array:
            return unet(scaled, jnp.maximum(level, LEAST_LOGSNR), labels, key=key)

        denoise = TARGETS[self.target].denoiser(network, self.sigma_data)
        n = len(x)
        levels = (n,) + (1,) * len(self.shape)
        wide = (jnp.reshape(jnp.broadcast_to(jnp.asarray(v, x.dtype), (n,)), levels)
                for v in (alpha, sigma))  # fmt: skip
        estimate = denoise(x.reshape(n, *self.shape), *wide)
        return jnp.asarray(estimate, x.dtype).reshape(x.shape)


@value(data=["denoiser", "labels"])
@dataclass(frozen=True, eq=False, repr=False)
class Labelled(Brief):
    """A conditional network with the class of every sample given, labels [n] or []; a pytree."""

    denoiser: NetworkDenoiser | Guided
    labels: Any

    def __call__(self, x: jax.Array, alpha: jax.Array, sigma: jax.Array) -> jax.Array:
        """``E[x0 | x, label]`` of x [n, *sample]."""
        told = jnp.broadcast_to(self.labels, (len(x),))
        return jnp.asarray(self.denoiser(x, alpha, sigma, told))


def untrained(run: RunInfo) -> NetworkDenoiser:
    """Return the denoiser of a run with shapes and dtypes in place of parameters."""
    from flax import nnx

    graph, params = nnx.split(nnx.eval_shape(lambda: _unet(run.config, run.shape, run.classes)))
    shape = network_shape(run.shape, run.config.model.spatial)
    return NetworkDenoiser(params, graph, run.config.model.target, run.sigma_data, shape)


def initial_params(run: RunInfo) -> Any:
    """Return the parameters that the training of a run starts from."""
    from flax import nnx

    return nnx.split(_unet(run.config, run.shape, run.classes))[1]


def parameter_bytes(config: TrainConfig, shape: tuple[int, ...]) -> int:
    """Return the memory that the parameters of an unconditional network on samples take."""
    from flax import nnx

    unet = nnx.eval_shape(lambda: _unet(config, shape, 0))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(nnx.split(unet)[1]))


_PARAMETERS = 2**32 - 3
"""The key of the initial parameters; the others are in :mod:`specjax.nn.train_step`."""


def _unet(config: TrainConfig, shape: tuple[int, ...], classes: int) -> UNet:
    from flax import nnx

    from specjax.nn.unet import UNet

    model = config.model
    key = jax.random.fold_in(jax.random.key(config.seed), _PARAMETERS)
    half = config.optimiser.precision == "bfloat16"
    return UNet(
        network_shape(shape, model.spatial), width=model.width, multipliers=model.multipliers,
        blocks=model.blocks, attention=model.attention, head=model.head, dropout=model.dropout,
        classes=classes, dtype=jnp.bfloat16 if half else jnp.float32, rngs=nnx.Rngs(key),
    )  # fmt: skip
