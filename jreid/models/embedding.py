"""A test image's one vector, of the network's outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
    """By which two vectors are compared."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("features", self.features, 0)
        at_least("embeddings", self.embeddings, 0)
        if self.features + self.embeddings == 0:
            raise ValueError(
                "embeddings is 0, and so is features; allowed is one of them above 0"
            )

    def __call__(
        self, outputs: Mapping[str, Any], mirrored: Mapping[str, Any] | None = None
    ) -> dict[str, Float[jax.Array, "b d"]]:
        """The vectors by name: "fused", of all branches, then each branch's own.

        Args:
          outputs: of the network's `embed`.
          mirrored: the same of the mirrored images, where `flip` asks for them.

        Raises:
          ValueError: `names` has a branch that the network has not.
        """
        views = [outputs] if mirrored is None else [outputs, mirrored]
        there = list(outputs["embeddings"])
        if unknown := [name for name in self.names if name not in there]:
            raise ValueError(
                f"embedding.names has {unknown[0]!r}; the network's branches are "
                f"{', '.join(there)}"
            )
        vectors = {
            name: self._of_views([self._pieces(view, [name]) for view in views])
            for name in self.names or there
        }
        if self.normalise == "each":
            fused = unit_rows(_joined(list(vectors.values())))
        else:
            fused = self._of_views([self._pieces(v, list(vectors)) for v in views])
        return {"fused": fused} | vectors

    def _pieces(self, outputs, names):
        """The outputs that count and the roots of their shares of the weight."""
        weights = {"features": self.features, "embeddings": self.embeddings}
        total = self.features + self.embeddings
        return [
            (math.sqrt(weight / total), outputs[kind][name])
            for name in names
            for kind, weight in weights.items()
            if weight
        ]

    def _of_views(self, views):
        """One vector of an image's pieces, and where it is flipped of its mirror's."""
        if self.normalise == "each":
            pieces = [
                _mean_direction([x for _, x in seen])
                for seen in zip(*views, strict=True)
            ]
            roots = [root for root, _ in views[0]]
            return _joined([root * x for root, x in zip(roots, pieces, strict=True)])
        wholes = [_joined([root * x for root, x in view]) for view in views]
        if self.normalise == "whole":
            return _mean_direction(wholes)
        return sum(wholes[1:], start=wholes[0]) / len(wholes)


def unit_rows(x: Float[jax.Array, "b d"]) -> Float[jax.Array, "b d"]:
    """Rows divided by their Euclidean norm."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _mean_direction(vectors):
    first, *others = (unit_rows(x) for x in vectors)
    return unit_rows(sum(others, start=first))


def _joined(vectors):
    return jnp.concatenate(vectors, axis=-1)
