"""Neighbours and reciprocal vectors of the queries and the gallery together."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse

from jreid.evaluation.distances import (
    largest_length,
    pair_distances,
    squared_distances,
)
from jreid.evaluation.rerank.neighbours import Neighbours, divisors
from jreid.evaluation.rerank.options import KReciprocal
from jreid.evaluation.rerank.reciprocal import add_jaccard, reciprocal_vectors
from jreid.evaluation.rerank.search import SinglePrecision, neighbours_within
from jreid.shapes import Float

_BLOCK_ENTRIES = 2**23

# Called with what is going on, how many distances are done, and of how many.
ProgressCallback = Callable[[str, int, int], None]


class JointSet:
    """Queries and a gallery whose distances can be re-ranked, a few rows at a time.

    Holds the features in their own precision, and a sparse vector of each image.
    """

    def __init__(
        self,
        query: Float[np.ndarray, "q d"],
        gallery: Float[np.ndarray, "g d"],
        options: KReciprocal,
        progress: ProgressCallback | None,
        nearest: int = 0,
    ):
        """Finds neighbours; `nearest`: also candidates in the gallery, see `top`."""
        self.queries, self.weight = len(query), options.original_weight
        self.features = np.concatenate([query, gallery])
        self.length = largest_length(self.features)
        single = SinglePrecision(self.features, self.length)
        self.near = single.candidates(self.queries, nearest) if nearest else None
        near = neighbours_within(
            single,
            options.neighbours,
            of_gallery=self.near and (self.queries, self.near),
            progress=progress and (lambda *done: progress("neighbours", *done)),
        )
        largest = divisors(near.largest)
        vectors = reciprocal_vectors(
            near.columns,
            largest,
            distances_of_pairs(self.features, near, self.length),
            k1=options.k1,
            k2=options.k2,
        )
        self.of_query = vectors[: self.queries]
        self.of_gallery = scipy.sparse.csc_array(vectors[self.queries :])
        self.scale = self.weight / largest[: self.queries]
        self._progress = progress

    def blocks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yields some rows, their original and their re-ranked distances."""
        gallery = self.features[self.queries :].astype(np.float64, copy=False)
        rows_at_once = max(1, _BLOCK_ENTRIES // len(gallery))
        for start in range(0, self.queries, rows_at_once):
            rows = slice(start, min(start + rows_at_once, self.queries))
            original = squared_distances(
                self.features[rows], gallery, length=self.length
            )
            reranked = original * self.scale[rows, None]
            add_jaccard(reranked, self.of_query[rows], self.of_gallery, 1 - self.weight)
            self.report(rows.stop)
            yield rows, original, reranked

    def report(self, queries: int) -> None:
        """Tells of how many queries the distances are done."""
        if self._progress is not None:
            images = len(self.features) - self.queries
            self._progress("distances", queries * images, self.queries * images)


def distances_of_pairs(
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
