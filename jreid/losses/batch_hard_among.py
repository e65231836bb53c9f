"""Batch-hard triplets among some of a batch's rows: unions of blocks (MMN, XIV)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    equal,
    euclidean_distances,
    farthest,
    nearest,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared, total
from jreid.shapes import Bool, Float, Int

Block = tuple[int, int]
"""Rows of one modality (0 visible, 1 infrared) and one copy (0: the images' own)."""


def rows_of_block(block: Block, batch: Mapping[str, Any]) -> Bool[jax.Array, " r"]:
    """Whether each row is in the block."""
    modality, copy = block
    return (batch["modality"] == modality) & (batch["copy"] == copy)


def batch_hard_among(
    features: Float[jax.Array, "r d"],
    ids: Int[jax.Array, " r"],
    among: Bool[jax.Array, " r"],
    *,
    margin: float = 0.3,
) -> Float[jax.Array, ""]:
    """Batch-hard triplet whose anchors, positives and negatives are rows in `among`.

    Mean over anchors of [margin + farthest positive - nearest negative]+, Euclidean. An
    anchor without a negative has loss 0 and counts in the mean.
    """
    features, same = widen(features), equal(ids)
    distances = euclidean_distances(features, features)
    positive = farthest(distances, same & among[None, :])
    negative = nearest(distances, ~same & among[None, :])
    losses = jnp.where(among, jax.nn.relu(margin + positive - negative), 0)
    return jnp.sum(losses) / jnp.maximum(jnp.sum(among), 1).astype(losses.dtype)


@dataclass(slots=True)
class BatchHardAmong:
    """Batch-hard triplets within unions of blocks, one for each union.

    MMN's are the four unions of a visible and an infrared block, their mean; XIV's the
    visible, the infrared and the made rows alone, their sum.
    """

    unions: tuple[tuple[Block, ...], ...]
    """Blocks, pairs of modality (0 or 1) and copy, that make a union."""
    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    margin: float = 0.3
    """In units of the features' Euclidean distance."""
    reduction: Literal["mean", "sum"] = "mean"
    """Over the unions."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0.0)
        if not self.unions or not all(self.unions):
            raise ValueError(
                f"unions is {self.unions}; allowed are unions of one block and more"
            )
        for modality, copy in (block for union in self.unions for block in union):
            if modality not in (0, 1) or copy < 0:
                raise ValueError(
                    f"unions has the block {(modality, copy)}; allowed are a modality, "
                    "0 or 1, and a copy, 0 and more"
                )

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        masks = [_rows_of(union, batch) for union in self.unions]
        share = 1 / len(masks) if self.reduction == "mean" else 1

        def loss(features):
            return share * total(
                batch_hard_among(features, batch["ids"], mask, margin=self.margin)
                for mask in masks
            )

        return shared(self.on, outputs, loss)


def _rows_of(union, batch):
    return jnp.any(jnp.stack([rows_of_block(block, batch) for block in union]), axis=0)
