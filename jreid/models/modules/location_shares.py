"""The similarity of two vectors as shares of the locations of the last map.

With the vectors' lengths held as constants, map times gradient gives each location its
share; what it is worth, see `jreid.explanation`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jreid.models.embedding import Embedding
from jreid.models.modules.two_stream import TwoStreamNetwork

Views = Sequence[Mapping[str, Float[Array, "r _ _ c"]]]
"""The last maps of an image, by tail, and of its mirror image where that counts; a row
for each copy of the image."""


class HeldLengths(Embedding):
    """The same embedding, whose lengths are constants for the gradient."""

    __slots__ = ()

    @classmethod
    def of(cls, embedding: Embedding) -> "HeldLengths":
        """Of the same fields."""
        fields = dataclasses.fields(embedding)
        return cls(**{field.name: getattr(embedding, field.name) for field in fields})

    def directions(self, x):
        """Rows divided by lengths through which no gradient flows."""
        length = jnp.linalg.norm(jax.lax.stop_gradient(x), axis=-1, keepdims=True)
        return x / jnp.maximum(length, 1e-12)


def vector_of(
    network: TwoStreamNetwork,
    embedding: Embedding,
    kind: str,
    maps: Views,
    modality: int = 0,
) -> Float[Array, " d"]:
    """The image's vector at length 1; `kind` is "fused", or the name of a branch.

    The modality is 0 or 1; without necks of modalities' own it does not count.
    """
    outputs = []
    for of_view in maps:
        count = len(next(iter(of_view.values())))
        made: Any = network.heads(of_view, jnp.full(count, modality, jnp.int32))
        if count > 1:
            made = jax.tree.map(lambda x: x[None], made)
        outputs.append(made)
    return embedding.directions(embedding(*outputs)[kind])[0]


def location_shares(
    network: TwoStreamNetwork,
    embedding: Embedding,
    kind: str,
    maps: Views,
    other: Float[Array, " d"],
    modality: int = 0,
) -> Float[np.ndarray, "h w"]:
    """Map times gradient of the inner product with `other`, for each location.

    Summed over channels, copies, tails and the mirror image.

    Args:
        network: whose branches add earlier ones with their gradient.
        kind, modality: see `vector_of`.
    """
    held = HeldLengths.of(embedding)
    product = partial(_product, network, held, kind, other, modality)
    gradients = jax.grad(product)(list(maps))
    total: Any = 0
    for number, (of_view, gradient) in enumerate(zip(maps, gradients, strict=True)):
        found = [
            np.asarray((of_view[name] * gradient[name]).sum((0, 3))) for name in of_view
        ]
        largest = max((share.shape for share in found), key=np.prod)
        for share in found:
            spread = _spread(share, largest)
            total = total + (spread[:, ::-1] if number else spread)
    return np.asarray(total, np.float32)


def _product(network, embedding, kind, other, modality, maps):
    return vector_of(network, embedding, kind, maps, modality) @ other


def _spread(share: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A coarser map on a finer one's locations, with the same sum."""
    down, across = (new // old for new, old in zip(shape, share.shape, strict=True))
    return np.kron(share, np.ones((down, across))) / (down * across)
