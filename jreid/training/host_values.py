"""What a hook made on the host, in the places of arrays that a state holds."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jreid.training.state import Tree


def replaced(
    held: Mapping[str, Tree], given: Mapping[str, Tree], refusal: str
) -> dict[str, Tree]:
    """`held` with the trees that are given for some of its names, on its devices.

    Raises ValueError if shapes differ: `refusal`, with {name}, {now} and {before}.
    """
    trees = dict(held)
    for name, tree in given.items():
        before, now = (jax.tree.map(np.shape, t) for t in (trees.get(name), tree))
        if before != now:
            raise ValueError(refusal.format(name=name, now=now, before=before))
        trees[name] = jax.tree.map(like, tree, trees[name])
    return trees


def like(value: Any, array: jax.Array) -> jax.Array:
    """`value` on the devices of `array`."""
    return jax.device_put(value, array.sharding)
