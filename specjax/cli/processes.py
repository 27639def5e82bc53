"""The devices and processes that a command runs on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The devices and processes that it runs on."""

    devices: int | None = None
    """how many devices a CPU is cut into"""
    distributed: bool = False
    """join the processes of a TPU pod slice or of SLURM, which JAX finds by itself"""
    coordinator: str | None = None
    """HOST:PORT of process 0, to join processes by hand"""
    num_processes: int | None = None
    """how many processes there are"""
    process_id: int | None = None
    """which one this is, from 0"""

    def join(self, *, a_device_a_core: bool = False) -> None:
        """Cut a CPU into devices and join the processes, before JAX is first used.

        Args:
          a_device_a_core: whether a CPU is a device a core by default, not one device in all.
        """
        from specjax._core import distributed

        if self.devices is not None or a_device_a_core:
            distributed.use_all_cores(self.devices)
        by_hand = (self.coordinator, self.num_processes, self.process_id)
        if self.distributed or any(given is not None for given in by_hand):
            distributed.join(*by_hand)
