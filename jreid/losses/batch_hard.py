"""The batch-hard triplet (Hermans et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    equal,
    euclidean_distances,
    farthest,
    nearest,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def batch_hard_triplet(
    features: Float[jax.Array, "b d"], ids: Int[jax.Array, " b"], *, margin: float = 0.3
) -> Float[jax.Array, ""]:
    """Mean over anchors of the hinge margin + farthest positive - nearest negative.

    Euclidean distances over all rows, whatever their modality. An anchor without a
    negative has loss 0 and counts in the mean.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each image.
      margin: the hinge's margin, in units of distance.
    """
    features = widen(features)
    distances = euclidean_distances(features, features)
    same = equal(ids)
    hinge = margin + farthest(distances, same) - nearest(distances, ~same)
    return jnp.mean(jax.nn.relu(hinge))


@dataclass(slots=True)
class BatchHardTriplet:
    """Triplet hinge on the farthest positive and the nearest negative of all rows."""

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
            lambda features: batch_hard_triplet(
                features, batch["ids"], margin=self.margin
            ),
        )
