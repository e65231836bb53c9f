"""Triplets of the centres of identities and modalities (eq. 12-14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    equal,
    euclidean_distances,
    farthest,
    group_means,
    nearest,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def hetero_center_triplet(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
    *,
    margin: float = 0.3,
    reduction: str = "mean",
) -> Float[jax.Array, ""]:
    """Triplet hinge on the centres of identities and modalities (eq. 12-14).

    A centre is the mean feature of one identity in one modality, over any number of
    images. Its positive is the centre of the same identity in the other modality, its
    negative the nearest centre of any other identity in either modality. A centre whose
    identity is absent from the other modality is no anchor, but a negative to others;
    a batch of one identity has loss 0.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each image.
      modality: modality of each image, two different values.
      margin: the hinge's margin, in units of distance.
      reduction: "mean" over the centres (HC-Tri loss.py) or "sum" (as eq. 14 prints).
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}; allowed are 'mean' and 'sum'")
    features = widen(features)
    same, same_modality = equal(ids), equal(modality)
    members, counterparts = same & same_modality, same & ~same_modality
    centers = group_means(features, members)  # of each image's own group
    distances = euclidean_distances(centers, centers)
    hinge = jax.nn.relu(
        margin + farthest(distances, counterparts) - nearest(distances, ~same)
    )
    # A centre appears once for each of its images: together these weigh 1.
    weights = jnp.any(counterparts, axis=1) / jnp.sum(members, axis=1)
    total = jnp.sum(weights.astype(hinge.dtype) * hinge)
    if reduction == "sum":
        return total
    return total / jnp.maximum(jnp.sum(weights).astype(hinge.dtype), 1)


@dataclass(slots=True)
class HeteroCenterTriplet:
    """Triplet hinge on the centres of identities and modalities (eq. 12-14)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    margin: float = 0.3
    """In units of the features' Euclidean distance."""
    reduction: Literal["mean", "sum"] = "mean"
    """Over the centres; sum is as eq. 14 prints it."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: hetero_center_triplet(
                features,
                batch["ids"],
                batch["modality"],
                margin=self.margin,
                reduction=self.reduction,
            ),
        )
