"""Squared Euclidean distances in float64."""

import numpy as np
from jaxtyping import Float

# Distances are multiples of 2^-33 (about 1e-10) of the squared feature length.
_GRID_BITS = 33


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
