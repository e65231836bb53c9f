"""A test image's one vector, of the network's outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    normalise: Literal["each", "kind", "whole", "none"] = "each"
    """each: every piece to length 1, then the whole; kind: of features and embeddings
    each the concatenation over the branches, then the whole; whole: the concatenation
    alone; none: as the network gives them."""
    flip: bool = False
    """Whether the mirrored image's vector is added."""
    copies: Literal["mean", "sum", "each"] = "mean"
    """Where an image has several rows. mean: the mean of their outputs; sum: their
    vectors are added, as the mirrored image's is; each: every one is a piece."""
    unit: bool = True
    """Whether sums of vectors of length 1, over mirror and copies, and the whole are
    brought to length 1 again; released code often leaves them as they are."""
    measure: Literal["cosine", "product", "euclidean"] = "cosine"
    """By which two vectors are compared."""
    plain: bool = False
    """Whether "plain" is scored beside it: the vectors after the neck, without the
    mirrored image's."""

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
        """The vectors by name: "fused", of all branches, "plain", each branch's own.

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
            name: self._of_views(
                [seen for v in views for seen in self._seen(v, [name])]
            )
            for name in self.names or there
        }
        if self.normalise == "each":
            joined = _joined(list(vectors.values()))
            fused = self.directions(joined) if self.unit else joined
        else:
            names = list(vectors)
            fused = self._of_views([s for v in views for s in self._seen(v, names)])
        beside = {}
        if self.plain:
            alone = replace(
                self, features=0.0, embeddings=1.0, normalise="kind", plain=False
            )
            beside["plain"] = alone(outputs)["fused"]
        return {"fused": fused} | beside | vectors

    def _seen(self, outputs, names):
        """What is added up: the pieces of an image, or those of each of its copies.

        Pieces are the outputs that count and the roots of their shares of the weight.
        """
        weights = {"features": self.features, "embeddings": self.embeddings}
        total = self.features + self.embeddings
        kinds = {k: math.sqrt(w / total) for k, w in weights.items() if w}
        rows = {k: [_copies(outputs[k][n], self.copies) for n in names] for k in kinds}
        count = len(next(iter(rows.values()))[0])
        if self.copies == "sum":
            return [self._pieces(kinds, rows, [copy]) for copy in range(count)]
        return [self._pieces(kinds, rows, range(count))]

    def _pieces(self, kinds, rows, copies):
        root = 1 if len(copies) == 1 else math.sqrt(1 / len(copies))
        if self.normalise == "kind":
            return [
                (root * kinds[kind], _joined([branch[copy] for branch in branches]))
                for kind, branches in rows.items()
                for copy in copies
            ]
        return [
            (root * kinds[kind], rows[kind][branch][copy])
            for branch in range(len(next(iter(rows.values()))))
            for kind in kinds
            for copy in copies
        ]

    def _of_views(self, views):
        """One vector of an image's pieces, and of those that are added to it."""
        if self.normalise in ("each", "kind"):
            pieces = [
                self._mean_direction([x for _, x in seen])
                for seen in zip(*views, strict=True)
            ]
            roots = [root for root, _ in views[0]]
            return _joined([root * x for root, x in zip(roots, pieces, strict=True)])
        wholes = [_joined([root * x for root, x in view]) for view in views]
        if self.normalise == "whole":
            return self._mean_direction(wholes)
        return _mean(wholes)

    def _mean_direction(self, vectors):
        mean = _mean([self.directions(x) for x in vectors])
        return self.directions(mean) if self.unit else mean

    def directions(self, x: Float[jax.Array, "b d"]) -> Float[jax.Array, "b d"]:
        """Rows at unit length: every length that a vector is divided by, is here."""
        return unit_rows(x)


def unit_rows(x: Float[jax.Array, "b d"]) -> Float[jax.Array, "b d"]:
    """Rows divided by their Euclidean norm."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _mean(vectors):
    first, *others = vectors
    return sum(others, start=first) / len(vectors) if others else first


def _copies(x, form):
    """The rows of each copy [b d], or one list of their mean."""
    if x.ndim == 2:
        return [x]
    return [x.mean(1)] if form == "mean" else list(jnp.moveaxis(x, 1, 0))


def _joined(vectors):
    return jnp.concatenate(vectors, axis=-1)
