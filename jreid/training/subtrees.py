"""Parts of a parameter tree, chosen by a pattern of paths: whose turn it is to move."""

import re
from collections.abc import Mapping
from typing import Any

from jreid.lazy import jax


def split_by(pattern: str, tree: Any, prefix: str = "") -> tuple[dict, dict]:
    """The leaves whose path begins with the pattern, and the others.

    A path joins the keys with "/" ("stems/visible/conv1/kernel"); the pattern is a
    regular expression that must match its beginning, up to the end of a key. Both
    results are nested dicts without empty ones.
    """
    mine, others = {}, {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            for found, part in zip(
                (mine, others), split_by(pattern, value, f"{path}/"), strict=True
            ):
                if part:
                    found[key] = part
        else:
            matches = re.match(rf"(?:{pattern})(?=/|$)", path)
            (mine if matches else others)[key] = value
    return mine, others


def merged(one: Any, other: Any) -> dict:
    """The inverse of `split_by`; keys are sorted, as JAX sorts them."""
    whole = {}
    for key in sorted({*one, *other}):
        if key in one and key in other:
            whole[key] = merged(one[key], other[key])
        else:
            whole[key] = one[key] if key in one else other[key]
    return whole


def unmoved(new: Any, old: Any, moves: Mapping[str, bool]) -> Any:
    """`new`, but `old` where a leaf is of a parameter that does not move.

    An optimiser's state has the parameters' paths at its own paths' ends. The longest
    such end counts: "mu/teacher/trunk" is of "teacher/trunk", not of "trunk".

    Args:
      moves: whether each parameter does, by its path.
    """

    def choose(path, now, before):
        keys = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        ends = ("/".join(keys[i:]) for i in range(len(keys)))
        return now if next((moves[e] for e in ends if e in moves), True) else before

    return jax.tree_util.tree_map_with_path(choose, new, old)


def paths_of(tree: Any, prefix: str = "") -> list[str]:
    """The paths of all leaves."""
    paths = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            paths += paths_of(value, f"{prefix}{key}/")
        else:
            paths.append(f"{prefix}{key}")
    return paths
