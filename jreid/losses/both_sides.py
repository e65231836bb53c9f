"""Centre triplets of two blocks of rows, mined on both sides (XIV, AAAI 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.batch_hard_among import Block, rows_of_block
from jreid.losses.primitives import (
    EXACT,
    equal,
    euclidean_distances,
    group_means,
    in_both,
    nearest,
    root,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Bool, Float, Int


def both_sides_triplet(
    features: Float[jax.Array, "r d"],
    ids: Int[jax.Array, " r"],
    first: Bool[jax.Array, " r"],
    second: Bool[jax.Array, " r"],
    *,
    margin: float = 0.5,
    exchanged: bool = False,
) -> Float[jax.Array, ""]:
    """Mean over identities of [m + D(a_k, b_k) - min D(a_k, b_l), D(a_l, b_k)]+.

    a and b are the centres of an identity's rows in the two blocks, l any other
    identity. Symmetric in the blocks: XIV's code counts each direction with weight .1,
    which is .2 once. Its distance D(a_k, b_l) has |a_l|^2 and |b_k|^2 in the place of
    |a_k|^2 and |b_l|^2, as here with `exchanged`; without it is the correct one.
    Identities that lack a block are left out.
    """
    features, same = widen(features), equal(ids)
    a = group_means(features, same & first[None, :])
    b = group_means(features, same & second[None, :])
    distances = _exchanged(a, b) if exchanged else euclidean_distances(a, b)
    whole = in_both(same, first, second)
    others = ~same & whole[None, :]
    closest = jnp.minimum(nearest(distances, others), nearest(distances.T, others))
    losses = jax.nn.relu(margin + jnp.diagonal(distances) - closest)
    # An identity appears once for each of its rows: together these weigh 1.
    weights = (whole / jnp.sum(same, axis=1)).astype(losses.dtype)
    return jnp.sum(weights * losses) / jnp.maximum(jnp.sum(weights), 1e-9)


def _exchanged(a, b):
    """XIV's: the squared norms are those of the other row and column."""
    norms = jnp.sum(b**2, axis=1)[:, None] + jnp.sum(a**2, axis=1)[None, :]
    squared = norms - 2 * jnp.matmul(a, b.T, precision=EXACT)
    return root(squared)


@dataclass(slots=True)
class BothSidesTriplet:
    """Triplet of the centres of two blocks, negatives on both sides (XIV)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    first: Block = (1, 0)
    """A modality (0 visible, 1 infrared) and a copy (0: the images' own)."""
    second: Block = (0, 0)
    """A modality and a copy."""
    margin: float = 0.5
    """In units of the features' Euclidean distance."""
    exchanged: bool = False
    """Whether the distance is the released one, with two squared norms exchanged."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0.0)
        if self.first == self.second:
            raise ValueError(
                f"second is {self.second}, and so is first; allowed are two blocks"
            )

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        blocks = [rows_of_block(b, batch) for b in (self.first, self.second)]
        return shared(
            self.on,
            outputs,
            lambda features: both_sides_triplet(
                features,
                batch["ids"],
                *blocks,
                margin=self.margin,
                exchanged=self.exchanged,
            ),
        )
