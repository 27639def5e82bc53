"""What a measurement is, and its three kinds: diagonal in some basis, block averages, any map."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np

from specjax._core.arrays import Array, namespace, value
from specjax._core.checks import UserError
from specjax.spectra.basis import Basis, FourierBasis
from specjax.spectra.spectrum import Spectrum

Damping = Callable[[Any], Any]
"""From an eigenvalue of H H^T to c >= 0."""

_MOST_CG, _CG_TOLERANCE = 100, 1e-6


class Measurement(Protocol):
    """The protocol of a measurement: three linear maps and the standard deviation of its noise."""

    @property
    def name(self) -> str:
        """The name in tables."""

    @property
    def sigma(self) -> Any:
        """The standard deviation of the noise of y, a number."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of one sample; None for that of y."""

    def forward(self, x: Array) -> Array:
        """Return ``H x`` of samples [..., *shape]."""

    def adjoint(self, y: Array) -> Array:
        """Return ``H^T y``."""

    def solve(self, r: Array, c: Damping) -> Array:
        """Return ``(H H^T + c(H H^T))^-1 r`` of residuals r of the shape of y."""

    def gains_on(self, spectrum: Spectrum) -> np.ndarray | None:
        """Return the gains h [d], None where H is not diagonal in the spectrum's directions.

        Args:
          spectrum: of the data, with its basis.
        """


@value(data=["multipliers", "basis", "sigma"], static=["name", "domain", "shape", "spatial"])
@dataclass(frozen=True, eq=False)
class Diagonal:
    """A measurement that multiplies in some domain; y has the shape of the samples.

    Attributes:
      multipliers: [] or one for each number of a sample; complex for shifts in Fourier space.
      sigma: the standard deviation of the noise.
      name: the name in tables.
      domain: "samples", "fourier" (of the first ``spatial`` axes) or "basis".
      shape: of one sample; None for any.
      spatial: the number of axes of "fourier".
      basis: of "basis"; None for coefficients [..., d].
    """

    multipliers: Array
    sigma: Any
    name: str
    domain: str = "samples"
    shape: tuple[int, ...] | None = None
    spatial: int = 0
    basis: Basis | None = None

    def forward(self, x: Array) -> Array:
        """Return ``H x`` of samples [..., *shape]."""
        return self._apply(x, lambda h, _: h)

    def adjoint(self, y: Array) -> Array:
        """Return ``H^T y``."""
        return self._apply(y, lambda h, _: h.conj())

    def solve(self, r: Array, c: Damping) -> Array:
        """Return ``(H H^T + c)^-1 r``; where both are 0 it is 0."""

        def inverse(h: Array, xp: Any) -> Array:
            power: Any = abs(h)
            total = power**2 + c(power**2)
            return xp.where(total > 0, 1 / xp.where(total > 0, total, 1), 0)

        return self._apply(r, inverse)

    def _apply(self, x: Array, function: Callable[[Array, Any], Array]) -> Array:
        xp = namespace(x)
        h = function(xp.asarray(self.multipliers), xp)
        if self.domain == "samples":
            return (x * h).astype(x.dtype)
        if self.domain == "basis":
            if self.basis is None:
                return (x * h).astype(x.dtype)
            return self.basis.lift(self.basis.project(x) * h).astype(x.dtype)
        assert self.shape is not None
        axes = tuple(range(x.ndim - len(self.shape), x.ndim - len(self.shape) + self.spatial))
        found = xp.fft.ifftn(xp.fft.fftn(x, axes=axes) * h, axes=axes)
        return found.real.astype(x.dtype)

    def gains_on(self, spectrum: Spectrum) -> np.ndarray | None:
        """Return |h| [d] in the directions of a spectrum; None where H is not diagonal there.

        The phase of a shift turns y and changes no distance.
        """
        h, d = np.abs(np.asarray(self.multipliers)), spectrum.dimension
        if h.ndim == 0:
            return np.full(d, float(h))
        if self.domain == "basis":
            if h.shape != (d,):
                raise UserError(f"gains has shape {h.shape}: give one for each of {d} eigenvalues")
            return h
        basis = spectrum.basis
        if self.domain != "fourier" or not isinstance(basis, FourierBasis):
            return None
        if (basis.shape, basis.spatial) != (self.shape, self.spatial):
            return None
        per_frequency = h.reshape(math.prod(basis.grid), -1)
        return np.broadcast_to(per_frequency, (len(per_frequency), basis.vectors.shape[1])).ravel()


@value(data=["sigma"], static=["factor", "shape", "spatial"])
@dataclass(frozen=True, eq=False)
class Downsample:
    """Means of blocks of ``factor`` samples along each of the first ``spatial`` axes."""

    sigma: Any
    factor: int
    shape: tuple[int, ...]
    spatial: int

    @property
    def name(self) -> str:
        """The name in tables."""
        return f"downsample:{self.factor}"

    def forward(self, x: Array) -> Array:
        """Return the means of blocks."""
        lead = x.ndim - len(self.shape)
        split = [(n // self.factor, self.factor) for n in self.shape[: self.spatial]]
        shape = (*x.shape[:lead], *sum(split, ()), *self.shape[self.spatial :])
        return x.reshape(shape).mean(tuple(range(lead + 1, lead + 2 * self.spatial, 2)))

    def adjoint(self, y: Array) -> Array:
        """Return each mean in all places of its block, divided by their number."""
        xp, lead = namespace(y), y.ndim - len(self.shape)
        for axis in range(lead, lead + self.spatial):
            y = xp.repeat(y, self.factor, axis)
        return y / self.factor**self.spatial

    def solve(self, r: Array, c: Damping) -> Array:
        """Return ``(H H^T + c)^-1 r``, where H H^T is a number."""
        own = float(self.factor) ** -self.spatial
        return r / (own + c(own))

    def gains_on(self, spectrum: Spectrum) -> np.ndarray | None:
        """Return None: frequencies fold onto each other."""
        return None


@value(data=["sigma"], static=["function", "transposed", "shape", "name"])
@dataclass(frozen=True, eq=False)
class Linear:
    """Any linear map by a function and its adjoint; conjugate gradients invert it."""

    function: Callable[[Any], Any]
    transposed: Callable[[Any], Any]
    sigma: Any
    shape: tuple[int, ...]
    name: str = "linear"

    def forward(self, x: Array) -> Array:
        """Return ``H x``."""
        return self.function(x)

    def adjoint(self, y: Array) -> Array:
        """Return ``H^T y``."""
        return self.transposed(y)

    def solve(self, r: Array, c: Damping) -> Array:
        """Return ``(H H^T + c)^-1 r`` where c is a number, the same for all eigenvalues."""
        damping = c(1.0)
        found: Array = jax.scipy.sparse.linalg.cg(
            lambda v: self.function(self.transposed(v)) + damping * v, jax.numpy.asarray(r),
            tol=_CG_TOLERANCE, maxiter=_MOST_CG,
        )[0]  # fmt: skip
        return found

    def gains_on(self, spectrum: Spectrum) -> np.ndarray | None:
        """Return None: nothing is known of it."""
        return None
