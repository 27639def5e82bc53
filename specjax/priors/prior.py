"""What a prior is, and what all of them share.

A prior is what is known of the data, as an exact denoiser: ``prior(x, alpha, sigma)`` is
``E[x0 | x]`` of ``x = alpha x0 + sigma eps``. All of them compute in ``y = x / alpha``, which has
noise of standard deviation ``s = sigma / alpha``, so one formula serves VP and VE.
"""

from __future__ import annotations

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
    """What is known of the data, as a denoiser; a pytree whose leaves are its numbers.

    Attributes:
      kind: the rung of the ladder. shape: of one sample in the coordinates that it works in.
      spectrum: of the data it stands for, or None.
      held_out: a prior of the same kind, fitted to data that this one has not seen, or None.
      source: provenance as plain numbers and strings.
      fingerprint: SHA-256 of the numbers.

    A prior under a noise with a spectrum has it as ``noise``, see :func:`noise_of`.
    """

    @property
    def kind(self) -> str:
        """The name of the rung."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample in the coordinates that it works in."""

    @property
    def spectrum(self) -> Spectrum | None:
        """What a Gaussian knows of the data it stands for."""

    @property
    def held_out(self) -> Prior | None:
        """The same of data that were kept aside."""

    @property
    def source(self) -> Mapping[str, Any] | None:
        """Where it comes from; not kept by transformations."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""

    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """``E[x0 | x]`` [n, *shape] of ``x = alpha x0 + sigma eps``; alpha and sigma are []."""

    def project(self, x: Array) -> Array:
        """Samples in the data's own space to the coordinates that the prior works in."""

    def lift(self, c: Array) -> Array:
        """The inverse of :meth:`project`."""


def noise_of(prior: Any) -> NoiseSpectrum | None:
    """The noise of the forward process that a prior answers for; None where it is white.

    Samples are then of the data's own space, and noise that starts them is of this spectrum.
    """
    return anisotropic(getattr(prior, "noise", None))


def scaled(x: Array, alpha: Array, sigma: Array) -> tuple[Array, Array]:
    """``y = x / alpha`` [...] and ``s = sigma / alpha`` [] in x's dtype, of at least float32."""
    x = jnp.asarray(x)
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    alpha = jnp.asarray(alpha, dtype)
    return x.astype(dtype) / alpha, jnp.asarray(sigma, dtype) / alpha


def own(x: Array, like: Array) -> Array:
    """A JAX array of a dtype like another's. NumPy's are viewed: see ``_values.follows_the_rule``,
    JAX 0.10 would take a constant of a compiled function for the array itself elsewhere."""
    return jnp.asarray(x.view() if isinstance(x, np.ndarray) else x, like.dtype)


def fingerprint_of(kind: str, arrays: Iterable[Any]) -> str:
    """SHA-256 of a kind and of numbers in float64, a piece at a time."""
    digest = hashlib.sha256(kind.encode())
    for array in arrays:
        flat = np.asarray(array).reshape(-1)
        digest.update(str(np.shape(array)).encode())
        for start in range(0, flat.size, 2**20):
            digest.update(np.asarray(flat[start : start + 2**20], "<f8").tobytes())
    return digest.hexdigest()
