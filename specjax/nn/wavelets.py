"""The discrete wavelet transform over the sides of samples, periodized; filters from PyWavelets.

    lo[k] = sum_j h_j x[(2 k + L/2 - j) mod N],   hi[k] = sum_j g_j x[(2 k + L/2 - j) mod N]

for filters h, g of even length L, as PyWavelets' ``mode="periodization"``; a side of odd length is
first made even by its last number once more. A convolution is written as the sum of its shifted,
strided copies: filters are short, XLA makes one loop of it, and a CPU takes a third of the time of
its own convolution.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from specjax._core.checks import UserError

Filter = tuple[float, ...]


def check_wavelet(name: str) -> str:
    """Return the name if PyWavelets has a filter bank for it.

    Raises:
      UserError: for an unknown name, or a continuous wavelet.
    """
    import pywt

    if name not in pywt.wavelist(kind="discrete"):
        raise UserError(
            f"wavelet = {name!r} is unknown: give a discrete wavelet of PyWavelets, such as haar "
            "or bior1.3"
        )
    return name


def most_scales(sides: Sequence[int]) -> int:
    """Return how often all sides can be halved (rounded up) before one of them is a single number.

    Example:
      >>> from specjax.nn.wavelets import most_scales
      >>> most_scales((8, 8)), most_scales((5, 32)), most_scales((1,))
      (3, 3, 0)
    """
    return (min(sides) - 1).bit_length()


def check_scales(scales: int, sides: Sequence[int]) -> None:
    """Refuse more scales than samples have.

    Raises:
      UserError: naming the sides and how many scales they have.
    """
    most = most_scales(sides)
    if scales > most:
        remedy = f"give {most} at most" if most else "leave the term wavelet out"
        shape = " x ".join(map(str, sides))
        raise UserError(
            f"wavelet_scales = {scales}: samples of {shape} have {most} scales (each halves the "
            f"sides): {remedy}"
        )


@functools.cache
def filters(name: str) -> tuple[Filter, Filter]:
    """Return the analysis filters (low pass, high pass), reversed as a correlation takes them."""
    import pywt

    wavelet = pywt.Wavelet(check_wavelet(name))
    low, high = (tuple(map(float, f[::-1])) for f in (wavelet.dec_lo, wavelet.dec_hi))
    return low, high


def bands(x: jax.Array, wavelet: str, scales: int) -> list[tuple[jax.Array, ...]]:
    """Return all sub-bands of x [n, *sides, channels], in the order of ``pywt.wavedec2``.

    Args:
      wavelet: a discrete wavelet of PyWavelets. scales: how often the sides are halved.

    Returns:
      The approximation alone, then the details from the coarsest scale to the finest: one over one
      side; horizontal, vertical and diagonal over two. Each is [n, *halved sides, channels].

    Raises:
      UserError: for an unknown wavelet, more scales than x has, or no whole number of them.

    Example:
      >>> from specjax.nn.wavelets import bands
      >>> [[b.shape[1:3] for b in scale] for scale in bands(jnp.ones((1, 6, 8, 3)), "haar", 2)]
      [[(2, 2)], [(2, 2), (2, 2), (2, 2)], [(3, 4), (3, 4), (3, 4)]]
    """
    check_scales(scales, x.shape[1:-1])
    by_scale: list[tuple[jax.Array, ...]] = []
    for _ in range(scales):
        parts = [x]
        for axis in range(1, x.ndim - 1):  # the first side changes most slowly
            parts = [half for part in parts for half in _halves(part, axis, filters(wavelet))]
        if len(parts) == 4:  # [ll, lh, hl, hh] by (first, second) side; horizontal is hl
            parts = [parts[0], parts[2], parts[1], parts[3]]
        x, *details = parts
        by_scale.insert(0, tuple(details))
    return [(x,), *by_scale]


def _halves(x: jax.Array, axis: int, both: tuple[Filter, Filter]) -> list[jax.Array]:
    """The low and the high half of an axis."""
    x = _padded(x, axis, 0, x.shape[axis] % 2, "edge")
    side, beyond = x.shape[axis], len(both[0]) // 2 - 1
    x = _padded(x, axis, beyond, beyond, "wrap")
    return [
        sum((t * jax.lax.slice_in_dim(x, j, j + side - 1, 2, axis) for j, t in enumerate(f) if t),
            start=jnp.zeros((), x.dtype))
        for f in both
    ]  # fmt: skip


def _padded(x: jax.Array, axis: int, before: int, after: int, mode: str) -> jax.Array:
    if not before + after:
        return x
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, after)
    return jnp.pad(x, widths, mode=mode)
