"""Noise with a spectrum: anisotropic Gaussian forward processes (2510.09660).

``x = alpha x0 + sigma eps`` with ``eps = T xi``, ``xi ~ N(0, I)`` and ``T = F^T diag(w) F``, F an
orthonormal transform of the samples, so that the noise has the covariance ``N = F^T diag(w^2) F``.
Isotropic noise is ``w = 1``. Where ``w`` vanishes the process leaves the data as they are: such
directions are *omitted*.

The steps of a sampler are linear, so only the noise that it starts from and adds changes, to T
times white noise. Data and noise seen through ``T^-1`` are those of the isotropic process
(:mod:`specjax.noise.whitening`).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from specjax._core import checks
from specjax._core.arrays import Array, as_float_array, concrete, follows_the_rule, namespace, value
from specjax._core.checks import UserError
from specjax.noise.bases import BASES, grid_of, transformed
from specjax.spectra.basis import Basis, mirror

_ROUNDING = 1e-5  # of the largest weight: the difference between files and dtypes
_MOST_RATIO = 1e6  # of the largest weight to the smallest: beyond it float32 has no digits left


@value(data=["weights", "own"], static=["shape", "basis", "spatial"], provenance=["source"])
@dataclass(frozen=True, eq=False)
class NoiseSpectrum:
    """The standard deviations of the forward noise, direction by direction.

    Args:
      weights: w, not negative: on the grid of frequencies [*grid], or [*grid, C] where channels
        differ; in the data's own basis [d]. :func:`noise_spectrum` makes those of named families.
      shape: shape of one sample: its grid and then at most one axis of channels, each of which has
        noise of its own.
      basis: "fourier", "cosine" (the DCT-II) or "data" (the eigenbasis of the data).
      spatial: number of axes of the grid, by default one of [L], two of [H, W] and
        [H, W, C], three of [T, H, W, C].
      own: eigenbasis for "data"; None for samples [d] that are coefficients in it.
      source: provenance of the weights, plain values.

    Raises:
      UserError: for weights that are negative, complex, not finite or all zero, of another shape,
        or different at k and -k; weights that span more than six decades.

    Example:
      >>> noise = NoiseSpectrum([2.0, 1.0, 0.0, 1.0], (4,))
      >>> noise.color(np.ones(4)), noise.variance
      (array([2., 2., 2., 2.]), np.float64(1.5))
    """

    weights: Array
    shape: tuple[int, ...]
    basis: str = "fourier"
    spatial: int | None = None
    own: Basis | None = None
    source: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        checks.one_of("basis", self.basis, BASES)
        if np.iscomplexobj(self.weights):
            raise UserError("weights are complex: give their absolute values, the noise is theirs")
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "weights", as_float_array(self.weights))
        if self.basis != "data":
            object.__setattr__(self, "spatial", len(grid_of(self.shape, self.spatial)))
        self._check_shape()
        known = concrete(self.weights)
        if known is None:
            return
        check_weights(known)
        if self.basis == "fourier":
            by_frequency = known.reshape(math.prod(self.grid), -1)
            gap = np.abs(by_frequency - by_frequency[mirror(self.grid)]).max()
            if gap > _ROUNDING * known.max():
                raise UserError(
                    "weights differ between a frequency k and -k: real noise needs the same at both"
                )

    def _check_shape(self) -> None:
        shape = tuple(self.weights.shape)
        allowed = [(math.prod(self.shape),)] if self.basis == "data" else [self.grid, self.shape]
        if shape not in allowed:
            words = " or ".join(map(str, dict.fromkeys(allowed)))
            raise UserError(
                f"weights has shape {shape}: noise in the basis {self.basis!r} of samples of shape "
                f"{self.shape} takes {words}"
            )
        if self.own is not None and tuple(self.own.shape) != self.shape:
            raise UserError(
                f"own is a basis of samples of shape {tuple(self.own.shape)}, the noise is of "
                f"{self.shape}"
            )

    @property
    def grid(self) -> tuple[int, ...]:
        """The sizes of the axes that have frequencies."""
        return self.shape[: self.spatial] if self.spatial else self.shape

    @functools.cached_property
    def isotropic(self) -> bool:
        """Tell whether all weights are known to be 1: white noise."""
        known = concrete(self.weights)
        return known is not None and bool((known == 1).all())

    @functools.cached_property
    def omitted(self) -> int:
        """The number of the d directions without noise; 0 while the weights are traced."""
        known = concrete(self.weights)
        return 0 if known is None else int((self.per_direction(known) == 0).sum())

    @property
    def may_omit(self) -> bool:
        """Tell whether a direction may have no noise, as is assumed of traced weights."""
        return concrete(self.weights) is None or self.omitted > 0

    @property
    def variance(self) -> Array:
        """The mean variance of a number of the noise []."""
        return (self.weights**2).mean()

    def per_direction(self, weights: Array | None = None) -> Array:
        """Return the ``weights`` of all directions [d], in the order of a flattened sample."""
        w = self.weights if weights is None else weights
        if self.basis == "data":
            return w
        full = w if w.shape == self.shape else w[..., None]
        return namespace(w).broadcast_to(full, self.shape).ravel()

    def color(self, white: Array) -> Array:
        """Make noise of this spectrum from white noise [..., *shape]: ``T white``."""
        return white if self.isotropic else self._times(self.weights, white)

    def whiten(self, x: Array) -> Array:
        """Compute ``T^-1 x`` of x [..., *shape]; 0 in directions without noise."""
        if self.isotropic:
            return x
        xp, present = namespace(self.weights), self.weights > 0
        return self._times(xp.where(present, 1 / xp.where(present, self.weights, 1), 0), x)

    def supported(self, x: Array) -> Array:
        """Project x [..., *shape] on the directions that have noise."""
        known = concrete(self.weights)
        if known is not None and (known > 0).all():
            return x
        return self._times((self.weights > 0).astype(self.weights.dtype), x)

    def left_out(self, x: Array) -> Array:
        """Project x [..., *shape] on the directions without noise, exactly where that is small."""
        return self._times((self.weights == 0).astype(self.weights.dtype), x)

    def score(self, x: Array, x0: Array, alpha: Array, sigma: Array) -> Array:
        """Compute the score of x from an estimate of x0: ``-N^-1 E[eps | x] / sigma``.

        Here ``E[eps | x] = (x - alpha x0) / sigma``. With omitted directions it is the score of
        the part of x in the others, given the part in these.
        """
        return -self.whiten(self.whiten(x - alpha * x0)) / sigma**2

    def _times(self, weights: Array, x: Array) -> Array:
        """Compute ``F^T diag(weights) F x`` in the dtype of x; whole numbers in that of floats."""
        if tuple(x.shape[x.ndim - len(self.shape) :]) != self.shape:
            raise UserError(f"x has shape {tuple(x.shape)}: the noise is of [..., {self.shape}]")
        xp, given = namespace(weights, x), x.dtype
        # No FFT takes less than float32, and the weights need its digits.
        dtype = jnp.promote_types(given, jnp.float32)
        weights, x = xp.asarray(weights, dtype), x.astype(dtype)
        if self.basis != "data":
            axes = len(self.grid)
            product = transformed(self.basis, weights, x, axes, len(self.shape) - axes)
        elif self.own is not None:
            product = self.own.lift(weights * self.own.project(x)).astype(dtype)
        elif len(self.shape) == 1:
            product = weights * x
        else:
            raise UserError(
                "the noise is in the data's own basis, which its file does not hold: give it by "
                "dataclasses.replace(noise, own=spectrum.basis)"
            )
        return product.astype(given) if jnp.issubdtype(given, jnp.floating) else product

    def document(self) -> dict[str, Any]:
        """Return what a file keeps: the family and its parameters, or the weights."""
        known = dict(self.source or {})
        if "family" not in known:
            known["weights"] = np.asarray(self.weights, np.float64).tolist()
        known |= {"basis": self.basis, "shape": list(self.shape), "spatial": self.spatial}
        return {**known, "fingerprint": self.fingerprint}

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of basis, shape and weights, to four digits."""
        weights = np.asarray(self.per_direction(np.asarray(self.weights, np.float64)))
        rounded = np.char.mod("%.4e", weights).tobytes()
        return hashlib.sha256(f"{self.basis} {self.shape}".encode() + rounded).hexdigest()

    @property
    def name(self) -> str:
        """The noise in words, for tables and errors."""

        def brief(x: Any) -> str:
            return " ".join(f"{v:g}" for v in np.ravel(x))

        source = self.source or {}
        family = str(source.get("family", "weights of its own")).replace("_", "-")
        more = {k: source.get(k) for k in ("omit", "offset") if source.get(k)}
        parameters = {**(source.get("parameters") or {}), **more}
        given = ", ".join(f"{k} {brief(v)}" for k, v in parameters.items())
        basis = "" if self.basis == "fourier" else f" in the {self.basis} basis"
        return family + (f" ({given})" if given else "") + basis


