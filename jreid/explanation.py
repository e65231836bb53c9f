"""Which regions of two images make them similar: a similarity as a sum over locations.

Both vectors are made of the network's last map: pooled over its locations, then divided
by their lengths. With the lengths held as constants, gradient times map gives each
location of one image its share of the inner product with the other image's vector.

Of average pooling, and affine maps such as BatchNorm after it, this is exact: the
product is affine in the map, a location's share is what the product would lose without
it, and the shares and one constant (BatchNorm's means) are the similarity.

Generalised-mean and maximum pooling are not linear, but homogeneous of degree 1: by
Euler's theorem map times gradient sums to the pooled value. So here, too, the shares
and the constant are the similarity, but a share is weighted by the gradient (a location
that is bright in a channel counts for more), and is not what would be lost without it.

A location sees far more of the image than its own place: its receptive field, of which
the middle counts most; a non-local block lets it see all.
"""

import dataclasses
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jreid.data.single_image import AnyImage, read_image
from jreid.models.embedding import Embedding
from jreid.models.pooling import Average, GeM, Maximum, Stripe
from jreid.models.two_stream import Branch, TwoStream
from jreid.run.frozen import FrozenRun, open_run
from jreid.shapes import Float32, UInt8
from jreid.training.build import classes_of, network_maker, stems
from jreid.training.learner import network_structure, normalise

if TYPE_CHECKING:
    from jreid.search.embedder import Embedder

Kind = Literal["exact", "gradient-weighted"]
_MODALITIES = ("visible", "infrared")


@dataclass(frozen=True)
class Explanation:
    """What the similarity of two images is made of.

    Attributes:
        similarity: cosine of their vectors.
        kind: "exact" or "gradient-weighted", see above.
        sums: whether each map and its constant sum to the similarity.
        query_map, gallery_map: share of each location of the last map, [h' w'].
        query_constant, gallery_constant: the similarity less the map's sum.
        statement: which of it holds, in words.
        query, gallery: the images as the network gets them.
    """

    similarity: float
    kind: Kind
    sums: bool
    query_map: Float32[np.ndarray, "qh qw"]
    gallery_map: Float32[np.ndarray, "gh gw"]
    query_constant: float
    gallery_constant: float
    statement: str
    query: UInt8[np.ndarray, "h w 3"]
    gallery: UInt8[np.ndarray, "h w 3"]

    def picture(self) -> bytes:
        """Both images, each beside its heat map, as a PNG file.

        The constant is spread evenly over the locations, so that a location like the
        average of the training images has no colour.
        """
        from jreid.evaluation.pictures import heat_map_picture

        maps = [
            of_image + constant / of_image.size
            for of_image, constant in (
                (self.query_map, self.query_constant),
                (self.gallery_map, self.gallery_constant),
            )
        ]
        title = f"similarity {self.similarity:.3f}, {self.kind}"
        return heat_map_picture([self.query, self.gallery], maps, title)


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


def explain(
    run: "FrozenRun | Embedder | str | os.PathLike[str]",
    query: AnyImage,
    query_modality: str,
    gallery_image: AnyImage,
    gallery_modality: str,
) -> Explanation:
    """Explains the similarity of two images.

    Args:
        run: an opened run, an embedder of one, or a run's folder.
        query, gallery_image: see `single_image.AnyImage`.
        query_modality, gallery_modality: "visible" or "infrared".

    Raises:
        ValueError: an unknown modality, or a run whose vectors are no sum over the
            locations of a map: an exported model, a network or embedding of one's own.
        UnreadableImageError, TypeError: see `single_image.read_image`.
    """
    frozen = _opened(run)
    for modality in (query_modality, gallery_modality):
        if modality not in _MODALITIES:
            raise ValueError(
                f"the modality is {modality!r}; allowed are {', '.join(_MODALITIES)}"
            )
    config = frozen.config
    pixels = [
        read_image(image, config.size, config.resize, frozen.grey16)
        for image in (query, gallery_image)
    ]
    seen = [
        _maps_of(frozen, image, modality)
        for image, modality in zip(
            pixels, (query_modality, gallery_modality), strict=True
        )
    ]
    vectors = [_vector(frozen, maps) for maps in seen]
    similarity = float(vectors[0] @ vectors[1])
    shares = [
        _shares(frozen, maps, other)
        for maps, other in zip(seen, reversed(vectors), strict=True)
    ]
    constants = [similarity - float(share.sum()) for share in shares]
    kind, sums = kind_of(config.network, config.embedding, frozen.kind)
    return Explanation(
        similarity,
        kind,
        sums,
        *shares,
        *constants,
        _statement(kind, sums, similarity, constants),
        *pixels,
    )


