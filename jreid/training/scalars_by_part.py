"""Scalars that tell which part of a network grows: gradients, updates, activations."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

Tree = Any  # nested dicts of arrays


def by_part(
    params: Tree, grads: Tree, updates: Tree, outputs: Mapping[str, Any]
) -> dict[str, Float[Array, ""]]:
    """Norms of the step by part of the network, and root mean squares of its outputs.

    A part is a subtree of the parameters at the top, of `branches` one below it.

    Returns:
      part/grad_norm/PART: Euclidean norm of the gradient.
      part/update_ratio/PART: norm of the update over that of the parameters.
      part/rms/KIND.NAME: root mean square of an output, such as "logits.z1".
    """
    scalars = {}
    for name in _parts(params):
        part, grad, update = (_at(tree, name) for tree in (params, grads, updates))
        weight = jnp.maximum(optax.tree.norm(part), 1e-12)
        scalars[f"part/grad_norm/{name}"] = optax.tree.norm(grad)
        scalars[f"part/update_ratio/{name}"] = optax.tree.norm(update) / weight
    for kind in ("features", "embeddings", "refined", "logits"):
        for name, value in outputs.get(kind, {}).items():
            rms = jnp.sqrt(jnp.mean(value.astype(jnp.float32) ** 2))
            scalars[f"part/rms/{kind}.{name}"] = rms
    return scalars


def _parts(params: Tree) -> list[str]:
    names = []
    for name, tree in params.items():
        names += [f"{name}/{key}" for key in tree] if name == "branches" else [name]
    return names


def _at(tree: Tree, name: str) -> Tree:
    for key in name.split("/"):
        tree = tree[key]
    return tree
