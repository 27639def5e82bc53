"""Devices and processes of a command that uses several."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Processes:
    """On what it runs."""

    devices: int | None = None
    """how many devices a CPU is cut into"""
    distributed: bool = False
    """join the processes of a TPU pod slice or of SLURM, found by themselves"""
    coordinator: str | None = None
    """HOST:PORT of process 0, to join processes by hand"""
    processes: int | None = None
    """how many processes there are"""
    process: int | None = None
    """which one this is, from 0"""

    def join(self, *, a_device_a_core: bool = False) -> None:
        """Before JAX is first used.

        Args:
          a_device_a_core: what a CPU is by default; else it is one device of all cores.
        """
        from specjax._core import distributed

        if self.devices is not None or a_device_a_core:
            distributed.use_all_cores(self.devices)
        by_hand = (self.coordinator, self.processes, self.process)
        if self.distributed or any(given is not None for given in by_hand):
            distributed.join(*by_hand)
