"""Sums of samples and of their products on a mesh of devices.

Each device adds up its own rows; the partial sums meet once, at the end. Natural spectra span
seven decades, which float32 sums destroy. Where hardware has float64 it is used. Elsewhere samples
are split into slices of 8 bits on one grid,

    x = step (q_0 + q_1 / 2^8 + q_2 / 2^16),    |q_i| <= 2^7 whole numbers, 128 step >= |x|,

so that a product of slices has 14 bits and 256 of them add up exactly in float32, also where the
matrix unit multiplies bfloat16. These exact blocks are added in pairs of floats with two-sums
(Knuth, TAOCP 2, 4.2.2, theorem B): 48 bits in all, exact up to 10^9 samples on the grid. The grid
becomes coarser, by a power of two, when a larger value comes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from specjax._core import checks
from specjax._core.checks import UserError

if TYPE_CHECKING:
    from jax.sharding import Mesh

_EXACT_ROWS = 256
"""Rows whose products of slices, at most 2^14 each, add up exactly in float32."""

_ROWS = 4 * _EXACT_ROWS
"""Rows that a device takes in one step."""

_TOP = 128.0
"""The largest slice: 8 bits with the sign."""

Pair = tuple[jax.Array, jax.Array]
"""A number as high + low, with low below half a unit in the last place of high."""


class _SplitSums(NamedTuple):
    """Sums of slices i, [slices, d], and of their products, [2 slices - 1, d, d] by i + j."""

    total: Pair
    products: Pair


def choose(mesh: Mesh | None, precision: str | None) -> str:
    """Return the precision for a mesh: "float64", "split", or "host" without a mesh.

    Raises:
      UserError: for another word, "split" without a mesh, or devices of other processes.
    """
    if precision is not None:
        checks.one_of("precision", precision, ("float64", "split"))
    if mesh is None:
        if precision == "split":
            raise UserError("precision = 'split' is for a mesh of devices: give mesh as well")
        return precision or "host"
    foreign = [d for d in mesh.devices.flat if d.process_index != jax.process_index()]
    if foreign:
        raise UserError(
            f"mesh has {len(foreign)} device(s) of other processes: give one of local devices, "
            "and add up the processes by Moments.over_processes()"
        )
    return precision or ("split" if mesh.devices.flat[0].platform == "tpu" else "float64")


def sums(
    pieces: Iterable[np.ndarray], mesh: Mesh, precision: str
) -> tuple[int, np.ndarray, np.ndarray]:
    """Sum rows [n, d] laid over all axes of a mesh: count, sum [d] and sum of products [d, d].

    float32 pieces are whole numbers of at most 8 bits and make one slice; float64 ones three.
    """
    with jax.enable_x64(precision == "float64"):
        return (_float64_sums if precision == "float64" else _split_sums)(pieces, mesh)


def _blocks(pieces: Iterable[np.ndarray], rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut pieces into blocks of one shape [rows, d]; yield them with their counts.

    The last block is filled up with zeros, which add nothing.
    """
    block, used = np.zeros((0, 0)), 0
    for piece in pieces:
        while len(piece):
            if used == 0:
                block = np.zeros((rows, piece.shape[1]), piece.dtype)
            taken = min(len(piece), rows - used)
            block[used : used + taken] = piece[:taken]
            used, piece = used + taken, piece[taken:]
            if used == rows:
                yield used, block
                used = 0
    if used:
        yield used, block


