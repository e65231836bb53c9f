"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), of large sets block by block.

Neighbours are sought among the queries and the gallery together. Distances are squared
Euclidean, each image's divided by its largest. An image counts itself as its nearest
neighbour, so its neighbours are the k1 + 1 first of the joint set; of equally near
images the first comes first, queries before the gallery.
"""

from collections.abc import Iterator

import numpy as np

from jreid.evaluation.distances import check_features
from jreid.evaluation.rerank.joint_set import JointSet, ProgressCallback
from jreid.evaluation.rerank.neighbours import nearest_columns
from jreid.evaluation.rerank.options import PUBLISHED, KReciprocal
from jreid.evaluation.rerank.top import LEAST_WEIGHT, top_blocks
from jreid.shapes import Float, Int

# From here on, choosing what to compare takes less time than comparing all.
_MANY_IMAGES = 2**14


def rerank(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    options: KReciprocal = PUBLISHED,
    *,
    progress: ProgressCallback | None = None,
) -> Float[np.ndarray, "q g"]:
    """Re-ranked distances of all queries to the gallery, see `rerank_blocks`."""
    blocks = rerank_blocks(query, gallery, options, progress=progress)
    result = np.empty((len(query), len(gallery)))
    for rows, _, distances in blocks:
        result[rows] = distances
    return result


def rerank_top(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    count: int,
    options: KReciprocal = PUBLISHED,
    *,
    progress: ProgressCallback | None = None,
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """The k = min(count, g) nearest gallery rows of each query after re-ranking.

    Nearest first, ties in gallery order, with their re-ranked distances. In a large
    gallery, only distances that can be among them are computed. See `rerank_blocks` for
    the arguments, the errors and the memory.
    """
    _check_features(query, gallery)
    few = len(gallery) < max(_MANY_IMAGES, 8 * count)
    # Where lambda is near 0, far images tie, and the first in order come first.
    if few or options.original_weight < LEAST_WEIGHT:
        blocks = JointSet(query, gallery, options, progress).blocks()
        found = [nearest_columns(distances, count) for _, _, distances in blocks]
    else:
        joint = JointSet(query, gallery, options, progress, nearest=count)
        found = list(top_blocks(joint, count))
    columns, near = zip(*found, strict=True)
    return np.concatenate(columns), np.concatenate(near)


def rerank_blocks(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    options: KReciprocal = PUBLISHED,
    *,
    progress: ProgressCallback | None = None,
) -> Iterator[tuple[slice, Float[np.ndarray, "rows g"], Float[np.ndarray, "rows g"]],]:
    """Yields some rows, their original and their re-ranked distances, for all queries.

    Memory is linear in the number of images: two copies of the features in their own
    precision, one of the gallery in float64, k1 neighbours, what may be neighbours and
    a sparse vector of each image, and a block of distances (64 MiB) of either kind. In
    return the q x g distances are computed twice.

    Args:
        query, gallery: features, compared by squared Euclidean distance.
        options: numbers of neighbours, and the weight of the original distance.
        progress: called with "neighbours" or "distances", the number of distances
            compared so far, and their total.

    Raises:
        ValueError: a feature is not finite, or query and gallery differ in their number
            of features.
    """
    _check_features(query, gallery)
    return JointSet(query, gallery, options, progress).blocks()


def _check_features(query: np.ndarray, gallery: np.ndarray) -> None:
    check_features("query", query)
    check_features("gallery", gallery)
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query has {query.shape[1]} features of each image and gallery"
            f" {gallery.shape[1]}: both must come from the same model"
        )
