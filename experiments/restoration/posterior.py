"""The exact posterior of a finite dataset with a Gaussian kernel, given a blurred measurement."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import specjax as sx


class ExactPosterior:
    """The posterior of ``x0 = x_i + h g`` given ``y = H x0 + n``, a mixture of Gaussians.

    In Fourier space, where a symmetric blur is diagonal with gain b, component i has the weight
    ``N(y; b x_i, h^2 b^2 + sigma_y^2)``, the mean ``x_i + k (y - b x_i)`` with
    ``k = h^2 b / (h^2 b^2 + sigma_y^2)``, and the variance ``h^2 (1 - k b)``.

    Args:
      prior: the dataset. measurement: the blur. basis: of a stationary spectrum.
      gain: [d], b in its directions.
    """

    def __init__(self, prior: sx.priors.Empirical, measurement: Any, spectrum: Any) -> None:
        self._basis, self._sigma = spectrum.basis, float(measurement.sigma)
        self._gain = np.real(np.asarray(measurement.multipliers)).ravel()
        if self._gain.size == 1:
            self._gain = np.full(spectrum.dimension, self._gain[0])
        self._width = float(prior.kernel_width)
        self._centres = np.asarray(self._basis.project(np.asarray(prior.samples, np.float64)))

    def _given(self, y: Any, alpha: Any, sigma: Any, x: Any) -> tuple[Any, Any, Any]:
        """Return logits [n, N], gains of y and of x [d], for coefficients given both."""
        b, s2 = self._gain, self._sigma**2
        precision = 1 / self._width**2 + b**2 / s2 + (alpha / sigma) ** 2
        pull_y, pull_x = b / s2 / precision, alpha / sigma**2 / precision
        total = self._width**2 * b**2 + s2
        logits = -_squares(y, b * self._centres, 1 / total)
        # x given y and the component: mean alpha (x_i + k (y - b x_i)), variance with the kernel's.
        k = self._width**2 * b / total
        variance = sigma**2 + alpha**2 * self._width**2 * (1 - k * b)
        logits = logits - _squares(
            x - alpha * k * y, alpha * (1 - k * b) * self._centres, 1 / variance
        )
        return logits, pull_y, pull_x

    def denoise(self, x: Any, alpha: Any, sigma: Any, y: Any) -> Any:
        """Return ``E[x0 | x, y]`` [n, 8, 8]."""
        cx, cy = self._basis.project(x), self._basis.project(y)
        logits, pull_y, pull_x = self._given(cy, alpha, sigma, cx)
        mean = jax.nn.softmax(logits, -1) @ jnp.asarray(self._centres, cx.dtype)
        kept = 1 - pull_y * self._gain - pull_x * alpha
        return self._basis.lift(kept * mean + pull_y * cy + pull_x * cx).astype(x.dtype)

    def sample(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a sample of the posterior for each measurement [n, 8, 8]."""
        c, b = self._basis.project(y), self._gain
        total = self._width**2 * b**2 + self._sigma**2
        logits = -np.asarray(_squares(c, b * self._centres, 1 / total))
        gumbel = rng.gumbel(size=logits.shape)
        chosen = self._centres[(logits + gumbel).argmax(1)]
        k = self._width**2 * b / total
        std = self._width * np.sqrt(1 - k * b)
        return self._basis.lift(chosen + k * (c - b * chosen) + std * rng.normal(size=c.shape))


def _squares(x: Any, centres: Any, precision: Any) -> Any:
    """Return ``sum precision (x - c)^2 / 2`` [n, N]."""
    root = precision**0.5
    a, c = x * root, centres * root
    xp = jnp if isinstance(x, jax.Array) else np
    c = xp.asarray(c, a.dtype)
    return ((a**2).sum(-1)[:, None] + (c**2).sum(-1)) / 2 - a @ c.T
