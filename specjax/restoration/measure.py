"""Measurements ``y = H x0 + n``, ``n ~ N(0, sigma^2 I)``: blur, masks, downsampling, noise.

A measurement is a value with three linear maps on samples [..., *shape]: ``forward`` (H),
``adjoint`` (H^T) and ``solve`` (``(H H^T + c)^-1``, where c may be a function of H H^T). Most are
diagonal somewhere: blur and band limits in Fourier space, noise in any basis, a mask in the samples
themselves. Where that place is the basis of the data's spectrum, what a sampler does is a closed
form per direction.

>>> one = blur(1.5, (32, 32), sigma=0.05)
>>> one.forward(np.ones((1, 32, 32))).mean().round(6)
np.float64(1.0)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from specjax._core import checks
from specjax._core.arrays import as_float_array, concrete
from specjax._core.checks import UserError
from specjax.restoration.measurement import Diagonal, Downsample, Linear, Measurement
from specjax.spectra.basis import Basis

__all__ = [
    "Measurement", "blur", "downsample", "gains", "linear", "lowpass", "mask", "named", "noise"
]  # fmt: skip


def gains(h: Any, *, sigma: float, basis: Basis | None = None) -> Diagonal:
    """Measure each direction of a spectrum with a gain of its own, ``y = h x0 + n``.

    Args:
      h: [d], one for each eigenvalue; of any sign.
      sigma: the standard deviation of the noise, in units of the data.
      basis: of the spectrum; None for samples that are coefficients [..., d].

    Raises:
      UserError: for gains that are complex or not finite, and a sigma below 0.
    """
    h = _real("gains", h)
    if h.ndim != 1:
        raise UserError(f"gains has shape {h.shape}: give one number for each eigenvalue")
    return Diagonal(h, checks.not_negative("sigma", sigma), "gains", "basis", basis=basis)


def noise(sigma: float) -> Diagonal:
    """Measure the samples themselves with noise, ``y = x0 + n``: denoising, in any basis.

    Args:
      sigma: the standard deviation of the noise, in units of the data.
    """
    return Diagonal(np.array(1.0), checks.positive("sigma", sigma), "noise")


def blur(
    kernel: Any, shape: tuple[int, ...], *, sigma: float, spatial: int | None = None
) -> Diagonal:
    """Blur by a kernel with periodic borders, and add noise.

    Args:
      kernel: the standard deviation of a Gaussian in pixels, or an array with one axis for each
        blurred axis, whose middle stays in place.
      shape: of one sample.
      sigma: the standard deviation of the noise, in units of the data.
      spatial: how many axes are blurred; by default all of [L] and [H, W], two of [H, W, C].

    Raises:
      UserError: for a kernel that is complex, not finite or wider than the sample, and for another
        number of axes.

    Example:
      >>> blur(np.ones((3, 3)) / 9, (8, 8), sigma=0.1).name
      'blur'
    """
    shape, spatial = _grid(shape, spatial)
    grid, sigma = shape[:spatial], checks.not_negative("sigma", sigma)
    if np.ndim(kernel) == 0:
        width = checks.positive("kernel", kernel)
        if width > min(grid):
            raise UserError(
                f"kernel = {width:g} is wider than the sample, {grid}: give a standard deviation "
                "in pixels below its size"
            )
        frequencies = np.meshgrid(*map(np.fft.fftfreq, grid), indexing="ij")
        response = np.exp(-2 * (np.pi * width) ** 2 * sum(f**2 for f in frequencies))
    else:
        response = _response(_real("kernel", kernel), grid)
    name = f"blur:{kernel:g}" if np.ndim(kernel) == 0 else "blur"
    return Diagonal(_over_channels(response, shape), sigma, name, "fourier", shape, spatial)


def lowpass(
    cutoff: float, shape: tuple[int, ...], *, sigma: float, spatial: int | None = None
) -> Diagonal:
    """Keep the frequencies up to a share ``cutoff`` of the highest along an axis, and add noise.

    Args:
      cutoff: from 0 to 1.
      shape: as in :func:`blur`.
      sigma: likewise.
      spatial: likewise.
    """
    shape, spatial = _grid(shape, spatial)
    cutoff = checks.number("cutoff", cutoff, 0, 1, "a share of the highest frequency, 0 to 1")
    frequencies = np.meshgrid(*map(np.fft.fftfreq, shape[:spatial]), indexing="ij")
    kept = np.sqrt(sum(f**2 for f in frequencies)) <= cutoff / 2
    multipliers = _over_channels(kept.astype(np.float64), shape)
    sigma = checks.not_negative("sigma", sigma)
    return Diagonal(multipliers, sigma, f"lowpass:{cutoff:g}", "fourier", shape, spatial)


def downsample(
    factor: int, shape: tuple[int, ...], *, sigma: float, spatial: int | None = None
) -> Downsample:
    """Average blocks of ``factor`` pixels along each axis, and add noise.

    Args:
      factor: of at least 2, which divides the blurred axes.
      shape: as in :func:`blur`.
      sigma: likewise.
      spatial: likewise.

    Raises:
      UserError: for a factor that does not divide the sizes.
    """
    shape, spatial = _grid(shape, spatial)
    factor = checks.whole_number("factor", factor, 2)
    if any(n % factor for n in shape[:spatial]):
        raise UserError(f"factor = {factor} does not divide the sizes {shape[:spatial]}")
    return Downsample(checks.not_negative("sigma", sigma), factor, shape, spatial)


def mask(observed: Any, *, sigma: float) -> Diagonal:
    """Measure some of the numbers of a sample, with noise; what y has of the others is ignored.

    Args:
      observed: truth values, or 0 and 1, in the shape of one sample.
      sigma: the standard deviation of the noise, in units of the data.

    Raises:
      UserError: for other values, and where nothing is observed.
    """
    seen = np.asarray(observed)
    if not np.isin(seen, (0, 1)).all() or not seen.any():
        raise UserError("observed: give truth values in the shape of a sample, some of them true")
    sigma, share = checks.not_negative("sigma", sigma), seen.mean()
    return Diagonal(seen.astype(np.float64), sigma, f"mask:{share:.2g}", "samples", seen.shape)


def linear(
    function: Callable[[Any], Any], adjoint: Callable[[Any], Any], shape: tuple[int, ...], *,
    sigma: float, name: str = "linear",
) -> Linear:  # fmt: skip
    """Measure by any linear function of batches [n, *shape] in JAX, and its adjoint.

    Args:
      function: ``x -> H x``.
      adjoint: ``y -> H^T y``.
      shape: of one sample.
      sigma: the standard deviation of the noise, above 0.
      name: the name in tables.

    Raises:
      UserError: where the two are not adjoint, ``<H x, y> = <x, H^T y>``, on random vectors.
    """
    sigma = checks.positive("sigma", sigma)
    shape, rng = checks.sample_shape(shape), np.random.default_rng(0)
    x = rng.standard_normal((1, *shape)).astype(np.float32)
    hx = np.asarray(function(x))
    y = rng.standard_normal(hx.shape).astype(np.float32)
    back = np.asarray(adjoint(y))
    size = float(np.linalg.norm(hx) * np.linalg.norm(y))
    if back.shape != x.shape or abs(np.vdot(hx, y) - np.vdot(x, back)) > 1e-3 * size:
        raise UserError(
            f"adjoint: it is none of function on shape {shape}: give H^T, with "
            "<H x, y> = <x, H^T y>"
        )
    return Linear(function, adjoint, sigma, shape, name)


def named(text: str, shape: tuple[int, ...], *, sigma: float) -> Diagonal | Downsample:
    """Make the measurement of a text such as "blur:2.0", "mask:seen.png" or "noise".

    Args:
      text: a name, and behind a colon its number, or of a mask a picture that is white where a
        sample is observed; "mask:box" hides the middle half of each axis.
      shape: as in :func:`blur`.
      sigma: likewise.

    Raises:
      UserError: for an unknown name, a number that is missing or none, a picture that cannot be
        read or is of another size, and as the functions do.
    """
    name, colon, rest = text.partition(":")
    checks.one_of("measurement", name, ("blur", "lowpass", "downsample", "mask", "noise"))
    if name == "noise" and not colon:
        return noise(sigma)
    if name == "mask" and rest:
        return mask(_observed(rest, _grid(shape, None)), sigma=sigma)
    try:
        amount = float(rest)
    except ValueError:
        amount = math.nan
    if name in ("noise", "mask") or not math.isfinite(amount):
        raise UserError(
            f"measurement = {text!r}: give noise, mask:box, mask:PICTURE, or a name and a number: "
            "blur:2.0"
        )
    if name == "downsample":
        return downsample(int(amount) if amount == int(amount) else 0, shape, sigma=sigma)
    return {"blur": blur, "lowpass": lowpass}[name](amount, shape, sigma=sigma)


def _observed(where: str, grid: tuple[tuple[int, ...], int]) -> np.ndarray:
    """Return which numbers of a sample a mask observes: all but a box, or what is white."""
    from specjax.data.image_folder import read_picture

    shape, spatial = grid
    if where == "box":
        seen = np.ones(shape[:spatial], bool)
        seen[tuple(slice(n // 4, n // 4 + -(-n // 2)) for n in shape[:spatial])] = False
    else:
        seen = read_picture(where, colour=False) > 0
    if seen.shape != shape[:spatial]:
        raise UserError(
            f"mask = {where}: it is of size {seen.shape} and samples of {shape[:spatial]}: give a "
            "picture of their size"
        )
    return np.broadcast_to(seen.reshape(seen.shape + (1,) * (len(shape) - spatial)), shape)


def _real(name: str, given: Any) -> np.ndarray:
    if np.iscomplexobj(given):
        raise UserError(f"{name} is complex: give real numbers")
    found = np.asarray(concrete(as_float_array(given)), np.float64)
    if not checks.are_within(found, checks.MOST_SCALE):
        raise UserError(f"{name} has NaN or infinite values")
    return found


def _grid(shape: Any, spatial: int | None) -> tuple[tuple[int, ...], int]:
    shape = checks.sample_shape(shape)
    axes = min(len(shape), 2) if spatial is None else spatial
    return shape, checks.whole_number("spatial", axes, 1, len(shape))


def _response(kernel: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Return the Fourier gains of a kernel, real where it is symmetric."""
    if kernel.ndim != len(grid):
        raise UserError(
            f"kernel has {kernel.ndim} axes for {len(grid)} blurred ones of sizes {grid}"
        )
    if any(k > n for k, n in zip(kernel.shape, grid, strict=True)):
        raise UserError(f"kernel of shape {kernel.shape} is wider than the sample, {grid}")
    padded = np.zeros(grid)
    padded[tuple(slice(k) for k in kernel.shape)] = kernel
    response = np.fft.fftn(np.roll(padded, [-(k // 2) for k in kernel.shape], range(kernel.ndim)))
    real = np.abs(response.imag).max() <= 1e-12 * np.abs(response).max()
    return response.real if real else response


def _over_channels(response: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return response.reshape(response.shape + (1,) * (len(shape) - response.ndim))
