"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), of large sets block by block.

Neighbours are sought among the queries and the gallery together. Distances are squared
Euclidean, each image's divided by its largest. An image counts itself as its nearest
neighbour, so its neighbours are the k1 + 1 first of the joint set; of equally near
images the first comes first, queries before the gallery.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from jreid.evaluation.distances import (
    check_features,
    largest_length,
    pair_distances,
    squared_distances,
)
from jreid.evaluation.rerank.neighbours import Neighbours, neighbours_within
from jreid.evaluation.rerank.reciprocal import add_jaccard, reciprocal_vectors
from jreid.shapes import Float

_BLOCK_ENTRIES = 2**23

# Called with what is going on, how many distances are done, and of how many.
ProgressCallback = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class KReciprocal:
    """What re-ranking leaves open; by default the published values.

    Raises ValueError for a value out of its range.
    """

    k1: int = 20
    """Neighbours for the reciprocal sets; half of it, rounded to even as by
    `np.around`, for the sets of their members."""
    k2: int = 6
    """Neighbours over which an image's reciprocal vector is averaged."""
    original_weight: float = 0.3
    """Lambda, the weight of the original distance in the result."""

    def __post_init__(self):
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.original_weight <= 1:
            raise ValueError(
                f"k1={self.k1}, k2={self.k2}, original_weight={self.original_weight}: "
                "k1 and k2 must be at least 1 and original_weight in [0, 1]; the "
                "published values are 20, 6 and 0.3"
            )

    @property
    def neighbours(self) -> int:
        """How many of each image must be known, itself among them."""
        return max(self.k1 + 1, self.k2)


PUBLISHED = KReciprocal()


def rerank(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    options: KReciprocal = PUBLISHED,
    *,
    progress: ProgressCallback | None = None,
) -> Float[np.ndarray, "q g"]:
    """Re-ranked distances of all queries to the gallery, see `rerank_blocks`."""
    result = np.empty((len(query), len(gallery)))
    for rows, _, distances in rerank_blocks(query, gallery, options, progress=progress):
        result[rows] = distances
    return result


def rerank_blocks(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    options: KReciprocal = PUBLISHED,
    *,
    progress: ProgressCallback | None = None,
) -> Iterator[tuple[slice, Float[np.ndarray, "rows g"], Float[np.ndarray, "rows g"]],]:
    """Yields some rows, their original and their re-ranked distances, for all queries.

    Memory is linear in the number of images: a copy of the features in float64, k1
    neighbours and a sparse vector of each image, and a block of distances (64 MiB) of
    either kind.
    In return the q x g distances are computed twice.

    Args:
        query, gallery: features, compared by squared Euclidean distance.
        options: numbers of neighbours, and the weight of the original distance.
        progress: called with "neighbours" or "distances", the number of distances
            compared so far, and their total.

    Raises:
        ValueError: a feature is not finite, or query and gallery differ in their number
            of features.
    """
    check_features("query", query)
    check_features("gallery", gallery)
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query has {query.shape[1]} features of each image and gallery"
            f" {gallery.shape[1]}: both must come from the same model"
        )
    features = np.concatenate([query, gallery], dtype=np.float64)
    return _blocks(features, len(query), options, progress)


def _blocks(
    features: Float[np.ndarray, "n d"],
    queries: int,
    options: KReciprocal,
    progress: ProgressCallback | None,
) -> Iterator[tuple[slice, Float[np.ndarray, "rows g"], Float[np.ndarray, "rows g"]],]:
    length = largest_length(features)
    near = neighbours_within(
        features,
        options.neighbours,
        length=length,
        progress=progress and (lambda done, total: progress("neighbours", done, total)),
    )
    largest = divisors(near.largest)
    vectors = reciprocal_vectors(
        near.columns,
        largest,
        _from_features(features, near, length),
        k1=options.k1,
        k2=options.k2,
    )
    del near
    of_gallery = scipy.sparse.csc_array(vectors[queries:])
    gallery = features[queries:]
    rows_at_once = max(1, _BLOCK_ENTRIES // len(gallery))
    for start in range(0, queries, rows_at_once):
        rows = slice(start, min(start + rows_at_once, queries))
        original = squared_distances(features[rows], gallery, length=length)
        reranked = original * (options.original_weight / largest[rows, None])
        add_jaccard(reranked, vectors[rows], of_gallery, 1 - options.original_weight)
        if progress is not None:
            progress("distances", rows.stop * len(gallery), queries * len(gallery))
        yield rows, original, reranked


def divisors(largest: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The largest distances; 1 where all images are alike: every distance stays 0."""
    return np.where(largest == 0, 1.0, largest)


def _from_features(
    features: Float[np.ndarray, "n d"], near: Neighbours, length: float
) -> Callable[[np.ndarray, np.ndarray], Float[np.ndarray, " pairs"]]:
    """Distances of pairs: those of neighbours are known, the others are computed."""
    images, listed = near.columns.shape

    def key(rows, columns):
        return np.minimum(rows, columns) * images + np.maximum(rows, columns)

    def distances(rows, columns):
        keys = key(np.repeat(np.arange(images), listed), near.columns.ravel())
        known, where = np.unique(keys, return_index=True)
        values = near.distances.ravel()[where]
        wanted, where = np.unique(key(rows, columns), return_inverse=True)
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        found = values[place]
        new = np.flatnonzero(known[place] != wanted)
        first, second = np.divmod(wanted[new], images)
        found[new] = pair_distances(features, first, second, length)
        return found[where]

    return distances
