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

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.single_image import AnyImage, read_image
from jreid.explanation_kind import Kind, kind_of, statement
from jreid.models.embedding import Embedding
from jreid.models.learned_metric import MetricTwoStream
from jreid.models.modules.location_shares import location_shares, vector_of
from jreid.models.modules.two_stream import TwoStreamNetwork
from jreid.models.two_stream import TwoStream
from jreid.run.frozen import FrozenRun, open_run
from jreid.shapes import Float32, UInt8
from jreid.training.build import network_maker, stems
from jreid.training.normalisation import normalise
from jreid.training.state import network_structure

if TYPE_CHECKING:
    from jreid.search.embedder import Embedder


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
        from jreid.heat_map import heat_map_picture

        maps = [
            of_image + constant / of_image.size
            for of_image, constant in (
                (self.query_map, self.query_constant),
                (self.gallery_map, self.gallery_constant),
            )
        ]
        title = f"similarity {self.similarity:.3f}, {self.kind}"
        return heat_map_picture([self.query, self.gallery], maps, title)


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
        if modality not in MODALITY_NAMES:
            raise ValueError(
                f"the modality is {modality!r}; allowed are {', '.join(MODALITY_NAMES)}"
            )
    config = frozen.config
    pixels = [
        read_image(image, config.size, config.resize, frozen.grey16)
        for image in (query, gallery_image)
    ]
    network = _merged(frozen)
    modalities = query_modality, gallery_modality
    numbers = [MODALITY_NAMES.index(modality) for modality in modalities]
    seen = [
        _maps_of(frozen, image, modality)
        for image, modality in zip(pixels, modalities, strict=True)
    ]
    made_by = network, config.embedding, frozen.kind
    vectors = [
        vector_of(*made_by, maps, number)
        for maps, number in zip(seen, numbers, strict=True)
    ]
    similarity = float(vectors[0] @ vectors[1])
    shares = [
        location_shares(*made_by, maps, other, number)
        for maps, other, number in zip(seen, reversed(vectors), numbers, strict=True)
    ]
    constants = [similarity - float(share.sum()) for share in shares]
    kind, sums = kind_of(config.network, config.embedding, frozen.kind)
    return Explanation(
        similarity,
        kind,
        sums,
        shares[0],
        shares[1],
        constants[0],
        constants[1],
        statement(kind, sums, similarity, constants),
        pixels[0],
        pixels[1],
    )


def _opened(run) -> FrozenRun:
    if isinstance(run, FrozenRun):
        frozen = run
    elif isinstance(run, str | os.PathLike):
        frozen = open_run(Path(run))
    elif run.frozen is None:
        raise ValueError(
            "these vectors are not a run's own, and have no maps to explain: give a "
            "training run's folder, not an exported model or shortened vectors"
        )
    else:
        frozen = run.frozen()
    network, embedding = frozen.config.network, frozen.config.embedding
    plain = isinstance(network, TwoStream) and not isinstance(network, MetricTwoStream)
    if not plain or not isinstance(embedding, Embedding):
        raise ValueError(
            f"{type(network).__name__} with {type(embedding).__name__} cannot be "
            "explained; allowed are TwoStream and Embedding"
        )
    return frozen


@functools.lru_cache(maxsize=1)  # of the run that was explained last
def _merged(frozen: FrozenRun) -> TwoStreamNetwork:
    """The network with its values, as for embedding."""
    make_network = network_maker(frozen.config, frozen.network.classes)
    structure = network_structure(make_network)[1]
    network = nnx.merge(structure, frozen.network.params, frozen.network.stats)
    for head in network.branches.values():
        # The same value; its gradient is wanted here, which training cuts.
        head.added = "whole" if head.added == "detached" else head.added
    return network


def _maps_of(
    frozen: FrozenRun, pixels: np.ndarray, modality: str
) -> list[dict[str, jax.Array]]:
    """The last maps of the image, and of its mirror image where that is embedded."""
    views = [pixels, pixels[:, ::-1]] if frozen.config.embedding.flip else [pixels]
    maps = _program_of_maps(frozen, modality)
    return [maps(np.ascontiguousarray(view)[None]) for view in views]


@functools.lru_cache(maxsize=len(MODALITY_NAMES))
def _program_of_maps(
    frozen: FrozenRun, modality: str
) -> Callable[[np.ndarray], dict[str, jax.Array]]:
    """Images to their last maps; compiled once for a run's explanations."""
    graph, state = nnx.split(_merged(frozen))
    stem = {modality: stems(frozen.config.views)[modality]}
    number = jnp.array([MODALITY_NAMES.index(modality)], jnp.int32)

    @jax.jit
    def maps(state, image):
        module = nnx.merge(graph, state)
        found = module.maps(
            {modality: normalise(image)}, stem, modality={modality: number}
        )
        return {name: x.astype(jnp.float32) for name, x in found.items()}

    return functools.partial(maps, state)
