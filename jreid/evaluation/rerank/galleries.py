"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), for large sets and many galleries.

Neighbours are sought among the queries and the gallery together. Distances are squared
Euclidean, each image's divided by its largest. An image counts itself as its nearest
neighbour, so its neighbours are the k1 + 1 first of the joint set; of equally near
images the first comes first, queries before the gallery.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy.sparse

from jreid.evaluation.distances import (
    check_features,
    largest_length,
    pair_distances,
    squared_distances,
)
from jreid.evaluation.rerank.neighbours import (
    Neighbours,
    merge,
    nearest_columns,
    neighbours,
    neighbours_within,
)
from jreid.evaluation.rerank.reciprocal import add_jaccard, reciprocal_vectors
from jreid.shapes import Float, Int

K1, K2, ORIGINAL_WEIGHT = 20, 6, 0.3  # the published values
_BLOCK_ENTRIES = 2**23
_ROWS_AT_ONCE = 64

# Called with what is going on, how many distances are done, and of how many.
ProgressCallback = Callable[[str, int, int], None]


def rerank(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    *,
    k1: int = K1,
    k2: int = K2,
    original_weight: float = ORIGINAL_WEIGHT,
    progress: ProgressCallback | None = None,
) -> Float[np.ndarray, "q g"]:
    """Re-ranked distances of all queries to the gallery, see `rerank_blocks`."""
    blocks = rerank_blocks(
        query,
        gallery,
        k1=k1,
        k2=k2,
        original_weight=original_weight,
        progress=progress,
    )
    result = np.empty((len(query), len(gallery)))
    for rows, _, distances in blocks:
        result[rows] = distances
    return result


def rerank_top(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    count: int,
    *,
    k1: int = K1,
    k2: int = K2,
    original_weight: float = ORIGINAL_WEIGHT,
    progress: ProgressCallback | None = None,
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """The k = min(count, g) nearest gallery rows of each query after re-ranking.

    Nearest first, ties in gallery order, with their re-ranked distances. See
    `rerank_blocks` for the arguments and the memory.
    """
    blocks = rerank_blocks(
        query,
        gallery,
        k1=k1,
        k2=k2,
        original_weight=original_weight,
        progress=progress,
    )
    found = [nearest_columns(distances, count) for _, _, distances in blocks]
    columns, near = zip(*found, strict=True)
    return np.concatenate(columns), np.concatenate(near)


def rerank_blocks(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    *,
    k1: int = K1,
    k2: int = K2,
    original_weight: float = ORIGINAL_WEIGHT,
    progress: ProgressCallback | None = None,
) -> Iterator[tuple[slice, Float[np.ndarray, "rows g"], Float[np.ndarray, "rows g"]],]:
    """Yields some rows, their original and their re-ranked distances, for all queries.

    Memory is linear in the number of images: a copy of the features in float64, k1
    neighbours and a sparse vector of each image, and a block of distances (64 MiB) of
    either kind.
    In return the q x g distances are computed twice.

    Args:
        query, gallery: features, compared by squared Euclidean distance.
        k1: neighbours for the reciprocal sets; half of it, rounded to even as by
            `np.around`, for the sets of their members.
        k2: neighbours over which an image's reciprocal vector is averaged.
        original_weight: lambda, the weight of the original distance in the result.
        progress: called with "neighbours" or "distances", the number of distances
            compared so far, and their total.

    Raises:
        ValueError: an option is out of its range, a feature is not finite, or query and
            gallery differ in their number of features.
    """
    _check_options(k1, k2, original_weight)
    check_features("query", query)
    check_features("gallery", gallery)
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query has {query.shape[1]} features of each image and gallery"
            f" {gallery.shape[1]}: both must come from the same model"
        )
    features = np.concatenate([query, gallery], dtype=np.float64)
    return _blocks(features, len(query), k1, k2, original_weight, progress)


