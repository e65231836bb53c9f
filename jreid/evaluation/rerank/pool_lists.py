"""What is near and what is far in a pool, of which a gallery takes its own part."""

import numpy as np

from jreid.evaluation.rerank.neighbours import (
    Neighbours,
    nearest_below,
    nearest_columns,
)
from jreid.shapes import Bool, Float, Int

_ROWS_AT_ONCE = 64
# Entries of a list for each neighbour that is sought: a gallery that draws a third of
# the pool finds all of its own.
_NEAR = 6
_FAR = 64


class PoolLists:
    """The nearest and the farthest images of a pool, of each of some rows.

    A gallery's nearest are those of the list that it draws. Where a list is too short
    to be sure, or holds equals, whose order is the gallery's, it says so.
    """

    def __init__(
        self,
        distances: Float[np.ndarray, "n pool"],
        limit: Float[np.ndarray, " n"],
        count: int,
    ):
        """Lists for `count` neighbours that are nearer than each row's limit."""
        self._count = count
        rows, pool = distances.shape
        self._near = np.empty((rows, _NEAR * count), np.int32)
        self._near_distances = np.empty(self._near.shape)
        self._far = np.empty((rows, min(_FAR, pool)), np.int32)
        self._far_distances = np.empty(self._far.shape)
        for start in range(0, rows, _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            block = distances[part]
            self._near[part], self._near_distances[part] = nearest_below(
                block, limit[part], _NEAR * count
            )
            self._far[part], farness = nearest_columns(-block, _FAR)
            self._far_distances[part] = -farness

    def of_gallery(
        self,
        rows: Int[np.ndarray, " m"],
        place: Int[np.ndarray, " pool"],
        largest: Float[np.ndarray, " m"],
    ) -> tuple[Neighbours, Bool[np.ndarray, " m"]]:
        """The nearest in a gallery of some rows, and which of these lists are sure.

        Lists end with distances of infinity where too few are below the limit.

        Args:
            place: of each image of the pool in the gallery, below 0 if it is not drawn.
            largest: a distance of each row, than which the largest is not smaller.
        """
        columns, distances, sure = self._nearest(rows, place)
        farthest, known = self._farthest(rows, place, largest)
        return Neighbours(columns, distances, farthest), sure & known

    def _nearest(
        self, rows: Int[np.ndarray, " m"], place: Int[np.ndarray, " pool"]
    ) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " m"]]:
        count, listed = self._count, place[self._near[rows]]
        distances = self._near_distances[rows]
        drawn = (listed >= 0) & (distances < np.inf)
        running = np.cumsum(drawn, axis=1)
        # One more than are sought, which may be as near as the last of them.
        row, entry = np.nonzero(drawn & (running <= count + 1))
        slot = running[row, entry] - 1
        columns = np.zeros((len(rows), count + 1), np.int64)
        near = np.full(columns.shape, np.inf)
        columns[row, slot] = listed[row, entry]
        near[row, slot] = distances[row, entry]
        equals = ((near[:, 1:] == near[:, :-1]) & (near[:, 1:] < np.inf)).any(axis=1)
        last = distances[:, -1]
        whole = (last == np.inf) | (near[:, count - 1] < last)
        return columns[:, :count], near[:, :count], whole & ~equals

    def _farthest(
        self,
        rows: Int[np.ndarray, " m"],
        place: Int[np.ndarray, " pool"],
        largest: Float[np.ndarray, " m"],
    ) -> tuple[Float[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
        """The larger of `largest` and the gallery's, and whether it is sure."""
        distances = self._far_distances[rows]
        drawn = place[self._far[rows]] >= 0
        first = distances[np.arange(len(rows)), drawn.argmax(axis=1)]
        found = drawn.any(axis=1)
        return (
            np.where(found, np.maximum(first, largest), largest),
            found | (distances[:, -1] <= largest),
        )
