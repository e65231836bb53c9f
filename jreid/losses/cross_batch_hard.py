"""The batch-hard triplet from each modality into the other (cmGAN)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    equal,
    euclidean_distances,
    farthest,
    nearest,
    weights_in_own_modality,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def cross_batch_hard(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
    *,
    margin: float = 0.3,
) -> Float[jax.Array, ""]:
    """Sum over the modalities of the mean over anchors of [margin + p - n]+.

    p is the Euclidean distance to the farthest image of the anchor's identity in the
    other modality, n that to the nearest image of another identity there. An anchor
    without either has no term.
    """
    features = widen(features)
    distances = euclidean_distances(features, features)
    same, other = equal(ids), ~equal(modality)
    positives, negatives = other & same, other & ~same
    there = jnp.any(positives, axis=1) & jnp.any(negatives, axis=1)
    hinge = margin + farthest(distances, positives) - nearest(distances, negatives)
    weights = weights_in_own_modality(there, modality).astype(hinge.dtype)
    return jnp.sum(weights * jnp.where(there, jax.nn.relu(hinge), 0))


@dataclass(slots=True)
class CrossBatchHard:
    """Triplets of an anchor and the other modality's hardest images, both ways."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    margin: float = 0.3
    """In units of the features' Euclidean distance."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: cross_batch_hard(
                features, batch["ids"], batch["modality"], margin=self.margin
            ),
        )
