"""Sums of samples and of their products on a mesh of devices.

Each device adds up its own rows; the partial sums meet once, at the end. Natural spectra span
seven decades, which float32 sums destroy. Where float64 is at hand it is used. Else samples are
cut into slices of 8 bits on one grid,

    x = step (q_0 + q_1 / 2^8 + q_2 / 2^16),    |q_i| <= 2^7 whole numbers, 128 step >= |x|,

so that a product of slices has 14 bits and 256 of them add up exactly in float32, also where the
matrix unit multiplies bfloat16. These exact blocks are added in pairs of floats with two-sums
(Knuth, TAOCP 2, 4.2.2, theorem B): 48 bits in all, exact up to 10^9 samples on the grid. The grid
becomes coarser, by a power of two, when a larger value comes.
"""

from __future__ import annotations

import functools
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
_ROWS = 4 * _EXACT_ROWS
"""Rows that a device takes in one step."""

_TOP = 128.0
"""The largest slice: 8 bits with the sign."""

Pair = tuple[jax.Array, jax.Array]
"""A number as high + low, with low below half a unit in the last place of high."""


class _Sums(NamedTuple):
    """Sums of slices i, [slices, d], and of their products, [2 slices - 1, d, d] by i + j."""

    total: Pair
    products: Pair


def choose(mesh: Mesh | None, precision: str | None) -> str:
    """The precision for a mesh: "float64", "split", or "host" without a mesh.

    Raises:
      UserError: for another word, "split" without a mesh, or devices of other processes.
    """
    if precision is not None:
        checks.one_of("precision", precision, ("float64", "split"))
    if mesh is None:
        if precision == "split":
            raise UserError("precision = 'split' is for a mesh of devices: give mesh as well")
        return "host" if precision is None else precision
    foreign = [d for d in mesh.devices.flat if d.process_index != jax.process_index()]
    if foreign:
        raise UserError(
            f"mesh has {len(foreign)} device(s) of other processes: give one of local devices, "
            "and add up the processes by Moments.over_processes()"
        )
    return precision or ("split" if mesh.devices.flat[0].platform == "tpu" else "float64")


def statement(chosen: str, integers: bool) -> str:
    """What holds for the sums, in words."""
    if integers:
        return "exact (integers)"
    return "exact sums of float32 slices (split)" if chosen == "split" else "float64"


def sums(
    pieces: Iterable[np.ndarray], mesh: Mesh, precision: str
) -> tuple[int, np.ndarray, np.ndarray]:
    """Count, sum [d] and sum of products [d, d] of rows [n, d], laid over all axes of the mesh.

    float32 pieces are whole numbers of at most 8 bits and make one slice; float64 ones three.
    """
    if precision == "float64":
        with jax.enable_x64(True):
            return _float64_sums(pieces, mesh)
    with jax.enable_x64(False):
        return _split_sums(pieces, mesh)


