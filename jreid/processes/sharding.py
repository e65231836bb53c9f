"""Arrays over the devices of all processes: their mesh, a batch's rows, and back."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh


def data_mesh(devices=None) -> Mesh:
    """The devices of all processes in one row, which divides a batch's groups."""
    if devices is None:  # a process's devices side by side: it decodes one stretch
        devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
