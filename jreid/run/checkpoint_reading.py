"""The arrays of one checkpoint, read back and held to the checksums they had."""

from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp

from jreid.run.leaves import checksum, describe


def read_leaves(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    """What `describe` gave for every array of the checkpoint.

    Raises:
        ValueError: the list is damaged, and how.
    """
    items = ocp.args.Composite(leaves=ocp.args.JsonRestore())
    try:
        leaves = manager.restore(step, args=items)["leaves"]
        if leaves.pop("crc32") != checksum(leaves):
            raise ValueError("a wrong checksum")
    except Exception as error:
        raise ValueError(f"its list of arrays: {error}") from error
    return leaves


def read_arrays(
    manager: ocp.CheckpointManager,
    step: int,
    wanted: Mapping[str, Any],
    leaves: Mapping[str, Any],
) -> dict[str, Any]:
    """Arrays by name, bit for bit as they were saved.

    Args:
        wanted: arrays, or `jax.ShapeDtypeStruct` with a sharding; NumPy arrays give
            NumPy arrays.
        leaves: what `read_leaves` gave.

    Raises:
        ValueError: an array is damaged, and which or how.
    """
    targets = {name: _target(array) for name, array in wanted.items()}
    arguments = ocp.checkpoint_utils.construct_restore_args(targets)
    state = ocp.args.PyTreeRestore(
        targets, restore_args=arguments, partial_restore=True
    )
    try:
        read = manager.restore(step, args=ocp.args.Composite(state=state))["state"]
    except Exception as error:
        # What follows is a page about how the array would have been read.
        why = str(error).partition(" See full TensorStore details")[0][:300]
        raise ValueError(f"Orbax's files: {why}") from error
    for name in wanted:
        if describe(name, _whole(read[name])) != leaves[name]:
            raise ValueError(f"{name} differs from what was saved")
    return {name: read[name] for name in wanted}


def _whole(array: Any) -> Any:
    """This process's copy of an array, which other processes may have as well."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return array.addressable_data(0)
    return array


def _target(array: Any) -> jax.ShapeDtypeStruct:
    sharding = getattr(array, "sharding", None)
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
