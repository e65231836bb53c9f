"""k-reciprocal re-ranking (Zhong et al., CVPR 2017) with sparse neighbour sets.

The published algorithm fills dense matrices over all images. Here only the q x g
distances are dense; everything among images of one side is kept as neighbour lists and
sparse rows, so that memory grows with q x g and with the number of images. Galleries
drawn from one pool share the distances and the neighbours among the queries.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from jreid.evaluation.distances import check_features, squared_distances
from jreid.evaluation.neighbours import merge, neighbours, neighbours_within

_PAIRS_AT_ONCE = 512


def rerank(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g d"],
    *,
    k1: int = 20,
    k2: int = 6,
    original_weight: float = 0.3,
) -> Float[np.ndarray, "q g"]:
    """Re-ranked distances, see `rerank_galleries`."""
    check_features("query", query)
    check_features("gallery", gallery)
    between = squared_distances(query, gallery)
    everything = [np.arange(len(gallery))]
    (distances,) = rerank_galleries(
        query,
        gallery,
        between,
        everything,
        k1=k1,
        k2=k2,
        original_weight=original_weight,
    )
    return distances


def rerank_galleries(
    query: Float[np.ndarray, "q d"],
    pool: Float[np.ndarray, "n d"],
    between: Float[np.ndarray, "q n"],
    galleries: Sequence[Int[np.ndarray, "_"]],
    *,
    k1: int = 20,
    k2: int = 6,
    original_weight: float = 0.3,
) -> Iterator[Float[np.ndarray, "q _"]]:
    """Yields, for each gallery, the re-ranked distances of all queries to it.

    Neighbours are sought among the queries and the gallery together. Distances are
    squared Euclidean, each image's divided by its largest. An image counts itself as
    its nearest neighbour, so its neighbours are the k1 + 1 first of the joint set.

    Args:
        query: features.
        pool: features of all images of any gallery.
        between: `squared_distances(query, pool)`.
        galleries: rows of `pool`, each row at most once in one gallery.
        k1: neighbours for the reciprocal sets; half of it, rounded to even as by
            `np.around`, for the sets of their members.
        k2: neighbours over which an image's reciprocal vector is averaged.
        original_weight: lambda, the weight of the original distance in the result.
    """
    if k1 < 1 or k2 < 1 or not 0 <= original_weight <= 1:
        raise ValueError(
            f"k1={k1}, k2={k2}, original_weight={original_weight}: k1 and k2 must be"
            " at least 1 and original_weight in [0, 1]; the published values are 20,"
            " 6 and 0.3"
        )
    count = max(k1 + 1, k2)
    among_queries = neighbours_within(query, count)
    to_queries = neighbours(between.T, count)
    pair_distances = _PairDistances(query, pool)
    for gallery in galleries:
        to_gallery = between.take(gallery, axis=1)
        among_gallery = neighbours_within(pool[gallery], count)
        of_queries = merge(among_queries, neighbours(to_gallery, count), len(query))
        of_gallery = merge(to_queries.take(gallery), among_gallery, len(query))
        order = np.concatenate([of_queries.columns, of_gallery.columns])[:, :count]
        largest = np.concatenate([of_queries.largest, of_gallery.largest])
        # All images alike: every distance is 0 and stays 0.
        largest[largest == 0] = 1.0
        sets = _reciprocal_sets(order, k1)
        weights = _weight_sets(sets, to_gallery, gallery, pair_distances, largest)
        weights = _average_neighbours(weights, order[:, :k2])
        to_gallery /= largest[: len(query), None]
        yield _combine(weights, to_gallery, original_weight)


def _reciprocal_sets(order: Int[np.ndarray, "n k"], k1: int) -> scipy.sparse.csr_array:
    """The expanded k1-reciprocal sets, as the pattern of an n x n matrix."""
    reciprocal = _mutual(order[:, : k1 + 1])
    half = _mutual(order[:, : int(np.around(k1 / 2)) + 1])
    # Entry (i, c): how much of member c's half set lies in the set of image i.
    overlap = scipy.sparse.csr_array((reciprocal @ half.T).multiply(reciprocal))
    joins = 3 * overlap.data > 2 * half.sum(axis=1)[overlap.indices]
    overlap.data = joins.astype(np.int32)
    overlap.eliminate_zeros()
    sets = scipy.sparse.csr_array(reciprocal + overlap @ half)
    sets.sort_indices()
    return sets


def _mutual(order: Int[np.ndarray, "n k"]) -> scipy.sparse.csr_array:
    """Entry (i, j) is 1 where i and j are among each other's neighbours."""
    images, neighbours = order.shape
    forward = scipy.sparse.csr_array(
        (
            np.ones(order.size, np.int32),
            order.ravel(),
            np.arange(images + 1) * neighbours,
        ),
        shape=(images, images),
    )
    return scipy.sparse.csr_array(forward.multiply(forward.T))


