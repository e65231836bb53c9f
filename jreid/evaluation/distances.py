"""Squared Euclidean distances, and the nearest columns of each row, in float64."""

import numpy as np
from jaxtyping import Float, Int

# Distances are multiples of 2^-33 (about 1e-10) of the squared feature length.
_GRID_BITS = 33
_BLOCK_ENTRIES = 2**19


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


def squared_distances(
    rows: Float[np.ndarray, "n d"], columns: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n m"]:
    """Squared Euclidean distances in float64, the same for any number of threads.

    A matrix product rounds differently with the number of threads and with the place
    of a row in the matrix. Snapping to a grid of about 1e-10 (for features of length
    1) makes pairs that are equal in exact arithmetic equal here too, so that ties are
    ties and are broken by order, not by noise.
    """
    rows = rows.astype(np.float64, copy=False)
    columns = columns.astype(np.float64, copy=False)
    row_lengths = np.vecdot(rows, rows)
    column_lengths = np.vecdot(columns, columns)
    distances = rows @ columns.T
    distances *= -2.0
    distances += row_lengths[:, None]
    distances += column_lengths
    length = max(row_lengths.max(), column_lengths.max())
    if length > 0:
        # Adding and subtracting a number this large drops the bits below the grid.
        shift = 1.5 * 2.0 ** (52 - _GRID_BITS + np.round(np.log2(length)))
        distances += shift
        distances -= shift
    return np.maximum(distances, 0.0, out=distances)


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
