"""Hi-CMD's triplet (CVPR 2020): cosines driven apart, all the way to 1 and -1."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.extremes import largest, smallest
from jreid.lazy import jax, jnp
from jreid.losses.directions import cosines
from jreid.losses.primitives import equal, weights_in_own_modality, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Bool, Float, Int


def squared_cosine_triplet(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
    anchors: Bool[jax.Array, " b"],
    *,
    margin: float = 0.5,
    pull: float = 1.0,
) -> Float[jax.Array, ""]:
    """Sum over the modalities of their anchors' mean of a hinge and two squares.

    [margin + n - p]+ + pull ((1 + n)^2 + (1 - p)^2), with p the cosine similarity to
    the least similar row of the anchor's identity, n that to the most similar row of
    another; all rows are looked at. An anchor without another identity has no term.
    """
    features = widen(features)
    similarities = cosines(features, features)
    same = equal(ids)
    there = anchors & jnp.any(~same, axis=1)
    p = smallest(jnp.where(same, similarities, 2), axis=1)
    n = largest(jnp.where(same, -2, similarities), axis=1)
    squares = (1 + n) ** 2 + (1 - p) ** 2
    losses = jax.nn.relu(margin + n - p) + pull * squares
    weights = weights_in_own_modality(there, modality).astype(losses.dtype)
    return jnp.sum(weights * jnp.where(there, losses, 0))


@dataclass(slots=True)
class SquaredCosineTriplet:
    """Batch-hard by cosine, the anchors being images of which there are several rows.

    Rows of one image, as its translations, share their `source`; an image with a single
    row is another's negative or positive and no anchor (as released).
    """

    weight: float = 1.0
    on: On = "embeddings.v1"
    """Vectors by name, or pairs of a name and a share."""
    margin: float = 0.5
    """In units of cosine similarity."""
    pull: float = 1.0
    """Weight of the two squares."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0)
        at_least("pull", self.pull, 0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        anchors = jnp.sum(equal(batch["source"]), axis=1) > 1
        return shared(
            self.on,
            outputs,
            lambda x: squared_cosine_triplet(
                x,
                batch["ids"],
                batch["modality"],
                anchors,
                margin=self.margin,
                pull=self.pull,
            ),
        )
