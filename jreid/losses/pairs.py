"""Rows that belong together: two columns of a batch, paired by their places in it.

`slot` is a row's place in its column. Paired by it, no loss depends on the order of
the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jreid.lazy import jax, jnp
from jreid.losses.primitives import EXACT
from jreid.shapes import Bool, Float, Int


def paired(
    slot: Int[jax.Array, " r"],
    first: Bool[jax.Array, " r"],
    second: Bool[jax.Array, " r"],
) -> Bool[jax.Array, "r r"]:
    """Whether row i is of the first kind, row j of the second, in the same slot."""
    return first[:, None] & second[None, :] & (slot[:, None] == slot[None, :])


def views_paired(
    batch: Mapping[str, Any], first: int, second: int
) -> Bool[jax.Array, "r r"]:
    """Rows of two views, by their numbers in the order of the config's views."""
    view = batch["view"]
    same_copy = batch["copy"][:, None] == batch["copy"][None, :]
    return paired(batch["slot"], view == first, view == second) & same_copy


def modalities_paired(batch: Mapping[str, Any]) -> Bool[jax.Array, "r r"]:
    """Visible rows (0) with infrared ones (1), of the views of lowest number."""
    modality, view, copy = batch["modality"], batch["view"], batch["copy"]
    kinds = []
    for value in (0, 1):
        of_modality = modality == value
        # a second view of the modality shows the same images
        lowest = jnp.min(jnp.where(of_modality, view, jnp.iinfo(view.dtype).max))
        kinds.append(of_modality & (view == lowest) & (copy == 0))
    return paired(batch["slot"], *kinds)


def partners(
    pairs: Bool[jax.Array, "r r"], x: Float[jax.Array, "r d"]
) -> Float[jax.Array, "r d"]:
    """Of each row the row of `x` that it is paired with; zeros where none is."""
    return jnp.matmul(pairs.astype(x.dtype), x, precision=EXACT)


def mean_of_pairs(
    pairs: Bool[jax.Array, "r r"], losses: Float[jax.Array, " r"]
) -> Float[jax.Array, ""]:
    """Mean of `losses` over the rows that have a partner; 0 where none has."""
    there = jnp.any(pairs, axis=1)
    count = jnp.maximum(jnp.sum(there), 1).astype(losses.dtype)
    return jnp.sum(jnp.where(there, losses, 0)) / count
