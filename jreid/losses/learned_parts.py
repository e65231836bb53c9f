"""Terms on the masks of learned parts: overlap (MPANet), spread (SAAI, PDM)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float


def mask_overlap(masks: Float[jax.Array, "b h w m"]) -> Float[jax.Array, ""]:
    """Sum over places of the product of two masks, mean over their pairs and images.

    One mask has no pair: 0.
    """
    flat = widen(masks).reshape(len(masks), -1, masks.shape[-1])
    products = jnp.einsum("bnm,bnk->bmk", flat, flat)
    above = jnp.triu(jnp.ones(products.shape[1:], products.dtype), 1)
    return jnp.sum(products * above[None]) / (len(masks) * _pairs(masks))


def prototype_spread(masks: Float[jax.Array, "b h w m"]) -> Float[jax.Array, ""]:
    """Negated root mean squared difference of two masks, over pairs and images.

    The mean square is over an image's places, its root is averaged (SAAI's and PDM's
    code). One mask has no pair: 0.
    """
    flat = widen(masks).reshape(len(masks), -1, masks.shape[-1])
    squared = jnp.mean(jnp.square(flat[..., :, None] - flat[..., None, :]), axis=1)
    above = jnp.triu(jnp.ones(squared.shape[1:], bool), 1)[None]
    apart = above & (squared > 0)
    roots = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), 0)
    return -jnp.sum(roots) / (len(masks) * _pairs(masks))


def _pairs(masks: jax.Array) -> int:
    """How many pairs of masks a mean is over; 1 where there is none to divide by."""
    return max(math.comb(masks.shape[-1], 2), 1)


@dataclass(slots=True)
class MaskOverlap:
    """Masks of different parts do not see the same places (MPANet)."""

    weight: float = 1.0
    on: On = "masks.v1"
    """Masks by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(self.on, outputs, mask_overlap)


@dataclass(slots=True)
class PrototypeSpread:
    """Masks of different prototypes differ (SAAI, PDM)."""

    weight: float = 0.25
    on: On = "masks.v1"
    """Masks by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(self.on, outputs, prototype_spread)
