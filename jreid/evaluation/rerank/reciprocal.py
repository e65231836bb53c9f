"""k-reciprocal vectors of images, and the Jaccard distance between them.

Images of the joint set of queries and gallery are numbered through, queries first.
The published algorithm (Zhong et al., CVPR 2017) fills dense matrices over all of them;
here a vector is a sparse row of a few dozen to a few hundred entries.
"""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse

from jreid.shapes import Float, Int

_BLOCK_ENTRIES = 2**17


def reciprocal_vectors(
    order: Int[np.ndarray, "n k"],
    largest: Float[np.ndarray, " n"],
    pair_distances: Callable[
        [Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]],
        Float[np.ndarray, " pairs"],
    ],
    *,
    k1: int,
    k2: int,
) -> scipy.sparse.csr_array:
    """The vector of each image as a row: non-negative, summing to 1.

    Args:
        order: the max(k1 + 1, k2) nearest images of each, itself among them, or all
            where there are fewer.
        largest: what the distances of each image are divided by.
        pair_distances: the distances of images `rows` to images `columns`.
    """
    sets = _expanded_sets(order, k1)
    rows = np.repeat(np.arange(len(order)), np.diff(sets.indptr))
    near = pair_distances(rows, sets.indices)
    weights = scipy.sparse.csr_array(
        (np.exp(-near / largest[rows]), sets.indices, sets.indptr), shape=sets.shape
    )
    # A set is empty where an image has more than k1 exact copies before it.
    sums = np.maximum(weights.sum(axis=1), np.finfo(np.float64).tiny)
    weights.data /= sums[rows]
    return _average_neighbours(weights, order[:, :k2])


def _expanded_sets(order: Int[np.ndarray, "n k"], k1: int) -> scipy.sparse.csr_array:
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
    forward = _rows_of(order, np.int32(1))
    return scipy.sparse.csr_array(forward.multiply(forward.T))


def _average_neighbours(
    weights: scipy.sparse.csr_array, order: Int[np.ndarray, "n k"]
) -> scipy.sparse.csr_array:
    """Each row replaced by the mean of its k nearest images' rows (query expansion)."""
    return scipy.sparse.csr_array(_rows_of(order, 1 / order.shape[1]) @ weights)


def _rows_of(order: Int[np.ndarray, "n k"], value) -> scipy.sparse.csr_array:
    """`value` at the images that each row lists, 0 elsewhere."""
    images, listed = order.shape
    return scipy.sparse.csr_array(
        (
            np.full(order.size, value),
            order.ravel(),
            np.arange(images + 1) * listed,
        ),
        shape=(images, images),
    )


def add_jaccard(
    distances: Float[np.ndarray, "q g"],
    of_query: scipy.sparse.csr_array,
    of_gallery: scipy.sparse.csc_array,
    weight: float,
) -> None:
    """Adds `weight` times the Jaccard distance of each two vectors to `distances`."""
    for rows, shared in shared_weights(of_query, of_gallery, distances.shape[1]):
        distances[rows] += weighted_jaccard(shared, weight)


def weighted_jaccard(
    shared: Float[np.ndarray, "..."], weight: float
) -> Float[np.ndarray, "..."]:
    """`weight` times the Jaccard distance, given what two vectors share."""
    distances = 2 - shared
    np.divide(shared, distances, out=distances)
    np.subtract(1, distances, out=distances)
    distances *= weight
    return distances


def shared_weights(
    of_query: scipy.sparse.csr_array, of_gallery: scipy.sparse.csc_array, images: int
) -> Iterator[tuple[slice, Float[np.ndarray, "rows g"]]]:
    """Yields some rows and their elementwise minima's sums with a gallery of `images`.

    The Jaccard distance of two vectors, which sum to 1, is 1 - shared / (2 - shared).
    Only columns in which both rows hold something add to what is shared, so each entry
    of a query meets the entries of its column in the gallery.
    """
    queries = len(of_query.indptr) - 1
    held = np.diff(of_gallery.indptr)
    rows_at_once = max(1, _BLOCK_ENTRIES // images)
    for start in range(0, queries, rows_at_once):
        rows = slice(start, min(start + rows_at_once, queries))
        ends = of_query.indptr[start : rows.stop + 1]
        columns = of_query.indices[ends[0] : ends[-1]]
        values = of_query.data[ends[0] : ends[-1]]
        meets = held[columns]
        # Place of each meeting in the gallery's arrays: its running number, shifted
        # from where its entry's meetings begin to where the entry's column begins.
        shift = of_gallery.indptr[columns] - (np.cumsum(meets) - meets)
        partner = np.arange(meets.sum()) + np.repeat(shift, meets)
        smaller = np.repeat(values, meets)
        np.minimum(smaller, of_gallery.data[partner], out=smaller)
        shape = rows.stop - start, images
        first_cell = np.repeat(np.arange(shape[0]) * images, np.diff(ends))
        cell = np.repeat(first_cell, meets)
        cell += of_gallery.indices[partner]
        shared = np.bincount(cell, smaller, shape[0] * images)
        # Of no meetings at all, counts are integers.
        yield rows, shared.astype(np.float64, copy=False).reshape(shape)
