"""Several processes: joining them, and waiting for what others write."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import jax


def join(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> None:
    """Join this process to the others by ``jax.distributed``, before JAX is first used.

    Args:
      coordinator: "host:port" of process 0. processes: how many. process: which this one is.
        Without them JAX finds all three by itself on a TPU pod slice, under SLURM and Open MPI.

    Raises:
      ValueError: if some are given without the others, or nothing tells them.
    """
    given = (coordinator, processes, process)
    if any(x is None for x in given) and any(x is not None for x in given):
        raise ValueError(
            f"coordinator = {coordinator!r}, processes = {processes!r}, process = {process!r}: "
            "give all three, or none on a TPU pod slice or under SLURM"
        )
    if processes is not None and process is not None and not 0 <= process < processes:
        raise ValueError(f"process = {process}: give one from 0 to {processes - 1}")
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the processes cannot be joined: {error}") from error


def use_all_cores() -> None:
    """Make every core of a CPU a device, unless the user has chosen; before JAX is first used."""
    chosen = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not chosen and "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition on the shared folder holds.

    By looking, not by a collective, which would time out on a sweep of hours. Where another
    process dies, ``jax.distributed`` ends this one, too.
    """
    while not condition():
        time.sleep(0.2)
