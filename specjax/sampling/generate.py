"""Many samples by a plan and a network: in batches, over devices, seeded one by one.

Sample i is a function of ``(seed, i)``, the plan and the denoiser alone: its noise does not depend
on the batch, the devices or n. Its start does not even depend on the plan, so that schedules can
be compared on the same noise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from specjax._core import checks
from specjax._core.arrays import shared_size
from specjax._core.checks import UserError
from specjax._core.progress import shows_progress
from specjax.noise.noise_spectrum import NoiseSpectrum, anisotropic, without_rounding
from specjax.sampling import conditions as told
from specjax.sampling.black_box import is_black_box
from specjax.sampling.denoisers import check_signal, within
from specjax.sampling.guidance import alike, weights_of
from specjax.sampling.programs import Program, drawn, program_of
from specjax.sampling.sample import first_registers, host_rows
from specjax.sampling.step import Row, SamplerPlan

Progress = Callable[[int, int], None]
"""Called with (samples done, n); on a CPU also within a batch, by the share of its calls."""

_MOST_ON_CPU, _MOST_ELSEWHERE = 256, 1024  # samples in a batch
_ACTIVATIONS = 2000  # of a UNet's memory, in samples: a feature map of width 128 is 40 to 130


@shows_progress("sampling", "samples")
def generate(
    plan: SamplerPlan,
    denoise: Callable[..., Any],
    n: int,
    shape: tuple[int, ...],
    *,
    seed: int = 0,
    labels: Any = None,
    conditions: Any = None,
    batch: int | None = None,
    mesh: Mesh | None = None,
    noise: NoiseSpectrum | None = None,
    progress: Progress | Literal[False] | None = None,
    dtype: Any = np.float32,
) -> np.ndarray:
    """Draw n samples by a plan and a denoiser, batch by batch.

    A denoiser that is a pytree with arrays (an Equinox or NNX module, ``jax.tree_util.Partial``,
    :func:`specjax.from_eps` of one of these) gives them to the compiled program as arguments: one
    program serves all its parameters. Any other callable is compiled as it is, with the
    arrays that it holds then, and once as long as that object lives. A
    :class:`specjax.BlackBox` is called as it is, and the plan is run around it in NumPy; its
    samples differ from those of the same function in JAX by rounding.

    Args:
      plan: K rows of known numbers.
      denoise: ``(x, alpha, sigma) -> x0`` on batches [m, *shape]. One by :func:`specjax.guided`
        has the plan's weights, or its own; where one is 1 or 0, only one of its two is called.
      n: the number of samples.
      shape: of one sample.
      seed: below 2**32.
      labels: [n]; those of a batch [m] are the denoiser's fourth argument.
      conditions: in place of labels, a tree of arrays [n, ...] (embeddings, masks, labels among
        them); the rows of a batch [m, ...] are the denoiser's fourth argument.
      batch: samples in one call; by default as many as fit in a quarter of a device's memory, if a
        network's activations take 2,000 times a sample's; at most 256 on a CPU, 1,024 elsewhere.
      mesh: of this process's devices; a batch is cut along its first axis.
      noise: of the forward process that the denoiser knows; isotropic by default. In directions
        without noise samples stay 0.
      progress: see :data:`Progress`; by default a line on standard error in long calls, False
        for none.
      dtype: of the samples.

    Returns:
      Samples [n, *shape], at the plan's last level.

    Raises:
      UserError: if a number or a dtype is out of bounds, the labels or conditions are not n, the
        batch does not divide over the mesh, the mesh has devices of another process, a black box
        is given a mesh, or the plan has guidance and the denoiser is not guided.

    Example:
      >>> plan = sx.plan("ddim", sx.NoiseSchedule.from_sigmas([50.0, 1.0, 0.0]))
      >>> denoise = sx.wiener(sx.Spectrum([4.0, 1.0]))
      >>> samples = generate(plan, denoise, 10, (2,), batch=4)
      >>> bool((samples[:3] == generate(plan, denoise, 3, (2,), batch=4)).all())
      True
    """
    n, dtype = checks.whole_number("n", n), _float(dtype)
    checks.fits_in_memory("n", n, n * math.prod(shape) * dtype.itemsize)
    key = jax.random.key(checks.seed(seed))
    conditions = told.checked(labels, conditions, n)
    noise, denoise = _checked_noise(noise, tuple(shape)), within(denoise, noise)
    weights = weights_of(plan, denoise)
    placement = _Placement(_checked_mesh(mesh, denoise), program_of(denoise)[1])
    parts = [
        _Part(of_calls, program, [placement.whole(x) for x in arrays])
        for of_calls, one in alike(denoise, weights)
        for program, arrays in [program_of(one)]
    ]
    size = batch_size(n, shape, plan.registers, batch, placement.ways, placement.device)
    check_signal(denoise, plan.alpha)
    rows = Row(*(np.asarray(x, dtype) for x in plan.rows))
    weights = None if weights is None else np.asarray(weights, dtype)
    on_cpu, boxed = placement.device.platform == "cpu", is_black_box(denoise)
    run: _Loop = _on_host if boxed else _call_by_call if on_cpu else _one_scan
    put = np.asarray if boxed else placement.cut
    samples = np.empty((n, *shape), dtype)
    for first in range(0, n, size):
        numbers = np.arange(first, first + size)  # the last batch is filled up and cut
        batch_conditions = jax.tree.map(put, told.at(conditions, np.minimum(numbers, n - 1)))
        keys, r = _start(
            key, placement.cut(numbers.astype(np.uint32)), np.asarray(plan.start, dtype),
            tuple(shape), plan.registers, noise,
        )  # fmt: skip
        count = min(size, n - first)

        def report(share: float, first: int = first, count: int = count) -> None:
            if progress:
                progress(first + int(count * share), n)

        task = _Batch(
            count, denoise, parts, batch_conditions, keys, rows, weights, noise, plan.stochastic
        )
        r = run(task, r, report)
        samples[first : first + count] = np.asarray(without_rounding(r[0], noise))[:count]
        report(1.0)
    return samples


class _Part(NamedTuple):
    """Consecutive calls that need the same parts of a guided denoiser; all calls of any other."""

    calls: slice
    program: Program
    arrays: list[Any]  # of the denoiser


class _Batch(NamedTuple):
    """A batch of m samples that is being drawn, apart from its registers."""

    asked: int  # of the m, those that are not filled up
    denoise: Callable[..., Any]
    parts: list[_Part]
    conditions: Any  # a tree of arrays [m, ...] or None
    keys: jax.Array  # [m]
    rows: Row
    weights: np.ndarray | None  # [K], of guidance
    noise: NoiseSpectrum | None
    stochastic: bool


_Loop = Callable[[_Batch, jax.Array, Callable[[float], None]], jax.Array | np.ndarray]


# Both loops in JAX donate the registers: the buffers of a step are those of the one before, so
# that a batch needs the memory of one.


def _call_by_call(batch: _Batch, r: jax.Array, report: Callable[[float], None]) -> jax.Array:
    """Run all calls of a batch on a CPU, and return the registers [H, m, ...] at the end.

    A Python loop: XLA's convolutions do not use threads inside a scan on a CPU, and the dispatch
    of a call that takes milliseconds is not felt. Each call is waited for, so that progress is true
    and Ctrl-C is heard.
    """
    calls = len(batch.rows.alpha)
    for part in batch.parts:
        for k in range(calls)[part.calls]:
            if k:
                report(k / calls)
            row, weight = jax.tree.map(lambda x, k=k: x[k], (batch.rows, batch.weights))
            r = part.program.one_row(
                part.arrays, batch.conditions, r, row, batch.keys, np.int32(k), batch.noise,
                stochastic=batch.stochastic, weight=weight,
            )  # fmt: skip
            jax.block_until_ready(r)
    return r


def _one_scan(batch: _Batch, r: jax.Array, report: Callable[[float], None]) -> jax.Array:
    """Run all calls of a batch on an accelerator, without a dispatch between two of them."""
    for part in batch.parts:
        here = part.calls
        rows, weights = jax.tree.map(lambda x, here=here: x[here], (batch.rows, batch.weights))
        r = part.program.all_rows(
            part.arrays, batch.conditions, r, rows, batch.keys, np.int32(here.start or 0),
            batch.noise, stochastic=batch.stochastic, weights=weights,
        )  # fmt: skip
    return r


def _on_host(batch: _Batch, r: jax.Array, report: Callable[[float], None]) -> np.ndarray:
    """Run all calls of a batch of a black box, for what is asked for of it alone.

    The noise is JAX's, and compiled for a full batch.
    """
    part, (_, _, *shape), calls = slice(batch.asked), r.shape, len(batch.rows.alpha)

    def of_row(k: int) -> jax.Array:
        return _drawn(batch.keys, np.int32(k + 1), tuple(shape), r.dtype, batch.noise)[part]

    return host_rows(
        told.telling(batch.denoise, told.at(batch.conditions, part)), r[:, part], batch.rows,
        of_row if batch.stochastic else None, batch.weights, lambda k: report(k / calls),
    )  # fmt: skip


_drawn = jax.jit(drawn, static_argnames=("shape", "dtype"))


@functools.partial(jax.jit, static_argnames=("shape", "registers"))
def _start(
    key: jax.Array, numbers: jax.Array, std: jax.Array, shape: tuple[int, ...], registers: int,
    noise: NoiseSpectrum | None,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """Make the keys [m] of numbered samples, and their registers [H, m, *shape] at the start."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
    return keys, first_registers(std * drawn(keys, 0, shape, std.dtype, noise), registers)