def check_weights(weights: np.ndarray) -> None:
    """Refuse weights that cannot be the standard deviations of a noise."""
    if not checks.are_within(weights, checks.MOST_SCALE):
        raise UserError(
            "weights of the noise have NaN or infinite values, or numbers beyond "
            f"{checks.MOST_SCALE:g}"
        )
    if (weights < 0).any():
        raise UserError(
            f"weights of the noise have {int((weights < 0).sum())} negative value(s), the least "
            f"{weights.min():.3g}: standard deviations are not negative"
        )
    if not weights.any():
        raise UserError("weights of the noise are all zero: there is no noise")
    least = weights[weights > 0].min()
    if weights.max() > _MOST_RATIO * least:
        raise UserError(
            f"weights of the noise go from {least:.3g} to {weights.max():.3g}: give weights within "
            f"a factor of {_MOST_RATIO:g}, or 0 for a band without noise"
        )


def same_noise(a: NoiseSpectrum | None, b: NoiseSpectrum | None) -> bool:
    """Return whether two noises have the same covariance, up to rounding; None is isotropic."""
    a, b = anisotropic(a), anisotropic(b)
    if a is None or b is None:
        return a is b
    if (a.basis, a.shape) != (b.basis, b.shape) or (a.basis != "data" and a.spatial != b.spatial):
        return False
    u, v = (np.asarray(noise.per_direction(), np.float64) for noise in (a, b))
    return bool(np.abs(u - v).max() <= _ROUNDING * max(u.max(), v.max()))


