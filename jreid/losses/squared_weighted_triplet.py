"""The squared weighted triplet of CAJ (Ye et al., ICCV 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    agw_masked_softmax,
    equal,
    euclidean_distances,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def squared_weighted_triplet(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    *,
    limit: float = 88.0,
) -> Float[jax.Array, ""]:
    """Mean over anchors of log(1 + exp(+-gap^2)), as released (CAJ loss.py, ADP).

    The gap is AGW's weighted positive distance (the anchor among its positives) minus
    the weighted negative one; its square counts with its sign. The square is cut at
    `limit`: an anchor whose gap is beyond 9.38 has gradient 0 and no longer learns.
    An anchor without a negative has loss 0 and counts in the mean.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each image.
      limit: largest squared gap, in units of squared distance; 0: none.
    """
    features = widen(features)
    distances = euclidean_distances(features, features)
    same = equal(ids)
    positive = jnp.sum(agw_masked_softmax(distances, same) * distances, axis=1)
    negative = jnp.sum(agw_masked_softmax(-distances, ~same) * distances, axis=1)
    squared = jnp.square(positive - negative)
    if limit:
        squared = jnp.minimum(squared, limit)
    losses = jax.nn.softplus(jnp.where(positive > negative, squared, -squared))
    return jnp.mean(jnp.where(jnp.any(~same, axis=1), losses, 0))


@dataclass(slots=True)
class SquaredWeightedTriplet:
    """The squared weighted triplet (CAJ, ADP)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    limit: float = 88.0
    """Largest squared gap, beyond which an anchor has no gradient; 0: none."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("limit", self.limit, 0.0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: squared_weighted_triplet(
                features, batch["ids"], limit=self.limit
            ),
        )