class _PairDistances:
    """Squared distances of single pairs on the same side, each computed only once.

    Images are numbered through, queries before the pool.
    """

    def __init__(self, query: Float[np.ndarray, "q d"], pool: Float[np.ndarray, "n d"]):
        self._sides = (query, pool)
        self._images = len(query) + len(pool)
        # Sorted, and never empty: image 0 with itself.
        self._keys = np.zeros(1, np.int64)
        self._values = np.zeros(1)

    def __call__(
        self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Distances of images `rows` to images `columns`."""
        keys = np.minimum(rows, columns) * self._images + np.maximum(rows, columns)
        place = np.searchsorted(self._keys, keys, side="right") - 1
        new = np.unique(keys[self._keys[place] != keys])
        if new.size:
            keys_known = np.concatenate([self._keys, new])
            values_known = np.concatenate([self._values, self._compute(new)])
            order = np.argsort(keys_known)
            self._keys, self._values = keys_known[order], values_known[order]
        return self._values[np.searchsorted(self._keys, keys)]

    def _compute(self, keys: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        low, high = np.divmod(keys, self._images)
        values = np.empty(len(keys))
        queries = len(self._sides[0])
        for side, offset in zip(self._sides, (0, queries), strict=True):
            here = np.flatnonzero((low < queries) == (offset == 0))
            for start in range(0, len(here), _PAIRS_AT_ONCE):
                pairs = here[start : start + _PAIRS_AT_ONCE]
                gap = side[low[pairs] - offset] - side[high[pairs] - offset]
                values[pairs] = np.vecdot(gap, gap)
        return values


def _weight_sets(
    sets: scipy.sparse.csr_array,
    to_gallery: Float[np.ndarray, "q g"],
    gallery: Int[np.ndarray, " g"],
    pair_distances: _PairDistances,
    largest: Float[np.ndarray, " n"],
) -> scipy.sparse.csr_array:
    """Weights exp(-distance) of the set members, summing to 1 in each row."""
    queries = len(to_gallery)
    rows = np.repeat(np.arange(len(largest)), np.diff(sets.indptr))
    columns = sets.indices
    near = np.empty(len(rows))
    crossing = (rows < queries) != (columns < queries)
    of_query, of_gallery = np.sort([rows[crossing], columns[crossing]], axis=0)
    near[crossing] = to_gallery[of_query, of_gallery - queries]
    image = np.concatenate([np.arange(queries), queries + gallery])
    same_side = image[rows[~crossing]], image[columns[~crossing]]
    near[~crossing] = pair_distances(*same_side)
    weights = scipy.sparse.csr_array(
        (np.exp(-near / largest[rows]), columns, sets.indptr), shape=sets.shape
    )
    # A set is empty where an image has more than k1 exact copies before it.
    sums = np.maximum(weights.sum(axis=1), np.finfo(np.float64).tiny)
    weights.data /= sums[rows]
    return weights


def _average_neighbours(
    weights: scipy.sparse.csr_array, order: Int[np.ndarray, "n k"]
) -> scipy.sparse.csr_array:
    """Each row replaced by the mean of its k nearest images' rows (query expansion)."""
    images, neighbours = order.shape
    mean = scipy.sparse.csr_array(
        (
            np.full(order.size, 1 / neighbours),
            order.ravel(),
            np.arange(images + 1) * neighbours,
        ),
        shape=(images, images),
    )
    return scipy.sparse.csr_array(mean @ weights)


def _combine(
    weights: scipy.sparse.csr_array,
    to_gallery: Float[np.ndarray, "q g"],
    original_weight: float,
) -> Float[np.ndarray, "q g"]:
    """(1 - lambda) Jaccard + lambda original distance, with row sums of weights 1.

    The Jaccard distance of two rows is 1 - shared / (2 - shared), where `shared` is the
    sum of the elementwise minimum. Only columns in which both rows hold something add
    to it, so each entry of a query meets the entries of its column in the gallery.
    """
    queries, images = to_gallery.shape
    of_query = weights[:queries]
    of_gallery = scipy.sparse.csc_array(weights[queries:])
    held = np.diff(of_gallery.indptr)
    result = original_weight * to_gallery
    rows_at_once = max(1, 2**18 // images)
    for start in range(0, queries, rows_at_once):
        block = of_query[start : start + rows_at_once]
        rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        meets = held[block.indices]
        entry = np.repeat(np.arange(block.nnz), meets)
        # Running number of the meeting in its entry, shifted to the column's start.
        first = np.cumsum(meets) - meets - of_gallery.indptr[block.indices]
        partner = np.arange(len(entry)) - first[entry]
        smaller = np.minimum(block.data[entry], of_gallery.data[partner])
        cell = rows[entry] * images + of_gallery.indices[partner]
        shared = np.bincount(cell, smaller, block.shape[0] * images)
        jaccard = 1 - shared / (2 - shared)
        result[start : start + rows_at_once] += (1 - original_weight) * jaccard.reshape(
            -1, images
        )
    return result
