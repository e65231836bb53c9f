"""Nearest images of each image of a large set: sought in float32, settled in float64.

A matrix product in float32 takes half the time of one in float64. Its distances are
wrong by at most `_error`, whatever the order of its sums, so that a few dozen images
may be the nearest of an image. Only their distances are computed as `distances` does,
and the lists are the same, bit for bit, as with all of them.
"""

import math
from collections.abc import Callable

import numpy as np

from jreid.evaluation.distances import pair_distances, squared_distances
from jreid.evaluation.rerank.candidates import Candidates
from jreid.evaluation.rerank.neighbours import (
    Neighbours,
    merge_nearest,
    nearest_pairs,
    neighbours,
)
from jreid.shapes import Float, Int

# An odd number of cache lines: columns of a power of two fall into few cache sets.
_TILE = 2056
_ROWS_AT_ONCE = 2048
# Lengths within 2 to the power of twice this are no overflow in float32.
_SAFE_EXPONENT = 20


def neighbours_within(
    single: "SinglePrecision",
    count: int,
    *,
    of_gallery: tuple[int, Candidates] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Neighbours:
    """The `count` nearest of all images of each of them, and its largest distance.

    The distances' upper triangle is computed tile by tile, and a tile serves its rows
    and, turned over, its columns. Memory is linear in the number of images.

    Args:
        of_gallery: a number of queries, which come first, and what keeps the images
            among the others that may be near to each.
        progress: called with the number of distances found and their total.
    """
    images = len(single.features)
    count = min(count, images)
    near = single.candidates(images, count)
    far = single.candidates(images, 1)
    done = 0
    for start in range(0, images, _TILE):
        left = single.left(start, start + _TILE)
        for other in range(start, images, _TILE):
            tile = left @ single.right(other, other + _TILE).T
            near.offer(tile, start, other)
            if of_gallery is not None:
                _offer_gallery(*of_gallery, tile, start, other)
            if other > start:
                near.offer(tile.T, other, start)
            np.negative(tile, out=tile)
            far.offer(tile, start, other)
            if other > start:
                far.offer(tile.T, other, start)
            done += tile.size if other == start else 2 * tile.size
            if progress is not None:
                progress(done, images**2)
    return _settled(single.features, near, far, count, single.length)


class SinglePrecision:
    """Squared distances in float32 as matrix products, in a unit near the largest.

    Attributes:
        features, length: see `distances`.
        error: an upper bound, in their unit, of the products' error beside the
            distances that `distances` computes.
    """

    def __init__(self, features: Float[np.ndarray, "n d"], length: float):
        self.features, self.length = features, length
        exact_enough = np.result_type(features, np.float32)
        # Any one vector may be taken from all: nearer to zero, products are more exact.
        self._middle = features.mean(axis=0, dtype=np.float64).astype(exact_enough)
        lengths = _lengths(features, self._middle)
        spread = float(lengths.max())
        # A power of two, which rounds nothing: lengths of about 1 are no overflow.
        exponent = -round(math.log2(spread) / 2) if spread > 0 else 0
        self._scale = 2.0**exponent
        self._lengths = lengths * self._scale**2
        width = features.shape[1]
        # Of the sums of width + 2 products, and of rounding the features and lengths.
        sums = 1.01 * (4 * width + 32) * 2.0**-24 * spread
        self.error = (sums + 2.0**-32 * length) * self._scale**2
        # Zeros up to whole cache lines; see `_TILE`.
        self._padded = 16 * (-(-(width + 2) // 16) | 1)

    def candidates(self, rows: int, count: int) -> Candidates:
        """Keeps what may be among the `count` nearest, by these distances."""
        return Candidates(rows, count, self.error)

    def left(self, start: int, stop: int) -> Float[np.ndarray, "n padded"]:
        """Rows whose products with those of `right` are distances."""
        return self._rows(start, stop, -2.0, 0)

    def right(self, start: int, stop: int) -> Float[np.ndarray, "n padded"]:
        """Rows for the other side."""
        return self._rows(start, stop, 1.0, 1)

    def _rows(
        self, start: int, stop: int, factor: float, ones: int
    ) -> Float[np.ndarray, "n padded"]:
        features = self.features[start:stop]
        width = features.shape[1]
        rows = np.zeros((len(features), self._padded), np.float32)
        moved = features - self._middle
        np.multiply(moved, factor * self._scale, out=rows[:, :width], casting="unsafe")
        rows[:, width + ones] = self._lengths[start:stop]
        rows[:, width + 1 - ones] = 1
        return rows


class SinglePrecisionPairs:
    """Squared distances of one image to some, in float32 and where they stand.

    Attributes:
        error: an upper bound of it, as a squared Euclidean distance.
    """

    def __init__(self, features: Float[np.ndarray, "n d"], length: float):
        self._features = features
        self._lengths = _lengths(features, np.zeros(1, features.dtype))
        # The same for each image, which saves the system's time for new memory.
        self._memory = np.empty((0, features.shape[1]), features.dtype)
        # A power of two, as for tiles, but none where numbers are no danger.
        exponent = -round(math.log2(length) / 2) if length > 0 else 0
        self._scale = 2.0**exponent if abs(exponent) > _SAFE_EXPONENT else 1.0
        terms = 2 * features.shape[1] + 8
        self.error = (1.01 * terms * 2.0**-24 + 2.0**-32) * length

    def distances(
        self, image: int, others: Int[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        """Squared Euclidean distances of an image to others, in float64."""
        if len(others) > len(self._memory):
            self._memory = np.empty(
                (2 * len(others), self._features.shape[1]), self._features.dtype
            )
        rows = self._memory[: len(others)]
        # Without a mode, `take` would first fill an array of its own.
        self._features.take(others, axis=0, out=rows, mode="clip")
        one = self._features[image]
        if self._scale != 1:
            rows, one = rows * self._scale, one * self._scale
        products = rows.astype(np.float32, copy=False) @ one.astype(np.float32)
        products = products.astype(np.float64) * (-2 * self._scale**-2)
        return products + self._lengths[others] + self._lengths[image]


def _lengths(
    features: Float[np.ndarray, "n d"], middle: Float[np.ndarray, " _"]
) -> Float[np.ndarray, " n"]:
    """Squared lengths in float64 after `middle` is taken away, a few at a time."""
    lengths = np.empty(len(features))
    for start in range(0, len(features), _ROWS_AT_ONCE):
        moved = (features[start : start + _ROWS_AT_ONCE] - middle).astype(np.float64)
        lengths[start : start + len(moved)] = np.vecdot(moved, moved)
    return lengths


def _offer_gallery(
    queries: int,
    near: Candidates,
    tile: Float[np.ndarray, "n m"],
    row: int,
    column: int,
) -> None:
    """Of a tile, the distances of queries to the gallery."""
    first = max(queries - column, 0)
    part = tile[: max(queries - row, 0), first:]
    if part.size:
        near.offer(part, row, column + first - queries)


def _settled(
    features: Float[np.ndarray, "n d"],
    near: Candidates,
    far: Candidates,
    count: int,
    length: float,
) -> Neighbours:
    images = len(features)
    found = Neighbours(
        np.empty((images, count), np.int64),
        np.empty((images, count)),
        np.empty(images),
    )

    for start in range(0, images, _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, images))
        size = rows.stop - start
        row, column = near.of_rows(start, rows.stop)
        exact = pair_distances(features, start + row, column, length)
        nearest = nearest_pairs(row, column, exact, (size, count))
        found.columns[rows], found.distances[rows] = nearest
        row, column = far.of_rows(start, rows.stop)
        exact = pair_distances(features, start + row, column, length)
        found.largest[rows] = -nearest_pairs(row, column, -exact, (size, 1))[1][:, 0]
    crowded = np.union1d(near.crowded, far.crowded)
    for start in range(0, len(crowded), _TILE):
        _fill_exactly(found, crowded[start : start + _TILE], features, length)
    return found


def _fill_exactly(
    found: Neighbours,
    rows: Int[np.ndarray, " n"],
    features: Float[np.ndarray, "images d"],
    length: float,
) -> None:
    """Computes all distances of some rows in float64."""
    count = found.columns.shape[1]
    some = features[rows].astype(np.float64)
    first = squared_distances(some, features[:_TILE], length=length)
    nearest = neighbours(first, count)
    for start in range(_TILE, len(features), _TILE):
        columns = features[start : start + _TILE]
        distances = squared_distances(some, columns, length=length)
        nearest = merge_nearest(nearest, distances, count, start)
    found.columns[rows] = nearest.columns
    found.distances[rows] = nearest.distances
    found.largest[rows] = nearest.largest
