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
from specjax.priors.attention import average
from specjax.priors.kernel_width import choose_width
from specjax.priors.prior import LOG_TWO_PI, fingerprint_of, own, scaled
from specjax.priors.split import Parts, parts_of
from specjax.spectra.spectrum import Spectrum

PIECE = 4096
"""Samples of the dataset that are taken at once; up to so many there is one piece."""


@value(
    data=["offsets", "half_squares", "centre", "kernel_width"],
    static=["shape", "piece"],
    host=["held_out", "source"],
)
@dataclass(frozen=True, eq=False)
class Empirical:
    """``x0 = x_i + h g``, i uniform and ``g ~ N(0, I)``, on samples [n, *shape] as they are.

    With ``t^2 = h^2 + s^2`` and ``w = softmax_i(-|y - x_i|^2 / 2 t^2)``

        ``E[x0 | y] = sum_i w_i (x_i + h^2 / t^2 (y - x_i))``.

    ``h = 0`` is allowed: for s -> 0 the answer is then the nearest sample. The data are constants:
    derivatives are with respect to the sample and its level. Made by :meth:`from_samples`.

    Attributes:
      offsets: [N, D], flattened samples less ``centre`` [D], their mean.
      half_squares: [N], ``|offsets|^2 / 2``. kernel_width: [], ``h``.
      shape: of one sample. piece: the most of them that are taken at once.
      held_out: the same of data kept aside. source: provenance.
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
        held_out: float = 0.5,
        seed: int = 0,
        data_range: tuple[float, float] | None = None,
        piece: int = PIECE,
        dimension: int | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> Empirical:
        """The dataset of a random part of the samples, and of the rest.

        Args:
          x: [N, ...] or batches, in the network's units. float64 stays, all else is float32.
          kernel_width: ``h``; None takes the one under which the held-out part is most likely (of
            halves where nothing is kept aside: then it is wide for the whole). Both parts get it.
          held_out: the fraction kept aside, of which ``.held_out`` is made; 0 gives None.
          seed: of the split. data_range: (low, high) of the samples, mapped to [-1, 1].
          piece: samples that are taken at once: [n, piece] numbers are held.
          dimension: of the subspace that all samples are in, on which the most likely width
            depends; by default they are in no smaller one.

        Raises:
          ValueError: for NaN or infinite samples, integers without a range, parts below two
            samples, a width below zero, and held-out samples that are all copies.

        Example:
          >>> prior = Empirical.from_samples(np.array([[-1.0], [1.0]]), 0.0, held_out=0)
          >>> prior(np.array([[0.5]]), 1.0, 1.0).round(4)  # tanh(0.5)
          array([[0.4621]])
        """
        checks.whole_number("piece", piece)
        if kernel_width is not None:
            kernel_width = _check_width(kernel_width)
        parts = parts_of(x, held_out=held_out, seed=seed, data_range=data_range, source=source)
        facts: dict[str, Any] = {"kernel_width": kernel_width}
        if kernel_width is None:
            facts = _chosen(parts, dimension)
        aside = None
        if parts.held_out is not None:
            about = parts.about("held out", kernel_width=facts["kernel_width"])
            aside = cls._of(parts.held_out, piece, about)
        return cls._of(parts.training, piece, parts.about(parts.of_training, **facts), aside)

    @classmethod
    def _of(
        cls, x: np.ndarray, piece: int, about: dict[str, Any], held_out: Empirical | None = None
    ) -> Empirical:
        flat = x.reshape(len(x), -1)
        centre = flat.mean(0, dtype=np.float64).astype(x.dtype)
        offsets = flat - centre
        half_squares = np.einsum("nd,nd->n", offsets, offsets, dtype=np.float64) / 2
        width = about["kernel_width"]
        return cls(
            offsets, half_squares.astype(x.dtype), centre, np.asarray(width, x.dtype), x.shape[1:],
            piece, held_out, about,
        )  # fmt: skip

    @property
    def samples(self) -> Array:
        """The dataset [N, *shape]."""
        return (self.offsets + self.centre).reshape(-1, *self.shape)

    @functools.cached_property
    def spectrum(self) -> Spectrum:
        """That of the density: of the samples (over N), and ``h^2`` on every eigenvalue.

        Found when it is first asked for: of 3,072 numbers it takes seconds.
        """
        found = Spectrum.from_samples(self.samples, source=self.source)
        width, biased = float(self.kernel_width), 1 - 1 / len(self.offsets)
        return replace(found, eigenvalues=found.eigenvalues * biased + width**2)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        return fingerprint_of(f"{self.kind} {self.shape}", (self.offsets, self.centre,
                                                            self.kernel_width))  # fmt: skip

    @follows_the_rule
    def __call__(self, x: Array, alpha: Array, sigma: Array) -> Array:
        """``E[x0 | x]`` of x [..., *shape]; alpha and sigma are []."""
        y, s = scaled(x, alpha, sigma)
        flat = self._flat(y)
        mean, _ = self._average(flat, self._level(s)[1])
        found = mean + self._kept(s) * (flat - mean)
        return (found + own(self.centre, y)).reshape(y.shape).astype(jnp.asarray(x).dtype)

    @follows_the_rule
    def log_density(self, x: Array, s: Array = 0.0) -> Array:  # type: ignore[assignment]
        """``log p_s(x)`` [...] of x [..., *shape], data with noise of standard deviation s.

        There is none where h and s are both 0.
        """
        y, s = scaled(x, 1.0, s)  # type: ignore[arg-type]
        flat = self._flat(y)
        variance, precision = self._level(s)
        level = self._average(flat, precision)[1][:, 0] - precision * (flat**2).sum(1) / 2
        volume = flat.shape[1] * (LOG_TWO_PI + jnp.log(variance)) / 2
        count = math.log(len(self.offsets))
        return (level - volume - count).reshape(y.shape[: y.ndim - len(self.shape)])

    def _flat(self, y: Array) -> Array:
        return y.reshape(-1, self.offsets.shape[1]) - own(self.centre, y)

    def _kept(self, s: Array) -> Array:
        """``h^2 / t^2``: how much of its own place a sample of the kernels keeps."""
        kernel = own(self.kernel_width, s) ** 2
        least = 10 * jnp.finfo(s.dtype).tiny ** 0.5  # its square, in a derivative, is not 0
        return kernel / jnp.maximum(kernel + s**2, least)

    def _level(self, s: Array) -> tuple[Array, Array]:
        """``t^2`` and ``1 / t^2``, of the least t whose logits the dtype can tell from rounding.

        Below it (for h = 0) one sample has all the weight, at any t.
        """
        limits = jnp.finfo(s.dtype)
        least = 2 * limits.eps * own(self.half_squares, s).mean() + limits.tiny**0.5
        variance = jnp.maximum(own(self.kernel_width, s) ** 2 + s**2, least)
        return variance, 1 / variance

    def _average(self, y: Array, precision: Array) -> tuple[Array, Array]:
        rows, half_squares = own(self.offsets, y), own(self.half_squares, y)
        return average(y, precision, rows, half_squares, self.piece)

    def project(self, x: Array) -> Array:
        """Samples as they are."""
        return x

    def lift(self, c: Array) -> Array:
        """Samples as they are."""
        return c


def _check_width(given: Any) -> float:
    number = isinstance(given, int | float | np.number) and not isinstance(given, bool)
    if not (number and 0 <= given < math.inf):
        raise ValueError(
            f"kernel_width = {given!r}: give a number of at least 0, or None for the most likely"
        )
    return float(given)


def _chosen(parts: Parts, dimension: int | None) -> dict[str, Any]:
    """The width, and the likelihood that it gave to samples not in the dataset."""
    fitted, judges = (x.reshape(len(x), -1) for x in parts.judged())
    width, likelihood = choose_width(fitted, judges, dimension)
    return {"kernel_width": width, "held_out_log_likelihood": likelihood}
