"""The leaves of a training state by name: what a checkpoint stores and compares."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def named_leaves(tree: Any) -> dict[str, Any]:
    """Leaves by path, "params/stem/kernel", in the order of `jax.tree.flatten`."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves
    ]
    return dict(zip(names, (leaf for _, leaf in leaves), strict=True))


def describe(name: str, array: Any) -> Mapping[str, Any]:
    """Shape, dtype and CRC-32 of one array, in values that JSON can hold.

    Raises:
        ValueError: `array` is no array, is empty, or holds typed random keys.
    """
    dtype = getattr(array, "dtype", None)
    if dtype is None or jnp.issubdtype(dtype, jax.dtypes.extended):
        raise ValueError(
            f"{name} is a {type(array).__name__} ({dtype}); a checkpoint holds plain "
            "arrays: use jnp.asarray, and jax.random.key_data for typed keys"
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty, of shape {array.shape}: leave it out")
    # As bytes, because bfloat16 has no buffer format of its own.
    octets = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    crc32 = zlib.crc32(octets.data)
    return {"shape": list(array.shape), "dtype": str(dtype), "crc32": crc32}


def checksum(leaves: Mapping[str, Any]) -> int:
    """CRC-32 of the descriptions of all leaves."""
    return zlib.crc32(json.dumps(leaves, sort_keys=True).encode())


def check_fit(stored: Mapping[str, Any], wanted: dict[str, Any], where: str) -> None:
    """Refuses a checkpoint of another network, naming the arrays that differ.

    Args:
        stored: for each name what `describe` gave.
        wanted: named arrays, or `jax.ShapeDtypeStruct`.
        where: names the checkpoint in the error.

    Raises:
        ValueError: an array is missing or of another shape or dtype.
    """
    for name in stored:
        below = f"{name}/"
        if name.endswith("/count") and any(w.startswith(below) for w in wanted):
            raise ValueError(
                f"the checkpoint of {where} has one {name} of updates, by an earlier "
                "version of jreid; where phases have trainable, each parameter has its "
                "own now: go on with that version, or begin another run, with "
                "--config.pretrained= and this run's folder"
            )
    problems = []
    for name, array in wanted.items():
        here = f"{array.dtype}{list(array.shape)}"
        if name not in stored:
            problems.append(f"{name}: not in the checkpoint")
            continue
        there = f"{stored[name]['dtype']}{stored[name]['shape']}"
        if here != there:
            problems.append(f"{name}: {here} here, {there} in the checkpoint")
    # Whole parts may be left out (a scorer needs no momentum), single arrays not.
    parts = {name.split("/")[0] for name in wanted}
    for name in stored.keys() - wanted.keys():
        if name.split("/")[0] in parts:
            problems.append(f"{name}: in the checkpoint, not here")
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise ValueError(
            f"the checkpoint of {where} is of another network or optimiser:\n  "
            + "\n  ".join(sorted(problems)[:10] + more)
            + "\nUse the config it was made with, or another --workdir."
        )
