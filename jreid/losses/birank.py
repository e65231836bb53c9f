"""The bi-directional ranking loss of BDTR (Ye et al., IJCAI 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.directions import unit_rows
from jreid.losses.primitives import (
    equal,
    euclidean_distances,
    weights_in_own_modality,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def birank(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
    *,
    margin_across: float = 0.5,
    margin_within: float = 0.1,
    within: float = 0.1,
) -> Float[jax.Array, ""]:
    """Sum over the modalities of the mean over anchors of a cross and a within hinge.

    Of unit vectors, Euclidean. In the other modality p is the anchor's positive and n
    the nearest image of another identity: [margin_across + d(a, p) - d(a, n)]+ plus
    `within` times [margin_within - d(p, n)]+. BDTR has one positive for each anchor; of
    several this takes the farthest. An anchor without p or n has no term.
    """
    features = unit_rows(widen(features))
    distances = euclidean_distances(features, features)
    same, other = equal(ids), ~equal(modality)
    positives, negatives = other & same, other & ~same
    p = jnp.argmax(jnp.where(positives, distances, -1), axis=1)
    n = jnp.argmin(jnp.where(negatives, distances, jnp.inf), axis=1)
    of_anchor = [
        jnp.take_along_axis(distances, x[:, None], axis=1)[:, 0] for x in (p, n)
    ]
    across = jax.nn.relu(margin_across + of_anchor[0] - of_anchor[1])
    apart = jax.nn.relu(margin_within - distances[p, n])
    there = jnp.any(positives, axis=1) & jnp.any(negatives, axis=1)
    weights = weights_in_own_modality(there, modality).astype(distances.dtype)
    return jnp.sum(weights * (across + within * apart))


@dataclass(slots=True)
class BiRank:
    """Ranking from each modality into the other, with a constraint there (BDTR)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    margin_across: float = 0.5
    """In distances of unit vectors."""
    margin_within: float = 0.1
    """In distances of unit vectors."""
    within: float = 0.1
    """Weight of the constraint within the other modality."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        for name in ("margin_across", "margin_within", "within"):
            at_least(name, getattr(self, name), 0.0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: birank(
                features,
                batch["ids"],
                batch["modality"],
                margin_across=self.margin_across,
                margin_within=self.margin_within,
                within=self.within,
            ),
        )
