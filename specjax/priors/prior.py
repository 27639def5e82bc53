"""The protocol of a prior, and what all priors of this package share.

A prior is what is known of the data, as an exact denoiser: ``prior(x, alpha, sigma)`` is
``E[x0 | x]`` of ``x = alpha x0 + sigma eps``. Those of this package compute in ``y = x / alpha``,
which has noise of standard deviation ``s = sigma / alpha``, so one formula serves VP and VE.

A prior of your own is any object with the members of :class:`Prior`; :func:`specjax.learn` takes it
like one of these. It works on samples or in coordinates of its choice, and its denoiser is written
in ``jax.numpy``. Here is that of data that are -1 or 1 in every number::

    class Signs:
        kind, shape, spectrum, held_out = "signs", (8, 8), None, None
        source, fingerprint = {"name": "signs"}, "signs of 8 x 8"

        def __call__(self, x, alpha, sigma):
            return jnp.tanh(alpha * x / sigma**2)

        def project(self, x):
            return x

        lift = project

    plan = sx.learn(Signs(), steps=4)

Register one with large arrays as a pytree, whose leaves are then arguments of what is compiled
instead of constants in it.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from specjax._core.arrays import Array
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic
from specjax.spectra.spectrum import Spectrum

LOG_TWO_PI = float(np.log(2 * np.pi))


class Prior(Protocol):
    """Knowledge of the data as a denoiser.

    A prior of a forward process whose noise has a spectrum also has it as ``noise``; samples are
    then in the data's own space.
    """

    @property
    def kind(self) -> str:
        """A word for the kind of prior, which plans and reports name."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample in the coordinates that the prior works in."""

    @property
    def spectrum(self) -> Spectrum | None:
        """The spectrum of the data, needed by the objective "transfer"; None without one."""

    @property
    def held_out(self) -> Prior | None:
        """A prior of data that this one has not seen, which decides; None: this one decides."""

    @property
    def source(self) -> Mapping[str, Any] | None:
        """Provenance as plain numbers and strings."""

    @property
    def fingerprint(self) -> str:
        """A text that is another one for other numbers: the cache of fine solutions goes by it."""

    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """Return ``E[x0 | x]`` [n, *shape] of ``x = alpha x0 + sigma eps``; alpha, sigma are []."""

    def project(self, x: Array) -> Array:
        """Map samples ``x`` in the data's own space to the prior's coordinates."""

    def lift(self, c: Array) -> Array:
        """Invert :meth:`project`: map coordinates ``c`` to samples."""


def prior_noise(prior: Any) -> NoiseSpectrum | None:
    """Return the noise of the forward process that a prior is for; None where it is white."""
    return anisotropic(getattr(prior, "noise", None))


def as_denoiser(prior: Any) -> Any:
    """Return a prior without what denoising does not use: provenance, conditions, what is held out.

    They belong to the structure of a pytree. Without them the priors of the two parts of a dataset
    share one compilation.
    """
    if not dataclasses.is_dataclass(prior):
        return prior
    bare = copy.copy(prior)
    for field in dataclasses.fields(prior):
        given = getattr(prior, field.name)
        if field.name in ("held_out", "source", "conditions"):
            object.__setattr__(bare, field.name, None)
        elif field.name == "inner" or isinstance(given, Spectrum):
            object.__setattr__(bare, field.name, as_denoiser(given))
    return bare


def per_alpha(x: Array, alpha: Array, sigma: Array) -> tuple[Array, Array]:
    """Return ``y = x / alpha`` and ``s = sigma / alpha`` in x's dtype, of at least float32.

    For pure noise, alpha = 0, an alpha is taken that is lost in the rounding of x.
    """
    x = jnp.asarray(x)
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    alpha, sigma = jnp.asarray(alpha, dtype), jnp.asarray(sigma, dtype)
    alpha = jnp.where(alpha == 0, jnp.finfo(dtype).eps / 4 * sigma, alpha)
    return x.astype(dtype) / alpha, sigma / alpha


def as_jax(x: Array, like: Array) -> Array:
    """Return a JAX array of the dtype of another one.

    NumPy arrays are viewed, see :func:`specjax._core.arrays.follows_the_rule`: JAX 0.10 would take
    a constant of a compiled function for the array itself elsewhere.
    """
    return jnp.asarray(x.view() if isinstance(x, np.ndarray) else x, like.dtype)


def inverse_and_volume(variance: Array) -> tuple[Array, Array]:
    """Return ``1 / t`` and ``sum log 2 pi t`` over the last axis, leaving out variances t of 0."""
    known = variance > 0
    safe = jnp.where(known, variance, 1)
    inverse = jnp.where(known, 1 / safe, 0)
    return inverse, jnp.where(known, jnp.log(safe) + LOG_TWO_PI, 0).sum(-1)


def fingerprint_of(kind: str, arrays: Iterable[Any]) -> str:
    """Return the SHA-256 of a kind and of numbers in float64, a piece at a time."""
    digest = hashlib.sha256(kind.encode())
    for array in arrays:
        flat = np.asarray(array).reshape(-1)
        digest.update(str(np.shape(array)).encode())
        for start in range(0, flat.size, 2**20):
            digest.update(np.asarray(flat[start : start + 2**20], "<f8").tobytes())
    return digest.hexdigest()
