"""Columns that may be among the nearest of each row, by distances with an error."""

import numpy as np

from jreid.evaluation.rerank.neighbours import running
from jreid.shapes import Float, Int

_ROWS_AT_ONCE = 512


class Candidates:
    """Keeps, for each row, every column that may be among its `count` nearest.

    Distances come tile by tile, in any unit, and are wrong by up to `error`. Then a
    column that is farther than `count` others by more than twice the error is none of
    the `count` nearest, and every other column is kept. A row with too many such
    columns is crowded: it keeps none, and all columns may be among its nearest.
    """

    def __init__(self, rows: int, count: int, error: float):
        self._count, self._doubt = count, np.float32(2 * error)
        self._most = 4 * count + 44
        self._distances = np.full((rows, self._most), np.inf, np.float32)
        self._columns = np.zeros((rows, self._most), np.int32)
        self._held = np.zeros(rows, np.int64)
        # Columns farther than this are left out; infinite before the first are seen.
        self._limit = np.full(rows, np.inf, np.float32)

    @property
    def crowded(self) -> Int[np.ndarray, " crowded"]:
        """Rows whose candidates are all columns."""
        return np.flatnonzero(self._limit == -np.inf)

    def offer(
        self, distances: Float[np.ndarray, "n m"], first_row: int, first_column: int
    ) -> None:
        """Keeps what may be near in the tile that begins at this row and column."""
        rows = slice(first_row, first_row + len(distances))
        unseen = self._limit[rows] == np.inf
        near = _at_most(distances, np.where(unseen, -np.inf, self._limit[rows]))
        new = np.bincount(near[0], minlength=len(distances))
        full = unseen | (self._held[rows] + new > self._most)
        if full.any():
            crossing = np.flatnonzero(full)
            for start in range(0, len(crossing), _ROWS_AT_ONCE):
                part = crossing[start : start + _ROWS_AT_ONCE]
                self._prune(first_row + part, distances[part], first_column)
            near = near[:, ~full[near[0]]]
            new[full] = 0
        row, column = near
        place = self._held[first_row + row] + running(new)
        self._distances[first_row + row, place] = distances[row, column]
        self._columns[first_row + row, place] = first_column + column
        self._held[rows] += new

    def of_rows(
        self, start: int, stop: int
    ) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " kept"]]:
        """Rows, counted from `start`, and columns of some candidates, in order."""
        rows = np.arange(start, stop)
        self._prune(rows, np.empty((len(rows), 0), np.float32), 0)
        row, place = np.nonzero(np.arange(self._most) < self._held[rows, None])
        columns = self._columns[start + row, place].astype(np.int64)
        order = np.lexsort((columns, row))
        return row[order], columns[order]

    def _prune(
        self,
        rows: Int[np.ndarray, " n"],
        distances: Float[np.ndarray, "n m"],
        first_column: int,
    ) -> None:
        """Drops what is surely not near, with the rows' new distances."""
        new = np.arange(first_column, first_column + distances.shape[1], dtype=np.int32)
        seen = np.hstack([self._distances[rows], distances])
        columns = np.hstack(
            [self._columns[rows], np.broadcast_to(new, distances.shape)]
        )
        last = min(self._count, seen.shape[1]) - 1
        limit = np.partition(seen, last, axis=1)[:, last] + self._doubt
        # A crowded row stays one.
        limit = np.minimum(limit, self._limit[rows])
        keep = (seen <= limit[:, None]) & (seen < np.inf)
        held = np.count_nonzero(keep, axis=1)
        crowded = held > self._most
        limit[crowded], keep[crowded], held[crowded] = -np.inf, False, 0
        row = np.repeat(np.arange(len(rows)), held)
        place = running(held)
        self._distances[rows] = np.inf
        self._distances[rows[row], place] = seen[keep]
        self._columns[rows[row], place] = columns[keep]
        self._held[rows], self._limit[rows] = held, limit


def _at_most(
    distances: Float[np.ndarray, "n m"], limit: Float[np.ndarray, " n"]
) -> Int[np.ndarray, "2 pairs"]:
    """Rows and columns of the entries up to their row's limit, in order of rows."""
    limit = limit.astype(np.float32)
    if distances.flags.c_contiguous or not distances.T.flags.c_contiguous:
        found = np.flatnonzero(distances <= limit[:, None])
        return np.stack(np.divmod(found, distances.shape[1]))
    # A tile that is turned over is read as it lies in memory.
    column, row = np.divmod(np.flatnonzero(limit >= distances.T), len(distances))
    order = np.argsort(row, kind="stable")
    return np.stack([row[order], column[order]])
