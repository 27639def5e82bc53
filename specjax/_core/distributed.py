"""Several processes: joining them, and waiting for what others write to a shared folder."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from specjax._core import checks
from specjax._core.checks import UserError

if TYPE_CHECKING:
    from jax.sharding import Mesh


def join(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Join this process to the others by ``jax.distributed``, before JAX is first used.

    Args:
      coordinator: address of process 0, "host:port".
      num_processes: number of processes.
      process_id: number of this one, from 0 on.

    Without arguments JAX finds all three itself: on a TPU pod slice, under SLURM and Open MPI.

    Raises:
      UserError: if only some are given, or JAX finds none or cannot connect.
    """
    import jax

    given = (coordinator, num_processes, process_id)
    if any(x is None for x in given) and any(x is not None for x in given):
        raise UserError(
            f"coordinator = {coordinator!r}, num_processes = {num_processes!r}, process_id = "
            f"{process_id!r}: give all three, or none on a TPU pod slice or under SLURM"
        )
    if not (num_processes is None or process_id is None or 0 <= process_id < num_processes):
        raise UserError(f"process_id = {process_id}: give one from 0 to {num_processes - 1}")
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id, _own_devices())
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the processes cannot be joined: {error}") from error


def _own_devices() -> list[int] | None:
    """Return [0] where SLURM shows this task one GPU, which JAX would look for by its own rank."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [0] if "SLURM_LOCALID" in os.environ and seen and "," not in seen else None


def use_all_cores(devices: int | None = None) -> None:
    """Split the CPU into devices, by default one a core, before JAX is first used.

    A number that the user has set in XLA_FLAGS or JAX_NUM_CPU_DEVICES stays.
    """
    import jax

    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if devices is None and (forced or "JAX_NUM_CPU_DEVICES" in os.environ):
        return
    if devices is None:
        affinity = getattr(os, "sched_getaffinity", None)  # not on every system
        devices = len(affinity(0)) if affinity else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", checks.whole_number("devices", devices))


def local_mesh(devices: int | None = None, axis: str = "samples") -> Mesh:
    """Return a mesh of this process's devices, all by default.

    Raises:
      UserError: if there are not so many.
    """
    import jax
    from jax.sharding import Mesh

    own = jax.local_devices()
    if devices is not None and not 0 < devices <= len(own):
        raise UserError(f"devices = {devices}: give a number from 1 to {len(own)}")
    return Mesh(np.array(own[:devices]), (axis,))


@contextlib.contextmanager
def _output_to_errors() -> Iterator[None]:
    """Send what C libraries print about their connections to standard error."""
    sys.stdout.flush()
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(output, 1)
        os.close(output)


def meet() -> None:
    """Wait for all processes, by a collective: at a start, where none is minutes late.

    One device of each process takes part. The sum is waited for, so that the libraries have printed
    what they print while standard output is still redirected.
    """
    import jax
    import jax.numpy as jnp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    if jax.process_count() == 1:
        return
    first = {device.process_index: device for device in reversed(jax.devices())}
    mesh = Mesh(np.array([first[i] for i in sorted(first)]), ("process",))
    each = NamedSharding(mesh, PartitionSpec("process"))
    with _output_to_errors():
        here = jax.make_array_from_process_local_data(each, np.ones(1, np.float32))
        total = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))(here)
        jax.block_until_ready(total)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition on the shared folder holds.

    This polls: a collective would time out on a sweep of hours. Where another process dies,
    ``jax.distributed`` ends this one, too.
    """
    while not condition():
        time.sleep(0.2)