class _Placement:
    """The devices that a batch and the denoiser's arrays lie on.

    Everything is put there first, so that the registers have the same sharding at the first call as
    afterwards: with another one, the second call would be compiled again.
    """

    def __init__(self, mesh: Mesh | None, arrays: list[Any]) -> None:
        given = next((x.sharding for x in arrays if isinstance(x, jax.Array)), None)
        self.ways = 1
        self.batch: Any
        if mesh is not None:
            # Axes of the explicit type would ask every operation of a network for its sharding.
            plain, axis = Mesh(mesh.devices, mesh.axis_names), mesh.axis_names[0]
            self.ways, self.batch = mesh.shape[axis], NamedSharding(plain, PartitionSpec(axis))
        elif isinstance(given, NamedSharding) and given.num_devices > 1:
            self.batch = NamedSharding(given.mesh, PartitionSpec())
        else:
            devices = jnp.zeros(()).devices() if given is None else given.device_set
            self.batch = SingleDeviceSharding(next(iter(devices)))

    @property
    def device(self) -> Any:
        """One of the devices."""
        return next(iter(self.batch.device_set))

    def cut(self, x: np.ndarray) -> jax.Array:
        """Put an array [m, ...] on the devices, cut along the first axis of the mesh."""
        return jax.device_put(x, self.batch)

    def whole(self, x: Any) -> jax.Array:
        """Put an array on every device; one that is cut over them already stays so."""
        if isinstance(self.batch, SingleDeviceSharding):
            return jax.device_put(x, self.batch)
        given, mesh = getattr(x, "sharding", None), self.batch.mesh
        spec = PartitionSpec()
        if isinstance(given, NamedSharding) and given.mesh.axis_names == mesh.axis_names:
            spec = given.spec
        return jax.device_put(x, NamedSharding(mesh, spec))


