"""A network, or any other denoiser, as a prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, value
from specjax._core.checks import UserError
from specjax._core.shown import Brief
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic
from specjax.noise.whitening import effective
from specjax.priors.prior import Prior, fingerprint_of
from specjax.sampling.denoisers import Within, within
from specjax.spectra.spectrum import Spectrum


@value(
    data=["denoise", "spectrum", "held_out", "noise", "conditions"],
    static=["shape"],
    provenance=["source"],
)
@dataclass(frozen=True, eq=False, repr=False)
class Network(Brief):
    """Any denoiser as a prior, on samples [n, *shape] in the data's own space.

    A denoiser that is a pytree (:class:`specjax.sampling.denoisers.Adapted` of a module, a trained
    network's) gives its arrays as leaves; any other callable is one leaf and no array.

    Args:
      denoise: ``(x, alpha, sigma) -> x0``.
      shape: of one sample.
      spectrum: of the data it was trained on.
      held_out: another prior that decides.
      source: provenance.
      noise: of the forward process that it was trained on, white by default; the spectrum becomes
        the effective one, and directions without noise are left as they are.
      conditions: what the denoiser gets as its fourth argument: labels [m] or a tree of arrays
        [m, ...], which the noises of learning share.

    Example:
      >>> prior = Network(sx.wiener(sx.Spectrum([3.0, 1.0])), (2,))
      >>> prior(np.array([[2.0, 2.0]]), 1.0, 1.0)
      array([[1.5, 1. ]])
    """

    kind: ClassVar[str] = "network"
    denoise: Callable[..., Array]
    shape: tuple[int, ...]
    spectrum: Spectrum | None = None
    held_out: Prior | None = None
    source: Mapping[str, Any] | None = None
    noise: NoiseSpectrum | None = None
    conditions: Any = None

    def __post_init__(self) -> None:
        if not callable(self.denoise):
            raise UserError(
                f"denoise of type {type(self.denoise).__name__}: give (x, alpha, sigma) -> x0"
            )
        object.__setattr__(self, "shape", checks.sample_shape(self.shape))
        object.__setattr__(self, "source", dict(self.source or {}))
        if self.noise is not None:
            self._color(anisotropic(self.noise))

    def _color(self, noise: NoiseSpectrum | None) -> None:
        """Take a noise: the spectrum becomes the effective one, the denoiser stays within it."""
        if noise is not None and noise.shape != self.shape:
            raise UserError(f"the noise is of samples of shape {noise.shape}, not {self.shape}")
        object.__setattr__(self, "noise", noise)
        if not isinstance(self.denoise, Within):
            object.__setattr__(self, "denoise", within(self.denoise, noise))
        if self.spectrum is not None and self.spectrum.noise is None:
            object.__setattr__(self, "spectrum", effective(self.spectrum, noise))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its arrays and its name: no more is known of a plain function."""
        arrays = [x for x in jax.tree.leaves(self.denoise) if isinstance(x, jax.Array | np.ndarray)]
        function = getattr(self.denoise, "__qualname__", type(self.denoise).__qualname__)
        noise = f" {self.noise.fingerprint}" if self.noise is not None else ""
        return fingerprint_of(f"{self.kind} {function} {self.shape}{noise}", arrays)

    def __call__(self, x: Array, alpha: Array, sigma: Array, *more: Any) -> Array:
        """Return the network's estimate of ``E[x0 | x]`` of x [n, *shape], with its conditions."""
        return self.denoise(x, alpha, sigma, *more)

    def project(self, x: Array) -> Array:
        """Return samples ``x`` as they are, but 0 in directions without noise."""
        return x if self.noise is None or not self.noise.omitted else self.noise.supported(x)

    def lift(self, c: Array) -> Array:
        """Return samples ``c`` as they are."""
        return c
