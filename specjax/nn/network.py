"""The network of a configuration, and the task of training it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from specjax._core import checks
from specjax.nn.denoiser import NetworkDenoiser, network_shape
from specjax.nn.noise_levels import noise_levels
from specjax.nn.run_file import RunDocument
from specjax.nn.train_step import Task
from specjax.nn.unet import UNet
from specjax.spectra.spectrum import Spectrum

_PARAMETERS = 2**32 - 3
"""What the key is for, see :mod:`specjax.nn.train_step`."""


class Network(NamedTuple):
    """A network without parameters.

    Attributes:
      denoiser: from parameters to the denoiser that they make.
      form: the parameters' places, shapes and dtypes. begin: makes those to begin with.
    """

    denoiser: Callable[[Any], NetworkDenoiser]
    form: Any
    begin: Callable[[], Any]


def network_of(document: RunDocument) -> Network:
    """The network of a run."""
    config = document.config
    model = config.model
    shape = network_shape(document.shape, model.spatial)
    dtype = jnp.bfloat16 if config.optimiser.precision == "bfloat16" else jnp.float32

    def make() -> UNet:
        key = jax.random.fold_in(jax.random.key(config.seed), _PARAMETERS)
        return UNet(
            shape, width=model.width, multipliers=model.multipliers, blocks=model.blocks,
            attention=model.attention, head=model.head, dropout=model.dropout,
            classes=len(document.classes), dtype=dtype, rngs=nnx.Rngs(key),
        )  # fmt: skip

    graph, form = nnx.split(nnx.eval_shape(make))

    def denoiser(params: Any) -> NetworkDenoiser:
        return NetworkDenoiser(params, graph, model.target, document.sigma_data, shape)

    return Network(denoiser, form, lambda: nnx.split(make())[1])


def task_of(document: RunDocument, denoiser: Any, spectrum: Spectrum) -> Task:
    """The task of training a denoiser on data of a spectrum, under its noise if it has one."""
    levels, noise = document.config.noise, spectrum.noise
    options = checks.named_values("noise_options", levels.noise_options)
    quantile = noise_levels(levels.noise_levels, spectrum, options)
    omits = noise is not None and noise.omitted > 0
    return Task(denoiser, len(document.classes), quantile, document.config, noise, omits)


def root_mean_square(spectrum: Spectrum) -> float:
    """Of the numbers of a sample: EDM's sigma_data, about 0 as the network sees it."""
    total = np.sum(spectrum.weights * spectrum.eigenvalues) + np.sum(spectrum.mean_power)
    return float(np.sqrt(total / np.sum(spectrum.weights)))
