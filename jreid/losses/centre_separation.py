"""Rows near their centre, centres apart (MPANet, CVPR 2021; SAAI; PDM)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    equal,
    euclidean_distances,
    group_means,
    root,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Bool, Float, Int


def centre_separation(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    *,
    inner: float = 0.0,
    outer: float = 0.7,
) -> Float[jax.Array, ""]:
    """Mean of [|x - c_id| - inner]+ plus mean of [outer - |c - c'|]+ (MPANet, SAAI).

    c is the mean of an identity's rows of both modalities. The second mean is over
    ordered pairs of different identities; 0 where there is one identity.

    Args:
      features: features of all rows.
      ids: identity of each row.
      inner: distance from its centre up to which a row has no loss.
      outer: distance up to which two centres repel each other.
    """
    features, same = widen(features), equal(ids)
    centres = group_means(features, same)
    # Not by products, whose rounding a row near its centre would not survive.
    squared = jnp.sum(jnp.square(features - centres), axis=1)
    pulled = jnp.mean(jax.nn.relu(root(squared) - inner))
    hinge = jax.nn.relu(outer - euclidean_distances(centres, centres))
    return pulled + _mean_over_identities(hinge, same, ~same)


def _mean_over_identities(
    x: Float[jax.Array, "b b"],
    same: Bool[jax.Array, "b b"],
    mask: Bool[jax.Array, "b b"],
):
    """Mean over pairs of identities in `mask`; x is the same in all their rows."""
    per_row = 1 / jnp.sum(same, axis=1)
    weights = (mask * per_row[:, None] * per_row[None, :]).astype(x.dtype)
    return jnp.sum(weights * x) / jnp.maximum(jnp.sum(weights), 1e-9)


@dataclass(slots=True)
class CentreSeparation:
    """Rows near the centre of their identity, centres apart (MPANet, SAAI, PDM)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    inner: float = 0.0
    """Distance from its centre up to which a row has no loss, Euclidean."""
    outer: float = 0.7
    """Distance up to which two centres repel each other, Euclidean."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("inner", self.inner, 0.0)
        at_least("outer", self.outer, 0.0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: centre_separation(
                features, batch["ids"], inner=self.inner, outer=self.outer
            ),
        )
