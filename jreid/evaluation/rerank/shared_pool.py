"""Re-ranking of galleries drawn from one pool: what they share is computed once."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse

from jreid.evaluation.distances import largest_length, squared_distances
from jreid.evaluation.rerank.neighbours import (
    Neighbours,
    divisors,
    merge,
    merge_nearest,
    neighbours,
)
from jreid.evaluation.rerank.options import KReciprocal
from jreid.evaluation.rerank.pool_lists import PoolLists
from jreid.evaluation.rerank.reciprocal import add_jaccard, reciprocal_vectors
from jreid.shapes import Float, Int

_ROWS_AT_ONCE = 64
# Of the blocks of distances: those of both kinds stay in the processor's last cache.
_BLOCK_ENTRIES = 2**20


class SharedPool:
    """Re-ranks galleries drawn from one pool, see `gallery_blocks`."""

    def __init__(
        self,
        query: Float[np.ndarray, "q d"],
        pool: Float[np.ndarray, "n d"],
        between: Float[np.ndarray, "q n"],
        keep_within_pool: bool,
        options: KReciprocal,
    ):
        self._options, self._count = options, options.neighbours
        self._between = between
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
        self._pool_near = neighbours(between.T, self._count)
        self._of_queries = self._lists(between, self._query_near)
        self._of_pool = self._lists(self._within_pool, self._pool_near)
        # The same for each block, which saves the system's time for new memory.
        self._memory = np.empty((2, max(_BLOCK_ENTRIES, len(pool))))

    def _lists(
        self, distances: Float[np.ndarray, "n pool"] | None, near: Neighbours
    ) -> PoolLists | None:
        """Of rows whose nearest queries are known; None if there are too few."""
        if distances is None or near.columns.shape[1] < self._count:
            return None
        return PoolLists(distances, near.distances[:, -1], self._count)

    def blocks(
        self, gallery: Int[np.ndarray, " g"]
    ) -> Iterator[tuple[slice, Float[np.ndarray, "_ g"], Float[np.ndarray, "_ g"]]]:
        """Yields some rows, their original and their re-ranked distances.

        A block is gone with the next one, which takes its memory.
        """
        queries, weight = len(self._between), self._options.original_weight
        vectors, largest = self._vectors(gallery)
        scale = weight / largest[:queries, None]
        of_gallery = scipy.sparse.csc_array(vectors[queries:])
        rows_at_once = max(1, _BLOCK_ENTRIES // len(gallery))
        for start in range(0, queries, rows_at_once):
            rows = slice(start, min(start + rows_at_once, queries))
            shape = 2, rows.stop - start, len(gallery)
            original, reranked = self._memory[:, : shape[1] * shape[2]].reshape(shape)
            # Without a mode, `take` would first fill an array of its own.
            self._between[rows].take(gallery, axis=1, out=original, mode="clip")
            np.multiply(original, scale[rows], out=reranked)
            add_jaccard(reranked, vectors[rows], of_gallery, 1 - weight)
            yield rows, original, reranked

    def _vectors(
        self, gallery: Int[np.ndarray, " g"]
    ) -> tuple[scipy.sparse.csr_array, Float[np.ndarray, " n"]]:
        """Reciprocal vectors of the queries and the gallery, and largest distances."""
        queries = len(self._between)
        within, place = self._within(gallery)
        near_queries = self._joined(
            self._query_near,
            self._of_queries,
            np.arange(queries),
            gallery,
            lambda rows: self._between[rows].take(gallery, axis=1),
        )
        near_gallery = self._joined(
            self._pool_near,
            self._of_pool,
            gallery,
            gallery,
            lambda rows: within[place[rows]].take(place, axis=1),
        )
        largest = divisors(np.concatenate([near_queries.largest, near_gallery.largest]))

        def pair_distances(rows, columns):
            # Of each kind of pair, the distances are in a matrix of their own.
            first, second = np.minimum(rows, columns), np.maximum(rows, columns)
            values = np.empty(len(rows))
            kind = np.flatnonzero(second < queries)
            values[kind] = self._among_queries[first[kind], second[kind]]
            kind = np.flatnonzero((first < queries) & (second >= queries))
            values[kind] = self._between[first[kind], gallery[second[kind] - queries]]
            kind = np.flatnonzero(first >= queries)
            values[kind] = within[
                place[first[kind] - queries], place[second[kind] - queries]
            ]
            return values

        vectors = reciprocal_vectors(
            np.concatenate([near_queries.columns, near_gallery.columns]),
            largest,
            pair_distances,
            k1=self._options.k1,
            k2=self._options.k2,
        )
        return vectors, largest

    def _within(
        self, gallery: Int[np.ndarray, " g"]
    ) -> tuple[Float[np.ndarray, "n n"], Int[np.ndarray, " g"]]:
        """A matrix that holds the gallery's distances, and its rows of the gallery."""
        if self._within_pool is not None:
            return self._within_pool, gallery
        images = self._pool[gallery]
        distances = squared_distances(images, images, length=self._length)
        return distances, np.arange(len(gallery))

    def _joined(
        self,
        among_queries: Neighbours,
        lists: PoolLists | None,
        rows: Int[np.ndarray, " m"],
        gallery: Int[np.ndarray, " g"],
        distances: Callable[[Int[np.ndarray, " b"]], Float[np.ndarray, "b g"]],
    ) -> Neighbours:
        """Neighbours of some rows among the queries and the gallery.

        Args:
            among_queries, lists: of all rows; None: no list is sure.
            distances: of some of `rows`, given by their places in it, to the gallery.
        """
        near = among_queries.take(rows)
        unsure = np.arange(len(rows))
        shape = len(rows), min(self._count, len(self._between) + len(gallery))
        found = Neighbours(
            np.empty(shape, np.int64), np.empty(shape), np.empty(len(rows))
        )
        if lists is not None:
            place = np.full(self._between.shape[1], -1)
            place[gallery] = np.arange(len(gallery))
            drawn, sure = lists.of_gallery(rows, place, near.largest)
            merged = merge(near, drawn, len(self._between))
            found.put(slice(None), merged, self._count)
            unsure = np.flatnonzero(~sure)
        for start in range(0, len(unsure), _ROWS_AT_ONCE):
            part = unsure[start : start + _ROWS_AT_ONCE]
            merged = merge_nearest(
                near.take(part), distances(part), self._count, len(self._between)
            )
            found.put(part, merged, self._count)
        return found
