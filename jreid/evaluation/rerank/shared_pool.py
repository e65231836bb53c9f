"""Re-ranking of galleries drawn from one pool: what they share is computed once."""

import numpy as np
import scipy.sparse

from jreid.evaluation.distances import largest_length, squared_distances
from jreid.evaluation.rerank.neighbours import (
    Neighbours,
    divisors,
    merge_nearest,
    neighbours,
)
from jreid.evaluation.rerank.options import KReciprocal
from jreid.evaluation.rerank.reciprocal import add_jaccard, reciprocal_vectors
from jreid.shapes import Float, Int

_ROWS_AT_ONCE = 64


class SharedPool:
    """Re-ranks galleries drawn from one pool, see `rerank_galleries`."""

    def __init__(
        self,
        query: Float[np.ndarray, "q d"],
        pool: Float[np.ndarray, "n d"],
        between: Float[np.ndarray, "q n"],
        keep_within_pool: bool,
        options: KReciprocal,
    ):
        self._options, self._count = options, options.neighbours
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
        near_queries = merge_nearest(self._query_near, to_gallery, self._count, queries)
        near_gallery = self._near_gallery(gallery, within, place, queries)
        order = np.concatenate([near_queries.columns, near_gallery.columns])
        largest = divisors(np.concatenate([near_queries.largest, near_gallery.largest]))

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
            order,
            largest,
            pair_distances,
            k1=self._options.k1,
            k2=self._options.k2,
        )
        scale = self._options.original_weight / largest[:queries, None]
        np.multiply(to_gallery, scale, out=result)
        add_jaccard(
            result,
            vectors[:queries],
            scipy.sparse.csc_array(vectors[queries:]),
            1 - self._options.original_weight,
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

    def _near_gallery(
        self,
        gallery: Int[np.ndarray, " g"],
        within: Float[np.ndarray, "n n"],
        place: Int[np.ndarray, " g"],
        queries: int,
    ) -> Neighbours:
        """Of the gallery's images, among the queries and the gallery."""
        parts = []
        for start in range(0, len(gallery), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            distances = within[place[rows]].take(place, axis=1)
            among_queries = self._pool_near_queries.take(gallery[rows])
            parts.append(merge_nearest(among_queries, distances, self._count, queries))
        return Neighbours(
            np.concatenate([part.columns for part in parts]),
            np.concatenate([part.distances for part in parts]),
            np.concatenate([part.largest for part in parts]),
        )