def kind_of(network: TwoStream, embedding: Embedding, vector: str) -> tuple[Kind, bool]:
    """How a network's vectors are explained, and whether the shares are a sum.

    Args:
        vector: "fused", or the name of a branch.
    """
    used = (
        {vector}
        if vector != "fused"
        else set(embedding.names) or {branch.name for branch in network.branches}
    )
    for branch in reversed(network.branches):
        if branch.name in used and branch.adds:
            used.add(branch.adds)
    branches = [branch for branch in network.branches if branch.name in used]
    affine = all(map(_affine_after_pool, branches))
    pools = [_pool(branch) for branch in branches]
    if affine and all(isinstance(pool, Average) for pool in pools):
        return "exact", True
    homogeneous = all(isinstance(pool, Average | GeM | Maximum) for pool in pools)
    return "gradient-weighted", affine and homogeneous


def _affine_after_pool(branch: Branch) -> bool:
    straight = branch.project is None or not getattr(branch.project, "relu", True)
    return straight and not (branch.adds and branch.added == "normalised")


def _pool(branch: Branch) -> Any:
    pool = branch.pool
    return pool.pool if isinstance(pool, Stripe) else pool


def _statement(
    kind: Kind, sums: bool, similarity: float, constants: list[float]
) -> str:
    parts = [f"{constant:+.3f}" for constant in constants]
    if not sums:
        return (
            "Gradient-weighted: map times gradient at the last map. Something after "
            "its pooling is not homogeneous, so that the shares are no sum: they miss "
            f"the similarity of {similarity:.3f} by {parts[0]} (query) and {parts[1]} "
            "(gallery image)."
        )
    ends = (
        f"sum to the similarity of {similarity:.3f} together with a constant "
        f"(BatchNorm's means) of {parts[0]} for the query and {parts[1]} for the "
        "gallery image. The vectors' lengths are held as constants"
    )
    if kind == "exact":
        return (
            "Exact: with average pooling the similarity is affine in the last map. "
            f"The shares of its locations {ends}."
        )
    return (
        "Gradient-weighted: the pooling is homogeneous of degree 1, so that by Euler's "
        f"theorem the shares of the last map's locations {ends}; a share is not what "
        "the similarity would lose without the location."
    )


def _opened(run) -> FrozenRun:
    if isinstance(run, str | os.PathLike):
        from pathlib import Path

        run = open_run(Path(run))
    frozen = getattr(run, "network", None) if not isinstance(run, FrozenRun) else run
    if not isinstance(frozen, FrozenRun):
        raise ValueError(
            "this model has no maps to explain: give a training run's folder, not an "
            "exported model"
        )
    network, embedding = frozen.config.network, frozen.config.embedding
    if not isinstance(network, TwoStream) or not isinstance(embedding, Embedding):
        raise ValueError(
            f"{type(network).__name__} with {type(embedding).__name__} cannot be "
            "explained; allowed are TwoStream and Embedding"
        )
    return frozen


def _merged(frozen: FrozenRun):
    """The network with its values, as for embedding."""
    from jreid.run.images import read_identities

    classes = classes_of(frozen.config, len(read_identities(frozen.workdir)))
    structure = network_structure(network_maker(frozen.config, classes))[1]
    network = nnx.merge(structure, frozen.network.params, frozen.network.stats)
    for head in network.branches.values():
        # The same value; its gradient is wanted here, which training cuts.
        head.added = "whole" if head.added == "detached" else head.added
    return network


def _maps_of(frozen: FrozenRun, pixels, modality: str) -> list[dict[str, jax.Array]]:
    """The last maps of the image, and of its mirror image where that is embedded."""
    network = _merged(frozen)
    graph, state = nnx.split(network)
    views = [pixels, pixels[:, ::-1]] if frozen.config.embedding.flip else [pixels]
    stem = {modality: stems(frozen.config.views)[modality]}
    number = jnp.array([_MODALITIES.index(modality)], jnp.int32)

    @jax.jit
    def maps(state, image):
        module = nnx.merge(graph, state)
        found = module.maps(
            {modality: normalise(image)}, stem, modality={modality: number}
        )
        return {name: x.astype(jnp.float32) for name, x in found.items()}

    return [maps(state, np.ascontiguousarray(view)[None]) for view in views]


def _embedded(network, embedding, kind, maps):
    """The vector [d] at length 1, its length held if the embedding's are."""
    outputs = []
    for of_view in maps:
        made = network.heads(of_view)
        if len(next(iter(of_view.values()))) > 1:  # copies of the image
            made = jax.tree.map(lambda x: x[None], made)
        outputs.append(made)
    return embedding.directions(embedding(*outputs)[kind])[0]


def _vector(frozen: FrozenRun, maps):
    embedding = frozen.config.embedding
    return _embedded(_merged(frozen), embedding, frozen.kind, maps)


def _shares(frozen: FrozenRun, maps, other) -> Float32[np.ndarray, "h w"]:
    """Map times gradient, summed over channels, copies, tails and the mirror image."""
    held = HeldLengths.of(frozen.config.embedding)
    network = _merged(frozen)
    product = partial(_product, network, held, frozen.kind, other)
    gradients = jax.grad(product)(maps)
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


def _product(network, embedding, kind, other, maps):
    return _embedded(network, embedding, kind, maps) @ other


def _spread(share: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A coarser map on a finer one's locations, with the same sum."""
    down, across = (new // old for new, old in zip(shape, share.shape, strict=True))
    return np.kron(share, np.ones((down, across))) / (down * across)
