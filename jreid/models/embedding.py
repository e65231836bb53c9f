"""A test image's one vector, of the network's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.shapes import Float


@dataclass(slots=True)
class Embedding:
    """Which outputs stand for an image, and how two images are compared.

    The weights are those of a sum of similarities, w1 <a1, b1> + w2 <a2, b2>, which is
    one product of vectors whose pieces are scaled by the weights' roots.
    """

    features: float = 0.0
    """Weight of each branch's vector before the neck."""
    embeddings: float = 1.0
    """Weight of each branch's vector after the neck."""
    names: tuple[str, ...] = ()
    """Branches, in this order; none named: all."""
    normalise: Literal["each", "whole", "none"] = "each"
    """each: every piece to length 1, then the whole; whole: the concatenation alone;
    none: as the network gives them."""
    flip: bool = False
    """Whether the mirrored image's vector is added."""
    measure: Literal["cosine", "product", "euclidean"] = "cosine"
    """By which vectors are compared: cosine similarity, product or Euclidean distance."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("features", self.features, 0)
        at_least("embeddings", self.embeddings, 0)
        if self.features + self.embeddings == 0:
            raise ValueError(
                "embeddings is 0, and so is features; allowed is one of them above 0"
            )
