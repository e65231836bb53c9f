"""The hetero-centre loss (Zhu et al., Neurocomputing 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.directions import unit_rows
from jreid.losses.primitives import equal, group_means, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def hetero_centre(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
    *,
    normalise: bool = True,
    margin: float = 0.0,
) -> Float[jax.Array, ""]:
    """Squared distance of an identity's two centres, summed over identities.

    A centre is the mean of one identity's features in one modality, each divided by its
    norm before, or as they are. Of a squared distance counts what is above the margin.
    An identity of one modality has no term.
    """
    features = unit_rows(widen(features)) if normalise else widen(features)
    same, same_modality = equal(ids), equal(modality)
    own = group_means(features, same & same_modality)
    other = group_means(features, same & ~same_modality)
    squared = jnp.sum(jnp.square(own - other), axis=1)
    if margin:
        squared = jax.nn.relu(squared - margin)
    # An identity appears once for each of its images: together these weigh 1.
    weights = jnp.any(same & ~same_modality, axis=1) / jnp.sum(same, axis=1)
    return jnp.sum(weights.astype(squared.dtype) * squared)


@dataclass(slots=True)
class HeteroCentre:
    """Squared distance of an identity's two modality centres (HC)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    normalise: bool = True
    """Whether features are brought to length 1 before their mean."""
    margin: float = 0.0
    """Squared distance up to which centres may be apart."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: hetero_centre(
                features,
                batch["ids"],
                batch["modality"],
                normalise=self.normalise,
                margin=self.margin,
            ),
        )