def check_noise(
    made: NoiseSpectrum | None, used: NoiseSpectrum | None, *, what: str, where: str
) -> None:
    """Refuse a schedule, plan or probe made for one noise where there is another.

    Args:
      made: noise that it was made for; None is isotropic.
      used: noise where it is used.
      what: name of the schedule, plan or probe in the error.
      where: name of the place of use in the error.

    Raises:
      UserError: if they differ.
    """
    if not same_noise(made, used):
        first, second = ("isotropic" if noise is None else noise.name for noise in (made, used))
        raise UserError(
            f"{what} was made for {first} noise, {where} has {second} noise: make it again for the "
            "same noise"
        )


def anisotropic(noise: NoiseSpectrum | None) -> NoiseSpectrum | None:
    """Return the noise, or None where it is isotropic, so that compiled programs do nothing."""
    return None if noise is None or noise.isotropic else noise


def colored(noise: NoiseSpectrum | None, white: jax.Array) -> jax.Array:
    """Give white noise [..., *shape] the spectrum of a noise; None is isotropic."""
    return white if noise is None else jnp.asarray(noise.color(white))


def without_rounding(samples: jax.Array, noise: NoiseSpectrum | None) -> jax.Array:
    """Set samples [..., *shape] to 0 in directions without noise.

    There rounding errors grow by ``1 / alpha`` as the data would: to 4e-3 where a schedule begins
    at alpha = 3e-5.
    """
    if noise is None or not noise.may_omit:
        return samples
    return jnp.asarray(noise.supported(samples))


@follows_the_rule
def covariance(noise: NoiseSpectrum) -> Array:
    """Compute N [d, d] over flattened samples."""
    d = math.prod(noise.shape)
    units = jnp.eye(d, dtype=noise.weights.dtype).reshape(d, *noise.shape)
    return noise.color(noise.color(units)).reshape(d, d)
