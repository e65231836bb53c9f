"""Arrays over the devices of all processes: their mesh, a batch's rows, and back."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = Any  # nested containers of arrays


def data_mesh(devices=None) -> Mesh:
    """The devices of all processes in one row, which divides a batch's groups."""
    if devices is None:  # a process's devices side by side: it decodes one stretch
        devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def own_rows(mesh: Mesh, count: int) -> slice:
    """Which of a global batch's `count` rows lie on this process's devices."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    parts = sharding.addressable_devices_indices_map((count,)).values()
    bounds = [part[0].indices(count) for part in parts if part is not None]
    return slice(min(b[0] for b in bounds), max(b[1] for b in bounds))


def to_devices(rows: Tree, mesh: Mesh) -> Tree:
    """The global batch, of which each process gives the rows of its own devices."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    if jax.process_count() == 1:
        return jax.device_put(rows, sharding)
    shares = mesh.devices.size // len(sharding.addressable_devices)
    return jax.tree.map(
        lambda own: jax.make_array_from_process_local_data(
            sharding, own, (shares * len(own), *own.shape[1:])
        ),
        rows,
    )


def to_host(tree: Tree) -> Tree:
    """Whole NumPy arrays on every process, of arrays divided over the devices."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)
