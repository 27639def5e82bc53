"""The sharding of arrays: samples over all devices, parameters over a second axis where asked."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from specjax._core.checks import UserError

DATA, MODEL = "data", "model"

_SMALL = 2**14
"""Arrays of fewer numbers are kept whole on every device."""


def mesh_of(model: int = 1, devices: Any = None) -> Mesh:
    """Return a mesh [data, model] of all devices, of all processes.

    Args:
      model: over how many devices the parameters are spread.

    Raises:
      UserError: if the devices do not divide into such groups.
    """
    devices = jax.devices() if devices is None else devices
    if model < 1 or len(devices) % model:
        raise UserError(
            f"model_devices = {model} does not divide {len(devices)} devices: give a divisor"
        )
    return Mesh(np.array(devices).reshape(-1, model), (DATA, MODEL))


def check_batch(mesh: Mesh, batch: int, accumulate: int = 1) -> None:
    """Refuse a batch whose parts do not divide over the devices (``UserError``)."""
    devices = mesh.devices.size
    if (batch // accumulate) % devices:
        parts = f" in accumulate = {accumulate} parts" if accumulate > 1 else ""
        raise UserError(
            f"batch = {batch}{parts} does not divide over {devices} devices: give a multiple of "
            f"{devices * accumulate}"
        )


def over_batches(mesh: Mesh) -> NamedSharding:
    """Return the sharding of batches [k, n, ...]: n over all devices."""
    return NamedSharding(mesh, PartitionSpec(None, (DATA, MODEL)))


def over_samples(mesh: Mesh) -> NamedSharding:
    """Return the sharding of one batch [n, ...]: n over all devices."""
    return NamedSharding(mesh, PartitionSpec((DATA, MODEL)))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that puts the whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def of_parameters(mesh: Mesh, tree: Any) -> Any:
    """Return a sharding for every array of a tree: its longest axis that divides, over ``MODEL``.

    The arrays of the optimiser and the average have the shapes of the parameters, and so lie as
    these do.
    """
    return jax.tree.map(lambda x: NamedSharding(mesh, _spec(x.shape, mesh.shape[MODEL])), tree)


def _spec(shape: tuple[int, ...], parts: int) -> PartitionSpec:
    divisible = [axis for axis, side in enumerate(shape) if side % parts == 0]
    if parts == 1 or not divisible or np.prod(shape) < _SMALL:
        return PartitionSpec()
    longest = max(divisible, key=lambda axis: shape[axis])
    return PartitionSpec(*(MODEL if axis == longest else None for axis in range(len(shape))))


def on_host(tree: Any) -> Any:
    """Turn global arrays into NumPy arrays, whole in every process."""

    def get(x: Any) -> np.ndarray:
        if not isinstance(x, jax.Array) or x.is_fully_addressable:
            return np.asarray(x)
        if x.is_fully_replicated:  # each process has all of it: nothing to gather
            return np.asarray(x.addressable_data(0))
        from jax.experimental.multihost_utils import process_allgather

        return np.asarray(process_allgather(x, tiled=True))

    return jax.tree.map(get, tree)