def batch_size(
    n: int, shape: tuple[int, ...], registers: int, batch: int | None, ways: int, device: Any
) -> int:
    """Return the number of samples in one call: the given one, or what fits.

    What fits is one of few sizes, and depends on the machine's memory rather than on what is free
    of it at the moment, so that another n, or another call, finds its program compiled.
    """
    if batch is not None and checks.whole_number("batch", batch) % ways:
        raise UserError(
            f"batch = {batch} does not divide over {ways} devices: give a multiple of {ways}"
        )
    if batch is None:
        sample = 4 * int(np.prod(shape))
        fits = device_memory(device) // 4 // (sample * (_ACTIVATIONS + registers))
        on_cpu = device.platform == "cpu"  # whose devices share the memory
        most = max(1, min(_MOST_ON_CPU if on_cpu else _MOST_ELSEWHERE, fits))
        most *= 1 if on_cpu else ways
        batch = min(shared_size(-(-n // -(-n // most))), most)
    else:
        batch = min(batch, shared_size(n))
    return ways * -(-batch // ways)


def device_memory(device: Any) -> int:
    """Return the bytes of an accelerator or, for a CPU, of the machine; 16 GB where unknown."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    return int((stats or {}).get("bytes_limit", checks.machine_memory()))


def _checked_mesh(mesh: Mesh | None, denoise: Any) -> Mesh | None:
    own = jax.process_index()
    if mesh is not None and is_black_box(denoise):
        raise UserError("mesh: a BlackBox computes where its function does; leave it out")
    if mesh is not None and any(device.process_index != own for device in mesh.devices.flat):
        raise UserError(
            "mesh has devices of other processes: give one of jax.local_devices(), and each "
            "process its part of the samples"
        )
    return mesh


def _checked_noise(noise: NoiseSpectrum | None, shape: tuple[int, ...]) -> NoiseSpectrum | None:
    """Return the noise of samples of a shape, or None where it is isotropic."""
    if noise is not None and noise.shape != shape:
        raise UserError(f"the noise is of samples of shape {noise.shape}, these are {shape}")
    kept = anisotropic(noise)
    return None if kept is None else replace(kept, source=None)  # names compile nothing anew


def _float(dtype: Any) -> Any:
    dtype = jnp.dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise UserError(f"dtype = {dtype}: give a dtype of floats, such as float32")
    if dtype.itemsize > jnp.zeros(0).dtype.itemsize:
        raise UserError(f"dtype = {dtype} needs jax.config.update('jax_enable_x64', True)")
    return dtype