def _blocks(
    features: Float[np.ndarray, "n d"],
    queries: int,
    k1: int,
    k2: int,
    original_weight: float,
    progress: ProgressCallback | None,
) -> Iterator[tuple[slice, Float[np.ndarray, "rows g"], Float[np.ndarray, "rows g"]],]:
    length = largest_length(features)
    near = neighbours_within(
        features,
        max(k1 + 1, k2),
        length=length,
        progress=progress and (lambda done, total: progress("neighbours", done, total)),
    )
    largest = _divisors(near.largest)
    vectors = reciprocal_vectors(
        near.columns, largest, _from_features(features, near, length), k1=k1, k2=k2
    )
    del near
    of_gallery = scipy.sparse.csc_array(vectors[queries:])
    gallery = features[queries:]
    rows_at_once = max(1, _BLOCK_ENTRIES // len(gallery))
    for start in range(0, queries, rows_at_once):
        rows = slice(start, min(start + rows_at_once, queries))
        original = squared_distances(features[rows], gallery, length=length)
        reranked = original * (original_weight / largest[rows, None])
        add_jaccard(reranked, vectors[rows], of_gallery, 1 - original_weight)
        if progress is not None:
            progress("distances", rows.stop * len(gallery), queries * len(gallery))
        yield rows, original, reranked


def rerank_galleries(
    query: Float[np.ndarray, "q d"],
    pool: Float[np.ndarray, "n d"],
    between: Float[np.ndarray, "q n"],
    galleries: Sequence[Int[np.ndarray, "_"]],
    *,
    k1: int = K1,
    k2: int = K2,
    original_weight: float = ORIGINAL_WEIGHT,
    overwrite: bool = False,
) -> Iterator[tuple[Float[np.ndarray, "q _"], Float[np.ndarray, "q _"]]]:
    """Yields, for each gallery, all queries' original and their re-ranked distances.

    What galleries drawn from one pool share is computed once: the distances among the
    queries and, where that is less work than within each gallery, within the pool are
    kept as dense matrices beside `between`. A single gallery needs neither.

    Args:
        pool: features of all images of any gallery.
        between: `squared_distances(query, pool)`.
        galleries: rows of the pool, each at most once in one gallery.
        overwrite: yield the same memory for each gallery, which saves the system's time
            for new memory; a gallery's distances are then gone with the next gallery.
        query, k1, k2, original_weight: see `rerank_blocks`.
    """
    _check_options(k1, k2, original_weight)
    if len(galleries) == 1:
        (gallery,) = galleries
        options = {"k1": k1, "k2": k2, "original_weight": original_weight}
        yield between.take(gallery, axis=1), rerank(query, pool[gallery], **options)
        return
    pays = sum(len(gallery) ** 2 for gallery in galleries) > len(pool) ** 2
    shared = _SharedPool(query, pool, between, pays, k1, k2, original_weight)
    most = len(query) * max(len(gallery) for gallery in galleries)
    memory = np.empty((2, most)) if overwrite else None
    for gallery in galleries:
        shape = len(query), len(gallery)
        if memory is None:
            original, reranked = np.empty((2, *shape))
        else:
            original, reranked = memory[:, : np.prod(shape)].reshape(2, *shape)
        # Without a mode, `take` would first fill an array of its own.
        between.take(gallery, axis=1, out=original, mode="clip")
        shared.rerank(gallery, original, reranked)
        yield original, reranked


class _SharedPool:
    """Re-ranks galleries drawn from one pool, see `rerank_galleries`."""

    def __init__(
        self,
        query: Float[np.ndarray, "q d"],
        pool: Float[np.ndarray, "n d"],
        between: Float[np.ndarray, "q n"],
        keep_within_pool: bool,
        k1: int,
        k2: int,
        original_weight: float,
    ):
        self._k1, self._k2, self._original_weight = k1, k2, original_weight
        self._count = max(k1 + 1, k2)
        self._length = largest_length(query, pool)
        # One array for both sides: the product then takes half of the work.
        query = query.astype(np.float64, copy=False)
        self._pool = pool.astype(np.float64, copy=False)
        self._among_queries = squared_distances(query, query, length=self._length)
        self._within_pool = None
        if keep_within_pool:
            self._within_pool = squared_distances(
                self._pool, self._pool, length=self._length
            )
        self._query_near = neighbours(self._among_queries, self._count)
        self._pool_near_queries = neighbours(between.T, self._count)

    def rerank(
        self,
        gallery: Int[np.ndarray, " g"],
        to_gallery: Float[np.ndarray, "q g"],
        result: Float[np.ndarray, "q g"],
    ) -> None:
        """Fills `result` for a gallery whose original distances are `to_gallery`."""
        queries = len(to_gallery)
        within, place = self._within(gallery)
        near_queries = merge(
            self._query_near, neighbours(to_gallery, self._count), queries
        )
        near_gallery = merge(
            self._pool_near_queries.take(gallery),
            self._near_within(within, place),
            queries,
        )
        order = np.concatenate([near_queries.columns, near_gallery.columns])
        largest = _divisors(
            np.concatenate([near_queries.largest, near_gallery.largest])
        )

        def pair_distances(rows, columns):
            # Of each kind of pair, the distances are in a matrix of their own.
            first, second = np.minimum(rows, columns), np.maximum(rows, columns)
            values = np.empty(len(rows))
            kind = np.flatnonzero(second < queries)
            values[kind] = self._among_queries[first[kind], second[kind]]
            kind = np.flatnonzero((first < queries) & (second >= queries))
            values[kind] = to_gallery[first[kind], second[kind] - queries]
            kind = np.flatnonzero(first >= queries)
            values[kind] = within[
                place[first[kind] - queries], place[second[kind] - queries]
            ]
            return values

        vectors = reciprocal_vectors(
            order[:, : self._count], largest, pair_distances, k1=self._k1, k2=self._k2
        )
        scale = self._original_weight / largest[:queries, None]
        np.multiply(to_gallery, scale, out=result)
        add_jaccard(
            result,
            vectors[:queries],
            scipy.sparse.csc_array(vectors[queries:]),
            1 - self._original_weight,
        )

    def _within(
        self, gallery: Int[np.ndarray, " g"]
    ) -> tuple[Float[np.ndarray, "n n"], Int[np.ndarray, " g"]]:
        """A matrix that holds the gallery's distances, and its rows of the gallery."""
        if self._within_pool is not None:
            return self._within_pool, gallery
        images = self._pool[gallery]
        distances = squared_distances(images, images, length=self._length)
        return distances, np.arange(len(gallery))

    def _near_within(
        self, distances: Float[np.ndarray, "n n"], rows: Int[np.ndarray, " g"]
    ) -> Neighbours:
        parts = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            of_rows = distances[rows[start : start + _ROWS_AT_ONCE]]
            parts.append(neighbours(of_rows.take(rows, axis=1), self._count))
        return Neighbours(
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.distances for part in parts]),
            np.concatenate([part.largest for part in parts]),
        )


def _check_options(k1: int, k2: int, original_weight: float) -> None:
    if k1 < 1 or k2 < 1 or not 0 <= original_weight <= 1:
        raise ValueError(
            f"k1={k1}, k2={k2}, original_weight={original_weight}: k1 and k2 must be"
            " at least 1 and original_weight in [0, 1]; the published values are"
            f" {K1}, {K2} and {ORIGINAL_WEIGHT}"
        )


def _divisors(largest: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    # All images alike: every distance is 0 and stays 0.
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
