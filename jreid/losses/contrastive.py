"""The contrastive loss on pairs of rows (TONE; Ye et al., AAAI 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.directions import unit_rows
from jreid.losses.pairs import mean_of_pairs, modalities_paired, partners
from jreid.losses.primitives import EXACT, equal, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Bool, Float, Int


def contrastive(
    features: Float[jax.Array, "r d"],
    ids: Int[jax.Array, " r"],
    pairs: Bool[jax.Array, "r r"],
    modality: Int[jax.Array, " r"] | None = None,
    *,
    margin: float = 0.5,
) -> Float[jax.Array, ""]:
    """Half the mean over pairs of d^2 (same identity) or ([margin - d]+)^2 (others).

    Args:
      features: features of all rows.
      ids: identity of each row.
      pairs: whether rows i and j are a pair.
      modality: of each row. Given, each dimension has length 1 over the rows of a
        modality, as in TONE's released code, where its sum of squares is 1e-12 at
        least; else each row has length 1.
      margin: in distances of the normalised features.
    """
    features = widen(features)
    if modality is None:
        x = unit_rows(features)
    else:
        own = equal(modality).astype(features.dtype)
        squared = jnp.matmul(own, jnp.square(features), precision=EXACT)
        x = features * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
    squared = jnp.sum(jnp.square(x - partners(pairs, x)), axis=1)
    apart = squared > 1e-12
    distances = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), 0)
    alike = jnp.any(pairs & equal(ids), axis=1)
    losses = jnp.where(alike, squared, jnp.square(jax.nn.relu(margin - distances)))
    return mean_of_pairs(pairs, losses) / 2


@dataclass(slots=True)
class Contrastive:
    """Rows of one slot: near if they are one identity, else apart (TONE)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    margin: float = 0.5
    """In distances of the normalised features."""
    normalise: Literal["row", "batch"] = "row"
    """row: every vector to length 1; batch: every dimension over a modality's rows, as
    released."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0.0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        pairs = modalities_paired(batch)
        modality = batch["modality"] if self.normalise == "batch" else None
        return shared(
            self.on,
            outputs,
            lambda features: contrastive(
                features,
                batch["ids"],
                pairs,
                modality,
                margin=self.margin,
            ),
        )
