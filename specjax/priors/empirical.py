"""The exact denoiser of a finite dataset, each sample widened by a Gaussian kernel."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, follows_the_rule, value
from specjax._core.shown import Brief
from specjax.priors.attention import average
from specjax.priors.kernel_width import choose_width
from specjax.priors.prior import LOG_TWO_PI, as_jax, fingerprint_of, per_alpha
from specjax.priors.split import split_samples
from specjax.spectra.spectrum import Spectrum

PIECE = 4096
"""The most samples of the dataset that are taken at once."""


@value(
    data=["offsets", "half_squares", "centre", "kernel_width", "held_out"],
    static=["shape", "piece"],
    provenance=["source"],
)
@dataclass(frozen=True, eq=False, repr=False)
class Empirical(Brief):
    """``x0 = x_i + h g``, i uniform and ``g ~ N(0, I)``, on samples [n, *shape] as they are.

    With ``t^2 = h^2 + s^2`` and ``w = softmax_i(-|y - x_i|^2 / 2 t^2)``

        ``E[x0 | y] = sum_i w_i (x_i + h^2 / t^2 (y - x_i))``.

    ``h = 0`` is allowed: for s -> 0 the answer is then the nearest sample. The data are constants:
    derivatives are taken with respect to x, alpha and sigma. Make one by :meth:`from_samples`.

    Attributes:
      offsets: [N, D], flattened samples less ``centre`` [D], their mean.
      half_squares: [N], ``|offsets|^2 / 2``.
      kernel_width: [], ``h``.
      shape: of one sample.
      piece: the most of them that are taken at once.
      held_out: the same of data kept aside.
      source: provenance.
    """

    kind: ClassVar[str] = "empirical"
    offsets: Array
    half_squares: Array
    centre: Array
    kernel_width: Array
    shape: tuple[int, ...]
    piece: int = PIECE
    held_out: Empirical | None = None
    source: Mapping[str, Any] | None = None

    @classmethod
    def from_samples(
        cls,
        x: Any,
        kernel_width: float | None = None,
        *,
        piece: int = PIECE,
        dimension: int | None = None,
        **split: Any,
    ) -> Empirical:
        """Make the prior of a random part of the samples, and that of the rest.

        Args:
          x: as ``data`` in :func:`prior_of`.
          split: its held_out, seed, data_range, source.
          kernel_width: ``h``; None takes the one under which the held-out part is most likely (of
            halves where nothing is held out: then it is wide for the whole). Both parts get it.
          piece: samples that are taken at once: [n, piece] numbers are held.
          dimension: of the subspace that all samples are in, on which the most likely width
            depends; by default they are in no smaller one.

        Raises:
          UserError: for what :func:`prior_of` refuses, a width below zero, and held-out samples
            that are all copies.

        Example:
          >>> prior = Empirical.from_samples(np.array([[-1.0], [1.0]]), 0.0, held_out=0)
          >>> prior(np.array([[0.5]]), 1.0, 1.0).round(4)  # tanh(0.5)
          array([[0.4621]])
        """
        checks.whole_number("piece", piece)
        parts = split_samples(x, **split)
        selected: dict[str, Any] = {}
        if kernel_width is None:
            fitted, validation = (part.reshape(len(part), -1) for part in parts.for_selection())
            kernel_width, likelihood = choose_width(fitted, validation, dimension)
            selected = {"held_out_log_likelihood": likelihood}
        width = checks.not_negative("kernel_width", kernel_width)

        def fit(
            samples: np.ndarray, about: dict[str, Any], held_out: Empirical | None
        ) -> Empirical:
            about = {**about, "kernel_width": width}
            if about["part"] != "held out":
                about |= selected
            flat = samples.reshape(len(samples), -1)
            centre = flat.mean(0, dtype=np.float64).astype(flat.dtype)
            offsets = flat - centre
            half_squares = np.einsum("nd,nd->n", offsets, offsets, dtype=np.float64) / 2
            return cls(
                offsets, half_squares.astype(flat.dtype), centre, np.asarray(width, flat.dtype),
                samples.shape[1:], piece, held_out, about,
            )  # fmt: skip

        return parts.fit(fit)

    @property
    def samples(self) -> Array:
        """The dataset [N, *shape]."""
        return (self.offsets + self.centre).reshape(-1, *self.shape)

    @functools.cached_property
    def spectrum(self) -> Spectrum:
        """The spectrum of the density: of the samples (over N), and ``h^2`` on each eigenvalue.

        It is computed when first asked for: of 3,072 numbers it takes seconds.
        """
        spectrum = Spectrum.from_samples(self.samples, source=self.source)
        width, biased = float(self.kernel_width), 1 - 1 / len(self.offsets)
        return replace(spectrum, eigenvalues=spectrum.eigenvalues * biased + width**2)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        arrays = (self.offsets, self.centre, self.kernel_width)
        return fingerprint_of(f"{self.kind} {self.shape}", arrays)

    @follows_the_rule
    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """Return ``E[x0 | x]`` of x [..., *shape]; alpha and sigma are []."""
        y, s = per_alpha(x, alpha, sigma)
        flat = self._flat(y)
        mean, _ = self._average(flat, self._level(s)[1])
        estimate = mean + self._kept(s) * (flat - mean)
        return (estimate + as_jax(self.centre, y)).reshape(y.shape).astype(jnp.asarray(x).dtype)

    @follows_the_rule
    def log_density(self, x: Array, s: Array = 0.0) -> Array:  # type: ignore[assignment]
        """Return ``log p_s(x)`` [...] of x [..., *shape], with noise of standard deviation ``s``.

        There is no density where h and s are both 0.
        """
        y, s = per_alpha(x, 1.0, s)  # type: ignore[arg-type]
        flat = self._flat(y)
        variance, precision = self._level(s)
        level = self._average(flat, precision)[1][:, 0] - precision * (flat**2).sum(1) / 2
        volume = flat.shape[1] * (LOG_TWO_PI + jnp.log(variance)) / 2
        count = math.log(len(self.offsets))
        return (level - volume - count).reshape(y.shape[: y.ndim - len(self.shape)])

    def _flat(self, y: Array) -> Array:
        return y.reshape(-1, self.offsets.shape[1]) - as_jax(self.centre, y)

    def _kept(self, s: Array) -> Array:
        """Return ``h^2 / t^2``, the share of ``y - x_i`` that the posterior mean keeps."""
        kernel = as_jax(self.kernel_width, s) ** 2
        least = 10 * jnp.finfo(s.dtype).tiny ** 0.5  # its square, in a derivative, is not 0
        return kernel / jnp.maximum(kernel + s**2, least)

    def _level(self, s: Array) -> tuple[Array, Array]:
        """Return ``t^2`` and ``1 / t^2``, t at least where logits still exceed their rounding.

        Below that (for h = 0) one sample has all the weight, whatever t is.
        """
        limits = jnp.finfo(s.dtype)
        least = 2 * limits.eps * as_jax(self.half_squares, s).mean() + limits.tiny**0.5
        variance = jnp.maximum(as_jax(self.kernel_width, s) ** 2 + s**2, least)
        return variance, 1 / variance

    def _average(self, y: Array, precision: Array) -> tuple[Array, Array]:
        offsets, half_squares = as_jax(self.offsets, y), as_jax(self.half_squares, y)
        return average(y, precision, offsets, half_squares, self.piece)

    def project(self, x: Array) -> Array:
        """Return samples ``x`` as they are, as :meth:`lift` does."""
        return x

    lift = project
