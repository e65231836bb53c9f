"""Squared Euclidean distances in float64 that depend on nothing but the two images."""

from collections.abc import Iterator

import numpy as np

from jreid.shapes import Float, Int

# Distances are multiples of 2^-33 (about 1e-10) of the squared feature length.
_GRID_BITS = 33
# A matrix product over thousands of columns is wrong by less than 2^-44 of that length.
_ERROR_BITS = 44
_BLOCK_ENTRIES = 2**16
_QUERY_BLOCK_ENTRIES = 2**23
_PAIRS_AT_ONCE = 32
_ROWS_AT_ONCE = 2048


def check_features(name: str, features: Float[np.ndarray, "n d"]) -> None:
    """Raises ValueError unless there is at least one row and every value is finite."""
    if 0 in features.shape:
        raise ValueError(
            f"{name} has shape {features.shape}: at least one image and one feature"
            " are needed"
        )
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} holds NaN or infinity in {bad.sum()} of {len(features)} rows,"
            f" first in row {bad.argmax()}: look at the model or the images of these"
            " rows"
        )


def largest_length(*features: Float[np.ndarray, "_ d"]) -> float:
    """The largest squared length of any row: the unit in which distances are rounded.

    It is what the functions below take as `length`, so that distances of one set of
    images that are computed in parts agree.
    """
    return max(
        float(np.vecdot(wide, wide).max())
        for rows in features
        for wide in _wide_blocks(rows)
    )


def _wide_blocks(
    rows: Float[np.ndarray, "n d"],
) -> Iterator[Float[np.ndarray, "_ d"]]:
    """The rows in float64, a few at a time: a large set fits in memory once."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE].astype(np.float64, copy=False)


def squared_distances(
    rows: Float[np.ndarray, "n d"],
    columns: Float[np.ndarray, "m d"],
    *,
    length: float | None = None,
) -> Float[np.ndarray, "n m"]:
    """Squared Euclidean distances, rounded to a grid of about 1e-10 of `length`.

    A matrix product rounds differently with the number of threads and with the place
    of a row in the matrix, by far less than the grid. So the nearest grid point is
    certain but for the few distances that lie almost halfway between two, and those are
    computed again pair by pair. Each distance is then the same, bit for bit, wherever
    the two images stand and however many threads there are; pairs that are equal in
    exact arithmetic are equal here, so that ties are broken by order and not by noise.
    """
    rows = rows.astype(np.float64, copy=False)
    columns = columns.astype(np.float64, copy=False)
    if length is None:
        length = largest_length(rows, columns)
    grid, doubt = _grid(length)
    distances = rows @ columns.T
    row_lengths = np.vecdot(rows, rows)[:, None]
    column_lengths = np.vecdot(columns, columns)
    doubtful = []
    # Blocks of rows that stay in the processor's cache.
    rows_at_once = max(1, _BLOCK_ENTRIES // len(columns))
    for start in range(0, len(rows), rows_at_once):
        block = distances[start : start + rows_at_once]
        block *= -2.0
        block += row_lengths[start : start + rows_at_once]
        block += column_lengths
        rounded = _round(block, grid)
        block -= rounded
        found = np.flatnonzero(np.abs(block, out=block) > doubt)
        doubtful.append(start * len(columns) + found)
        np.maximum(rounded, 0.0, out=block)
    near, far = np.divmod(np.concatenate(doubtful), len(columns))
    if rows is columns:
        # The same number twice.
        upper = near <= far
        near, far = near[upper], far[upper]
        distances[far, near] = distances[near, far] = _pairs(
            rows, columns, near, far, grid
        )
    else:
        distances[near, far] = _pairs(rows, columns, near, far, grid)
    return distances


def query_blocks(
    query: Float[np.ndarray, "q d"], gallery: Float[np.ndarray, "g d"]
) -> Iterator[tuple[slice, Float[np.ndarray, "rows g"]]]:
    """Yields the rows of some queries and their distances, 64 MiB at a time."""
    length = largest_length(query, gallery)
    gallery = gallery.astype(np.float64, copy=False)
    rows_at_once = max(1, _QUERY_BLOCK_ENTRIES // len(gallery))
    for start in range(0, len(query), rows_at_once):
        rows = slice(start, min(start + rows_at_once, len(query)))
        yield rows, squared_distances(query[rows], gallery, length=length)


def pair_distances(
    features: Float[np.ndarray, "n d"],
    first: Int[np.ndarray, " pairs"],
    second: Int[np.ndarray, " pairs"],
    length: float,
) -> Float[np.ndarray, " pairs"]:
    """Distances of single pairs of rows: the same numbers as `squared_distances`."""
    return _pairs(features, features, first, second, _grid(length)[0])


def _grid(length: float) -> tuple[float, float]:
    """Step of the grid, and from which gap to it a matrix product leaves a doubt."""
    step = 2.0 ** (np.round(np.log2(length)) - _GRID_BITS) if length > 0 else 1.0
    return step, step * (0.5 - 2.0 ** (_GRID_BITS - _ERROR_BITS))


def _round(values: Float[np.ndarray, "..."], step: float) -> Float[np.ndarray, "..."]:
    # Adding and subtracting a number this large drops the bits below the step.
    shift = 1.5 * 2.0**52 * step
    rounded = values + shift
    rounded -= shift
    return rounded


def _pairs(
    rows: Float[np.ndarray, "n d"],
    columns: Float[np.ndarray, "m d"],
    near: Int[np.ndarray, " pairs"],
    far: Int[np.ndarray, " pairs"],
    step: float,
) -> Float[np.ndarray, " pairs"]:
    values = np.empty(len(near))
    for start in range(0, len(near), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        gap = rows[near[part]].astype(np.float64, copy=False)
        gap -= columns[far[part]]
        # Not a BLAS call: those divide long rows among threads.
        values[part] = np.einsum("nd,nd->n", gap, gap)
    return _round(values, step)
