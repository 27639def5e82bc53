"""Independent Gaussian directions and the linear denoiser that acts on them: plain numbers.

The transfer functions and losses see nothing else of the data, the forward noise and the denoiser.
A :class:`specjax.gaussian.task.GaussianTask` resolves all three into modes once: eigenvalues in
units of the noise, weights in those of the loss, the denoiser's response.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, as_float_array, concrete, namespace, value
from specjax.gaussian.probe import Probe
from specjax.spectra.quadrature import MEANS, VARIANCES, grouped, nodes_of
from specjax.spectra.response import Measured
from specjax.spectra.spectrum import Spectrum


@value(data=["eigenvalues", "mean", "weights", "mean_weights", "response", "denoiser_error"])
@dataclass(frozen=True, eq=False)
class Modes:
    """K independent directions; a pytree of arrays that any transformation of JAX sees whole.

    Attributes:
      eigenvalues: [K], variances.
      mean: [K], coefficients of the mean.
      weights: [K], how much an error of the variance counts.
      mean_weights: [K], how much an error of the mean counts.
      response: what a measured denoiser does to each direction, None for the ideal one.
      denoiser_error: [], the part of the posterior variance by which each of the denoiser's
        answers is wrong at random, None for answers without errors.
    """

    eigenvalues: Array
    mean: Array
    weights: Array
    mean_weights: Array
    response: Measured | None = None
    denoiser_error: Array | None = None

    @property
    def dimension(self) -> int:
        """K, the number of directions."""
        return int(self.eigenvalues.shape[0])

    @property
    def mean_power(self) -> Array:
        """``mean_weights mean^2`` [K]: the weight of the squared relative error of the mean."""
        return self.mean_weights * self.mean**2

    @property
    def columns(self) -> np.ndarray:
        """Eigenvalues, mean and both weights as one array [4, K] of float64."""
        parts = (self.eigenvalues, self.mean, self.weights, self.mean_weights)
        return np.stack([np.asarray(part, np.float64) for part in parts])

    def quadrature(self, nodes: int) -> Modes:
        """Replace the directions by about ``nodes`` on which smooth losses are the same.

        The gain of a measured denoiser is no smooth function of the eigenvalue: with it,
        neighbours are grouped instead, with about four nodes for each of ``nodes`` groups
        (:func:`specjax.spectra.quadrature.grouped`). It runs on the host.
        """
        if self.eigenvalues.size <= nodes:
            return self
        if self.response is not None:
            return self._grouped(nodes, self.response)
        xp, dtype = namespace(self.eigenvalues), self.eigenvalues.dtype
        rule = [xp.asarray(column, dtype) for column in nodes_of(self.columns, nodes)]
        return Modes(rule[0], rule[1], rule[2], rule[3], denoiser_error=self.denoiser_error)

    def _grouped(self, groups: int, response: Measured) -> Modes:
        if self.eigenvalues.size <= (VARIANCES + MEANS) * (groups + 1):  # such nodes already
            return self
        nodes = grouped(self.columns, np.asarray(response.values)[:, 1], groups)
        own, probed = (np.asarray(x.eigenvalues, np.float64) for x in (self, response))
        # The response keeps the eigenvalues that were probed, these may have been floored since.
        floored = np.maximum(nodes.gains @ own, np.finfo(float).tiny)
        eigenvalues = nodes.eigenvalues * (nodes.gains @ probed / floored)
        combined = response.combined(eigenvalues, nodes.gains, nodes.biases)
        return Modes(*nodes[:4], combined, self.denoiser_error)

    @property
    def in_float64(self) -> Modes:
        """A copy in float64 arrays of NumPy."""
        return jax.tree.map(lambda x: np.asarray(x, np.float64), self)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the numbers, in hexadecimal."""
        digest = hashlib.sha256(self.columns.astype("<f8").tobytes())
        for leaf in jax.tree.leaves((self.response, self.denoiser_error)):
            digest.update(np.asarray(leaf, "<f8").tobytes())
        return digest.hexdigest()


def modes_of(
    spectrum: Spectrum | Modes,
    *,
    denoiser: Probe | Measured | None = None,
    denoiser_error: Any = None,
    in_data_units: bool = False,
) -> Modes:
    """Resolve a spectrum, and the denoiser that acts on it, into modes.

    Args:
      spectrum: of data, or under a noise (:func:`specjax.effective`); modes are taken as they are.
      denoiser: a probe of this spectrum, or a response, in place of the ideal denoiser.
      denoiser_error: the part of the posterior variance ``lambda s^2 / (lambda + s^2)`` by which
        each answer is wrong in each direction, at random and independently at each call.
      in_data_units: whether an error counts in units of the data; then a direction of a spectrum
        under a noise weighs as much as the noise's variance there (:mod:`specjax.noise.whitening`).

    Raises:
      UserError: for a probe of another spectrum or under another noise, and an error that is
        negative or not finite.
    """
    if isinstance(spectrum, Modes):
        modes, scale = spectrum, None
    else:
        spectrum = denoiser.on(spectrum) if isinstance(denoiser, Probe) else spectrum
        modes = Modes(spectrum.eigenvalues, spectrum.mean, spectrum.weights, spectrum.mean_weights)
        scale = spectrum.whitening.variance if spectrum.whitening and in_data_units else None
    if denoiser is not None:
        response = denoiser.response if isinstance(denoiser, Probe) else denoiser
        modes = replace(modes, response=response)
    if denoiser_error is not None:
        modes = replace(modes, denoiser_error=_checked_error(denoiser_error))
    if scale is None:
        return modes
    weights, mean_weights = modes.weights * scale, modes.mean_weights * scale
    return replace(modes, weights=weights, mean_weights=mean_weights)


def _checked_error(given: Any) -> Array | None:
    """Return the error as an array [], or None where it is known to be 0."""
    known = concrete(given)
    if known is None:
        return as_float_array(given)
    part = checks.not_negative("denoiser_error", known.item() if known.ndim == 0 else given)
    return as_float_array(given) if part else None