def _float64_sums(pieces: Iterable[np.ndarray], mesh: Mesh) -> tuple[int, np.ndarray, np.ndarray]:
    def add(state: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return state[0] + x.sum(0), state[1] + jnp.matmul(x.T, x, precision="highest")

    add_rows, rows = _per_device(mesh, add, 2), _sharding(mesh)
    count, state = 0, None
    for used, block in _blocks(pieces, _ROWS * mesh.size):
        state = _zeros(mesh, (block.shape[1:], block.shape[1:] * 2)) if state is None else state
        state = add_rows(state, jax.device_put(block, rows))
        count += used
    meet = _per_device(mesh, lambda state: jax.lax.psum(state, mesh.axis_names))
    total, products = map(_first, meet(state))
    return count, total, products


def _split_sums(pieces: Iterable[np.ndarray], mesh: Mesh) -> tuple[int, np.ndarray, np.ndarray]:
    add_rows, rows = _per_device(mesh, _add_split, 3), _sharding(mesh)
    count, state, top, slices = 0, None, 0.0, 1
    for used, block in _blocks(pieces, _ROWS * mesh.size):
        if state is None:
            slices = 1 if block.dtype == np.float32 else 3
            top = _TOP if slices == 1 else _power_above(block)
            shapes = (slices, *block.shape[1:]), (2 * slices - 1, *block.shape[1:] * 2)
            state = _SplitSums(*((x, x.copy()) for x in _zeros(mesh, shapes)))
        # A larger value makes the grid coarser; whole numbers of 8 bits are on their own grid.
        new = top if slices == 1 else max(top, _power_above(block))
        scaled = (block * (_TOP / new)).astype(np.float32)
        state = add_rows(state, jax.device_put(scaled, rows), top / new)
        count, top = count + used, new
    meet = _per_device(mesh, lambda state: _ring_sum(state, mesh))
    return count, *_joined(jax.tree.map(_first, meet(state)), slices, top / _TOP)


def _power_above(block: np.ndarray) -> float:
    """Return the least power of two not below any absolute value, a tiny one for zeros."""
    return 2.0 ** math.ceil(math.log2(max(np.abs(block).max(), 1e-30)))


def _add_split(state: _SplitSums, x: jax.Array, coarser: jax.Array) -> _SplitSums:
    """Add rows [n, d] with |x| <= 128, after the sums moved to a grid ``1 / coarser`` as wide."""
    slices = state.total[0].shape[0]

    def step(state: _SplitSums, rows: jax.Array) -> tuple[_SplitSums, None]:
        q = _slices(rows, slices)
        products = jnp.stack([_half_product(q, level) for level in range(2 * slices - 1)])
        return _SplitSums(*(
            _add_pair(pair, (x, jnp.zeros_like(x)))
            for pair, x in zip(state, (q.sum(1), products), strict=True)
        )), None  # fmt: skip

    (t, t_low), (p, p_low) = state  # scaled by powers of two, which loses no bit
    square = coarser**2
    moved = _SplitSums((t * coarser, t_low * coarser), (p * square, p_low * square))
    return jax.lax.scan(step, moved, x.reshape(-1, _EXACT_ROWS, x.shape[-1]))[0]


def _slices(x: jax.Array, count: int) -> jax.Array:
    """Return [count, ...] whole numbers of at most 8 bits: the digits of x in base 256."""
    digits = []
    for _ in range(count):
        digits.append(jnp.round(x))
        x = (x - digits[-1]) * 256
    return jnp.stack(digits)


def _half_product(q: jax.Array, level: int) -> jax.Array:
    """Compute half of the part of the products of order 256^-level: its transpose is the rest."""
    part = jnp.zeros((q.shape[-1],) * 2, q.dtype)
    for i in range(max(0, level - len(q) + 1), level // 2 + 1):
        once = jnp.matmul(q[i].T, q[level - i], preferred_element_type=jnp.float32)
        part += once / 2 if 2 * i == level else once
    return part


def _add_pair(a: Pair, b: Pair) -> Pair:
    """Add two pairs, to twice the precision of one float: Knuth's two-sum of the high parts.

    A compiler that took ``(a + b) - a`` for ``b`` would lose the low part; XLA does not.
    """
    high = a[0] + b[0]
    shadow = high - a[0]
    error = (a[0] - (high - shadow)) + (b[0] - shadow)
    low = error + (a[1] + b[1])
    total = high + low
    return total, low - (total - high)


def _ring_sum(state: _SplitSums, mesh: Mesh) -> _SplitSums:
    """Sum over devices: pairs go round a ring along each axis, since psum would round."""
    for axis, size in mesh.shape.items():
        ring = [(i, (i + 1) % size) for i in range(size)]
        moving = state
        for _ in range(size - 1):
            moving = jax.tree.map(lambda x: jax.lax.ppermute(x, axis, ring), moving)  # noqa: B023
            state = _SplitSums(*map(_add_pair, state, moving))
    return state


def _joined(state: _SplitSums, slices: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Join the sums of slices into sum [d] and products [d, d] in float64."""
    total, products = (high.astype(np.float64) + low for high, low in state)
    joined = np.zeros(products.shape[1:])
    # The smallest parts first, so that their digits are not lost beside the large ones.
    for level in reversed(range(2 * slices - 1)):
        half = products[level] * (step**2 / 256.0**level)
        joined += half
        joined += half.T
    return np.asarray(sum(total[i] * (step / 256.0**i) for i in range(slices))), joined


def _per_device(mesh: Mesh, function: Callable, arguments: int = 1) -> Callable:
    """Compile a function of one device's state, its rows (if 2 arguments) and a number (if 3).

    States have the devices as first axis, and are overwritten where rows are added to them.
    """

    def local(state: Any, *rest: Any) -> Any:
        result = function(jax.tree.map(lambda x: x[0], state), *rest)
        return jax.tree.map(lambda x: x[None], result)

    over = PartitionSpec(mesh.axis_names)
    specs = (over, over, PartitionSpec())[:arguments]
    mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=over, check_vma=False)
    return jax.jit(mapped, donate_argnums=0 if arguments > 1 else ())


def _sharding(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def _zeros(mesh: Mesh, shapes: Iterable[tuple[int, ...]]) -> tuple[jax.Array, ...]:
    return tuple(jnp.zeros((mesh.size, *shape), device=_sharding(mesh)) for shape in shapes)


def _first(x: jax.Array) -> np.ndarray:
    """Return the first device's part, on the host."""
    return np.array(x.addressable_shards[0].data[0])
