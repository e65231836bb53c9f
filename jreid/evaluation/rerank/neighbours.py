"""Nearest columns of each row of distances, with ties in order."""

from dataclasses import dataclass

import numpy as np

from jreid.shapes import Float, Int

_BLOCK_ENTRIES = 2**16
# Times as many columns as are sought are sorted rather than partitioned.
_FEW = 8


def nearest_columns(
    distances: Float[np.ndarray, "n m"], count: int
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """The k = min(count, m) nearest columns of each row and their distances, in order.

    Equal distances are ordered by column, also where only some of them are taken.
    """
    rows, columns = distances.shape
    chosen = np.empty((rows, min(count, columns)), np.int64)
    near = np.empty(chosen.shape, distances.dtype)
    # Blocks of rows that stay in the processor's cache.
    rows_at_once = max(1, _BLOCK_ENTRIES // columns)
    for start in range(0, rows, rows_at_once):
        block = slice(start, start + rows_at_once)
        chosen[block], near[block] = _nearest_of_block(
            np.ascontiguousarray(distances[block]), count
        )
    return chosen, near


def _nearest_of_block(
    distances: Float[np.ndarray, "n m"], count: int
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    if count >= distances.shape[1]:
        chosen = np.argsort(distances, axis=1, kind="stable")
        return chosen, np.take_along_axis(distances, chosen, axis=1)
    # Entry `count` of a partitioned row is its nearest column that is left out.
    parted = np.argpartition(distances, count, axis=1)[:, : count + 1]
    chosen = np.sort(parted[:, :count], axis=1)
    near = np.take_along_axis(distances, chosen, axis=1)
    order = np.argsort(near, axis=1, kind="stable")
    chosen = np.take_along_axis(chosen, order, axis=1)
    near = np.take_along_axis(near, order, axis=1)
    left_out = np.take_along_axis(distances, parted[:, count:], axis=1)
    cut_tie = np.flatnonzero(near[:, -1] == left_out[:, 0])
    if cut_tie.size:
        exact = np.argsort(distances[cut_tie], axis=1, kind="stable")[:, :count]
        chosen[cut_tie] = exact
        near[cut_tie] = np.take_along_axis(distances[cut_tie], exact, axis=1)
    return chosen, near


@dataclass
class Neighbours:
    """Nearest columns of each row, nearest first, and the largest distance."""

    columns: Int[np.ndarray, "n k"]
    distances: Float[np.ndarray, "n k"]
    largest: Float[np.ndarray, " n"]

    def take(self, rows: Int[np.ndarray, " m"] | slice) -> "Neighbours":
        """The lists of some rows."""
        return Neighbours(self.columns[rows], self.distances[rows], self.largest[rows])

    def put(
        self, rows: Int[np.ndarray, " m"] | slice, other: "Neighbours", count: int
    ) -> None:
        """Replaces the lists of some rows by the first `count` of other lists."""
        self.columns[rows] = other.columns[:, :count]
        self.distances[rows] = other.distances[:, :count]
        self.largest[rows] = other.largest


def neighbours(distances: Float[np.ndarray, "n m"], count: int) -> Neighbours:
    """The nearest min(count, m) columns of each row."""
    columns, near = nearest_columns(distances, count)
    return Neighbours(columns, near, distances.max(axis=1))


def merge(first: Neighbours, second: Neighbours, offset: int) -> Neighbours:
    """Neighbours among the columns of both; the second's columns begin at `offset`.

    Lists are as long as both together, and of equally near columns the first's come
    first. Only as many are sure to be the nearest as were sought in each.
    """
    columns = np.hstack([first.columns, offset + second.columns])
    distances = np.hstack([first.distances, second.distances])
    order = np.argsort(distances, axis=1, kind="stable")
    return Neighbours(
        np.take_along_axis(columns, order, axis=1),
        np.take_along_axis(distances, order, axis=1),
        np.maximum(first.largest, second.largest),
    )


def merge_nearest(
    first: Neighbours, distances: Float[np.ndarray, "n m"], count: int, offset: int
) -> Neighbours:
    """`merge` of lists with the nearest columns of `distances`, cut to `count`.

    A column can be among them only if it is nearer than the last of a full list, and
    where most are not, this takes less time than to seek the nearest columns.
    """
    if first.columns.shape[1] < count:
        merged = merge(first, neighbours(distances, count), offset)
    else:
        near = nearest_below(distances, first.distances[:, count - 1], count)
        merged = merge(first, Neighbours(*near, distances.max(axis=1)), offset)
    return Neighbours(
        merged.columns[:, :count], merged.distances[:, :count], merged.largest
    )


def nearest_below(
    distances: Float[np.ndarray, "n m"], limit: Float[np.ndarray, " n"], count: int
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """The nearest columns below a limit, lists ending with distances of infinity."""
    rows, columns = distances.shape
    row, column = np.divmod(np.flatnonzero(distances < limit[:, None]), columns)
    held = np.bincount(row, minlength=rows)
    many = held > _FEW * count
    if many.any():
        few = ~many[row]
        row, column = row[few], column[few]
    found = nearest_pairs(row, column, distances[row, column], (rows, count))
    if many.any():
        sought = nearest_columns(distances[many], count)
        for listed, values in zip(found, sought, strict=True):
            listed[many, : values.shape[1]] = values
    return found


def divisors(largest: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """What each image's distances are divided by, given the largest."""
    # All images alike: every distance is 0 and stays 0.
    return np.where(largest == 0, 1.0, largest)


def nearest_pairs(
    rows: Int[np.ndarray, " pairs"],
    columns: Int[np.ndarray, " pairs"],
    distances: Float[np.ndarray, " pairs"],
    shape: tuple[int, int],
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """The k nearest columns of each of n rows, given pairs in order of both.

    Equal distances are ordered by column. Rows with fewer pairs end with distances of
    infinity.
    """
    images, count = shape
    held = np.bincount(rows, minlength=images)
    place = running(held)
    width = max(count, held.max(initial=0))
    listed, near = np.zeros((images, width), np.int64), np.full((images, width), np.inf)
    listed[rows, place], near[rows, place] = columns, distances
    order = np.argsort(near, axis=1, kind="stable")[:, :count]
    return (
        np.take_along_axis(listed, order, axis=1),
        np.take_along_axis(near, order, axis=1),
    )


def running(counts: Int[np.ndarray, " n"]) -> Int[np.ndarray, " sum"]:
    """0, 1, ... of each count, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) - np.repeat(ends - counts, counts)
