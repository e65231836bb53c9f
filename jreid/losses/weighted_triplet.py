"""The weighted regularised triplet of AGW (eq. 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    agw_masked_softmax,
    equal,
    euclidean_distances,
    masked_softmax,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def weighted_regularized_triplet(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    *,
    form: str = "softmax",
) -> Float[jax.Array, ""]:
    """Mean over anchors of log(1 + exp(positive - negative)) (eq. 11).

    The positive is the sum of the distances to the images of the anchor's identity (the
    anchor among them, as in AGW), weighted by their softmax; the negative that of the
    distances to all others, weighted by the softmax of the negated distances. Images of
    both modalities are in the pool and gradients flow through the weights. An anchor
    without a negative has loss 0 and counts in the mean; in AGW's form it has the value
    that a negative at distance 0 gives, as there.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each image.
      form: "softmax" (exact), or "agw" for `agw_masked_softmax`.
    """
    weigh = {"softmax": masked_softmax, "agw": agw_masked_softmax}.get(form)
    if weigh is None:
        raise ValueError(f"form is {form!r}; allowed are 'softmax' and 'agw'")
    features = widen(features)
    distances = euclidean_distances(features, features)
    same = equal(ids)
    positive = jnp.sum(weigh(distances, same) * distances, axis=1)
    negative = jnp.sum(weigh(-distances, ~same) * distances, axis=1)
    losses = jax.nn.softplus(positive - negative)
    if form == "softmax":
        losses = jnp.where(jnp.any(~same, axis=1), losses, 0)
    return jnp.mean(losses)


@dataclass(slots=True)
class WeightedTriplet:
    """The weighted regularised triplet (eq. 11; AGW loss.py)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    form: Literal["softmax", "agw"] = "softmax"
    """softmax: exact; agw: the numerics of the released code."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: weighted_regularized_triplet(
                features, batch["ids"], form=self.form
            ),
        )
