"""Published networks of galaxies, read from the package galaxygrad 0.1.9 without importing it.

The package brings weights and the class of the model (Equinox, an MLP mixer of 0.6 M parameters). A
network is VP with ``alpha_bar = exp(-t)``, t in [0, 10]; its answer is the score; its images are
``log(x + 1) / 0.1`` of the brightness x.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import specjax as sx
from experiments.data import AbsentError

VERSION = "0.1.9"
INSTALL = f"pip install --no-deps galaxygrad=={VERSION} einops equinox"
SHAPE = (1, 32, 32)
ENDS = (math.exp(-10.0), 1.0)
NETWORKS = {"hsc": "eqx_hsc_ScoreNet32.eqx", "ztf": "eqx_ZTF_ScoreNet32.eqx"}
"""Files of the galaxies of Hyper Suprime-Cam and of the Zwicky Transient Facility."""

_LAST_TIME = 10.0
_ARCHITECTURE = (4, 64, 512, 512, 4, _LAST_TIME)  # patch, hidden and mixing sizes, blocks


@functools.cache
def published(name: str) -> sx.priors.Network:
    """Open a network as a prior; its parameters are arguments of what is compiled.

    Raises:
      AbsentError: if the package is not installed.
    """
    import equinox

    folder = _folder()
    model = _module(folder / "models_eqx.py").ScoreNet(SHAPE, *_ARCHITECTURE, key=jax.random.key(0))
    model = equinox.tree_deserialise_leaves(folder / NETWORKS[name], model)
    denoise = sx.from_eps(jax.tree_util.Partial(_noise, model), level=_time)
    return sx.priors.Network(denoise, SHAPE, source={"name": f"galaxygrad {VERSION} {name}"})


def boxed(name: str, batch: int = 32) -> sx.BlackBox:
    """Hide a network: a function of NumPy arrays that is called in batches."""
    denoise = jax.jit(published(name).denoise)

    def answer(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
        short = batch - len(x)  # one shape is compiled
        filled = np.concatenate([x, np.zeros((short, *SHAPE), x.dtype)]) if short else x
        return np.asarray(denoise(filled, alpha, sigma))[: len(x)]

    return sx.BlackBox(answer, SHAPE, batch)


def _folder() -> Path:
    """Find the folder of the package."""
    found = importlib.util.find_spec("galaxygrad")
    if found is None or not found.submodule_search_locations:
        raise AbsentError(f"no galaxygrad: {INSTALL}")
    version = importlib.metadata.version("galaxygrad")
    if version != VERSION:
        raise AbsentError(f"galaxygrad {version} is another version: {INSTALL}")
    return Path(found.submodule_search_locations[0])


def _module(path: Path) -> Any:
    """Import a file by its path: the package itself would load all networks."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _time(s: Any) -> jax.Array:
    """Give the network's time: ``alpha_bar = 1 / (1 + s^2) = exp(-t)``."""
    return jnp.log1p(jnp.asarray(s) ** 2)


def _noise(model: Any, x: jax.Array, time: jax.Array) -> jax.Array:
    """Estimate the noise in x [n, *shape]: the score is ``-eps / sigma``."""
    score = jax.vmap(lambda one: model(one, time))(x)
    return -jnp.sqrt(-jnp.expm1(-time)) * score