def _blocks(pieces: Iterable[np.ndarray], rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """Pieces as blocks of one shape [rows, d], the last filled up with zeros; and their counts."""
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
    over = PartitionSpec(mesh.axis_names)
    add = _mapped(mesh, _add_float64, (over, over), donate=True)
    count, state = 0, None
    for used, block in _blocks(pieces, _ROWS * mesh.size):
        state = _zeros(mesh, (block.shape[1:], block.shape[1:] * 2)) if state is None else state
        state = add(state, jax.device_put(block, NamedSharding(mesh, over)))
        count += used
    meet = _mapped(mesh, functools.partial(jax.lax.psum, axis_name=mesh.axis_names), (over,))
    total, products = (_first(x) for x in meet(state))
    return count, total, products


def _add_float64(state: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[jax.Array, ...]:
    total, products = state
    return total + x.sum(0), products + jnp.matmul(x.T, x, precision="highest")


def _split_sums(pieces: Iterable[np.ndarray], mesh: Mesh) -> tuple[int, np.ndarray, np.ndarray]:
    over, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()
    add = _mapped(mesh, _add_split, (over, over, everywhere), donate=True)
    count, state, top, slices = 0, None, 0.0, 1
    for used, block in _blocks(pieces, _ROWS * mesh.size):
        if state is None:
            slices = 1 if block.dtype == np.float32 else 3
            top = _TOP if slices == 1 else _power_above(block)
            shapes = (slices, *block.shape[1:]), (2 * slices - 1, *block.shape[1:] * 2)
            state = _Sums(*((x, x.copy()) for x in _zeros(mesh, shapes)))
        new = top if slices == 1 else max(top, _power_above(block))
        scaled = (block * (_TOP / new)).astype(np.float32)
        state = add(state, jax.device_put(scaled, NamedSharding(mesh, over)), top / new)
        count, top = count + used, new
    state = jax.tree.map(_first, _mapped(mesh, _meet(mesh), (over,))(state))
    return count, *_joined(state, slices, top / _TOP)


def _power_above(block: np.ndarray) -> float:
    """The least power of two not below any absolute value; a float of any size for zeros."""
    return 2.0 ** math.ceil(math.log2(max(np.abs(block).max(), 1e-30)))


def _add_split(state: _Sums, x: jax.Array, coarser: jax.Array) -> _Sums:
    """Add rows [n, d] with |x| <= 128, after the sums moved to a grid ``1 / coarser`` as wide."""
    slices = state.total[0].shape[0]

    def step(state: _Sums, rows: jax.Array) -> tuple[_Sums, None]:
        q = _slices(rows, slices)
        products = jnp.stack([_product(q, level) for level in range(2 * slices - 1)])
        return _Sums(_plus(state.total, q.sum(1)), _plus(state.products, products)), None

    (t, t_low), (p, p_low) = state
    square = coarser**2
    moved = _Sums((t * coarser, t_low * coarser), (p * square, p_low * square))
    return jax.lax.scan(step, moved, x.reshape(-1, _EXACT_ROWS, x.shape[-1]))[0]


def _slices(x: jax.Array, count: int) -> jax.Array:
    """[count, ...] whole numbers of at most 8 bits: the digits of x in base 256."""
    digits = []
    for _ in range(count):
        digits.append(jnp.round(x))
        x = (x - digits[-1]) * 256
    return jnp.stack(digits)


def _product(q: jax.Array, level: int) -> jax.Array:
    """Half of the part of the products that stands at 256^-level: its transpose is the other."""
    part = jnp.zeros((q.shape[-1],) * 2, q.dtype)
    for i in range(max(0, level - len(q) + 1), level // 2 + 1):
        once = jnp.matmul(q[i].T, q[level - i], preferred_element_type=jnp.float32)
        part += once / 2 if 2 * i == level else once
    return part


def _add_pair(a: Pair, b: Pair) -> Pair:
    """The sum of two pairs, to twice the precision of one float."""
    high = a[0] + b[0]
    shadow = high - a[0]
    error = (a[0] - (high - shadow)) + (b[0] - shadow)
    low = error + (a[1] + b[1])
    total = high + low
    return total, low - (total - high)


def _plus(a: Pair, b: jax.Array) -> Pair:
    return _add_pair(a, (b, jnp.zeros_like(b)))


def _meet(mesh: Mesh) -> Callable[[_Sums], _Sums]:
    """The sum over devices: pairs go round a ring along each axis, since psum would round."""

    def meet(state: _Sums) -> _Sums:
        for axis, size in mesh.shape.items():
            ring = [(i, (i + 1) % size) for i in range(size)]
            moving = state
            for _ in range(size - 1):
                moving = jax.tree.map(lambda x: jax.lax.ppermute(x, axis, ring), moving)  # noqa: B023
                state = _Sums(*map(_add_pair, state, moving))
        return state

    return meet


def _joined(state: _Sums, slices: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Sum [d] and products [d, d] in float64 from those of the slices."""
    total = sum(
        (state.total[0][i].astype(np.float64) + state.total[1][i]) * (step / 256.0**i)
        for i in range(slices)
    )
    products = np.zeros(state.products[0].shape[1:])
    for level in reversed(range(2 * slices - 1)):
        half = state.products[0][level].astype(np.float64)
        half += state.products[1][level]
        half *= step**2 / 256.0**level
        products += half
        products += half.T
    return np.asarray(total), products


def _mapped(mesh: Mesh, function: Callable, specs: tuple, donate: bool = False) -> Callable:
    """A function of one device's part, over the mesh; states have the devices as first axis."""

    def local(state: Any, *rest: Any) -> Any:
        result = function(jax.tree.map(lambda x: x[0], state), *rest)
        return jax.tree.map(lambda x: x[None], result)

    over = PartitionSpec(mesh.axis_names)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=over, check_vma=False)
    return jax.jit(mapped, donate_argnums=0 if donate else ())


def _zeros(mesh: Mesh, shapes: Iterable[tuple[int, ...]]) -> tuple[jax.Array, ...]:
    over = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    return tuple(jnp.zeros((mesh.size, *shape), device=over) for shape in shapes)


def _first(x: jax.Array) -> np.ndarray:
    """The part of one device, on the host."""
    return np.array(x.addressable_shards[0].data[0])
