"""Where arrays lie: samples over all devices, parameters over a second axis where asked."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA, MODEL = "data", "model"

_SMALL = 2**14
"""Parameters of fewer numbers are kept on every device."""


def mesh_of(model: int = 1, devices: Any = None) -> Mesh:
    """All devices, of all processes, as [data, model].

    Args:
      model: over how many devices the parameters are spread.

    Raises:
      ValueError: if the devices do not divide into such groups.
    """
    devices = jax.devices() if devices is None else devices
    if model < 1 or len(devices) % model:
        raise ValueError(
            f"model_devices = {model} does not divide {len(devices)} devices: give a divisor"
        )
    return Mesh(np.array(devices).reshape(-1, model), (DATA, MODEL))


def check_batch(mesh: Mesh, batch: int, accumulate: int = 1) -> None:
    """Refuse a batch whose parts do not divide over the devices."""
    devices = mesh.devices.size
    if (batch // accumulate) % devices:
        parts = f" in accumulate = {accumulate} parts" if accumulate > 1 else ""
        raise ValueError(
            f"batch = {batch}{parts} does not divide over {devices} devices: give a multiple of "
            f"{devices * accumulate}"
        )


def over_batches(mesh: Mesh) -> NamedSharding:
    """Of batches [k, n, ...]: n over all devices."""
    return NamedSharding(mesh, PartitionSpec(None, (DATA, MODEL)))


def over_samples(mesh: Mesh) -> NamedSharding:
    """Of one batch [n, ...]: n over all devices."""
    return NamedSharding(mesh, PartitionSpec((DATA, MODEL)))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def of_parameters(mesh: Mesh, tree: Any) -> Any:
    """A sharding for every array of a tree: its longest axis that divides, over ``MODEL``.

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


def place(tree: Any, shardings: Any) -> Any:
    """Host arrays, the same in every process, as global arrays."""

    def put(x: Any, sharding: NamedSharding) -> jax.Array:
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put, tree, shardings)


def placed_as(form: Any, shardings: Any) -> Any:
    """Shapes and dtypes with where they shall lie."""
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        form,
        shardings,
    )


def on_host(tree: Any) -> Any:
    """Global arrays as NumPy arrays, whole in every process."""

    def get(x: Any) -> np.ndarray:
        if not isinstance(x, jax.Array) or x.is_fully_addressable:
            return np.asarray(x)
        if x.is_fully_replicated:
            return np.asarray(x.addressable_data(0))
        from jax.experimental.multihost_utils import process_allgather

        return np.asarray(process_allgather(x, tiled=True))

    return jax.tree.map(get, tree)
