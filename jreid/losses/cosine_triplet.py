"""The batch-hard triplet on cosine similarities (AlignGAN, ICCV 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jreid.bounds import at_least
from jreid.extremes import largest, smallest
from jreid.lazy import jax, jnp
from jreid.losses.directions import cosines
from jreid.losses.primitives import equal, weights_in_own_modality, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Bool, Float, Int


def cosine_triplet(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
    others: Bool[jax.Array, "b b"],
    *,
    margin: float = 1.0,
) -> Float[jax.Array, ""]:
    """Sum over the modalities of the mean over anchors of [margin + n - p]+.

    p is the cosine similarity to the least similar image of the anchor's identity among
    its `others`, n that to the most similar image of another identity there. An anchor
    without either has no term.
    """
    features = widen(features)
    similarities = cosines(features, features)
    same = equal(ids)
    positives, negatives = others & same, others & ~same
    there = jnp.any(positives, axis=1) & jnp.any(negatives, axis=1)
    positive = smallest(jnp.where(positives, similarities, 2), axis=1)
    negative = largest(jnp.where(negatives, similarities, -2), axis=1)
    hinge = jax.nn.relu(margin + negative - positive)
    weights = weights_in_own_modality(there, modality).astype(hinge.dtype)
    return jnp.sum(weights * jnp.where(there, hinge, 0))


@dataclass(slots=True)
class CosineTriplet:
    """Triplets of an anchor and the hardest of the others, by cosine similarity."""

    weight: float = 1.0
    on: On = "embeddings.v1"
    """Vectors by name, or pairs of a name and a share."""
    margin: float = 1.0
    """In units of cosine similarity."""
    others: Literal["other modality", "own modality"] = "other modality"
    """Where an anchor's positive and negative are."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        ids, modality = batch["ids"], batch["modality"]
        own = equal(modality)
        others = own if self.others == "own modality" else ~own
        return shared(
            self.on,
            outputs,
            lambda x: cosine_triplet(x, ids, modality, others, margin=self.margin),
        )
