"""Cross-modality pair mining and orthogonality of expanded rows (DEEN, CVPR 2023).

`copy` is 0 in an image's own row, 1 and more in those that were made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    EXACT,
    equal,
    euclidean_distances,
    group_means,
    in_both,
    nearest,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared, total
from jreid.shapes import Float, Int


def pair_mining(
    features: Float[jax.Array, "r d"],
    ids: Int[jax.Array, " r"],
    modality: Int[jax.Array, " r"],
    copy: Int[jax.Array, " r"],
    *,
    made: int = 1,
    margin: float = 0.2,
) -> Float[jax.Array, ""]:
    """DEEN's CPM of the images' rows and one set of rows made of them.

    On centres of identities, v and i of the images, v' and i' of the rows made of them:
    [D(i, v') - D(v, v') + m]+ + ([D(i, v') - min D(v', v') + m]+
    + [D(i, v') - min D(v, v) + m]+) / 2, with minima over other identities, averaged
    over identities and over the two modalities' roles. D(v, v') gets no gradient. An
    identity that lacks a modality is left out; without another the minima are infinite.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each row.
      modality: 0 (visible) or 1 (infrared) of each row.
      copy: 0 in an image's own row, else which of those made of it.
      made: the copy that is mined.
      margin: the hinges' margin, in units of distance.
    """
    features, same = widen(features), equal(ids)
    total = jnp.zeros((), features.dtype)
    for value in (0, 1):
        own, other = modality == value, modality != value
        whole = in_both(same, own, other)
        v, v_made, i = (
            group_means(features, same & rows[None, :])
            for rows in (own & (copy == 0), own & (copy == made), other & (copy == 0))
        )
        total = total + jnp.sum(
            _weights(same, whole, features.dtype)
            * _half(v, v_made, i, ~same & whole[None, :], margin)
        )
    return total / 2


def _half(v, v_made, i, others, margin):
    """Of each row's identity, with the visible or the infrared rows as v."""
    across = jnp.diagonal(euclidean_distances(i, v_made))
    within = jax.lax.stop_gradient(jnp.diagonal(euclidean_distances(v, v_made)))
    hinge = jax.nn.relu(across - within + margin)
    for centres in (v_made, v):
        closest = nearest(euclidean_distances(centres, centres), others)
        hinge = hinge + jax.nn.relu(across - closest + margin) / 2
    return hinge


def _weights(same, whole, dtype):
    """1 / (rows of the identity) / (identities): an identity counts once."""
    there = whole / jnp.sum(same, axis=1)
    return (there / jnp.maximum(jnp.sum(there), 1e-9)).astype(dtype)


def orthogonality(
    features: Float[jax.Array, "r d"],
    source: Int[jax.Array, " r"],
    copy: Int[jax.Array, " r"],
) -> Float[jax.Array, ""]:
    """Inner products of the rows made of one image, summed, over the number of rows."""
    features = widen(features)
    products = jnp.matmul(features, features.T, precision=EXACT)
    made = (copy[:, None] > 0) & (copy[None, :] > copy[:, None])
    return jnp.sum(jnp.where(equal(source) & made, products, 0)) / len(features)


@dataclass(slots=True)
class PairMining:
    """Centres of made rows come near the other modality's (DEEN, CPM)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    margin: float = 0.2
    """In units of the features' Euclidean distance."""
    copies: int = 2
    """Sets of rows made of the images, whose values are added."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("margin", self.margin, 0.0)
        at_least("copies", self.copies, 1.0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        rows = (batch["ids"], batch["modality"], batch["copy"])
        return shared(
            self.on,
            outputs,
            lambda features: total(
                pair_mining(features, *rows, made=made, margin=self.margin)
                for made in range(1, self.copies + 1)
            ),
        )


@dataclass(slots=True)
class Orthogonality:
    """Rows made of one image become orthogonal (DEEN)."""

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
            lambda features: orthogonality(features, batch["source"], batch["copy"]),
        )
