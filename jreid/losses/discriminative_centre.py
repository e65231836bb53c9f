"""PMT's discriminative centres: own rows near, the nearer others far (AAAI 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    equal,
    euclidean_distances,
    group_means,
    masked_mean,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def discriminative_centre(
    features: Float[jax.Array, "b d"], ids: Int[jax.Array, " b"]
) -> Float[jax.Array, ""]:
    """Mean distance of rows to their centre, over that of centres to near negatives.

    A centre is the mean of an identity's rows of both modalities. Its near negatives
    are others' rows that are nearer to it than those are on average; of their distances
    the mean for each identity, and of these. Where all are as far, that distance counts
    (the released code has no number then). A batch of one identity is 0.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each image.
    """
    features, same = widen(features), equal(ids)
    distances = euclidean_distances(group_means(features, same), features)
    others = masked_mean(distances, ~same)[:, None]
    near = ~same & (distances < others)
    negative = jnp.where(jnp.any(near, 1), masked_mean(distances, near), others[:, 0])
    # A centre appears once for each of its images: together these weigh 1.
    weights = (jnp.any(~same, axis=1) / jnp.sum(same, axis=1)).astype(distances.dtype)
    negative = jnp.sum(weights * negative) / jnp.maximum(jnp.sum(weights), 1e-9)
    ratio = jnp.mean(jnp.diagonal(distances)) / jnp.maximum(negative, 1e-9)
    return jnp.where(jnp.any(~same), ratio, 0)


@dataclass(slots=True)
class DiscriminativeCentre:
    """Rows near the centre of their identity, near negatives far from it (PMT, DCL)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: discriminative_centre(features, batch["ids"]),
        )
