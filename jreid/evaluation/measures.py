"""What two vectors are compared by, as squared Euclidean distances of two sides."""

from typing import Literal, NamedTuple

import numpy as np

from jreid.shapes import Float

Measure = Literal["cosine", "product", "euclidean"]

UNIT = 1e-5  # rows of a length of 1 within this are left as they are
_BLOCK = 64  # rows normalised at once, in float64


class Sides(NamedTuple):
    """The rows of all images as queries, and as gallery images."""

    query: Float[np.ndarray, "n d"]
    gallery: Float[np.ndarray, "n d"]


def sides(features: Float[np.ndarray, "n d"], measure: Measure = "cosine") -> Sides:
    """Rows whose squared Euclidean distances rank a gallery as the measure does.

    Under "cosine" both sides are the rows at unit length, under "euclidean" the rows.
    Under "product" (nearest is the largest inner product) the gallery gets a further
    coordinate that makes all its rows of one length: the squared distance is then a
    constant of the query less twice the product. The sides differ there, so that there
    are no distances among queries to re-rank with.
    """
    if measure == "cosine":
        unit = unit_rows(features)
        return Sides(unit, unit)
    if measure == "euclidean":
        return Sides(features, features)
    wide = features.astype(np.float64)
    squares = np.vecdot(wide, wide)
    lift = np.sqrt(squares.max() - squares)[:, None]
    return Sides(
        np.concatenate([wide, np.zeros_like(lift)], axis=1),
        np.concatenate([wide, lift], axis=1),
    )


def unit_rows(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of length 1, of the same type; as they are if all have it within 1e-5.

    A row of zeros, which has no direction, stays.
    """
    if all(
        _unit_block(features[start : start + _BLOCK])[1] <= UNIT
        for start in range(0, len(features), _BLOCK)
    ):
        return features
    unit = np.empty_like(features)
    for start in range(0, len(features), _BLOCK):
        part = slice(start, start + _BLOCK)
        unit[part] = _unit_block(features[part])[0]
    return unit


def _unit_block(
    rows: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "n d"], float]:
    """Rows of length 1 in float64, and by how much a length was another."""
    # Divided by its largest value first, no row's squares overflow or vanish.
    scale = np.abs(rows).max(axis=1, keepdims=True)
    scale[scale == 0] = 1
    scale = scale.astype(np.float64)
    scaled = rows / scale
    lengths = np.sqrt(np.vecdot(scaled, scaled))[:, None]
    lengths[lengths == 0] = 1
    scaled /= lengths
    return scaled, float(np.abs(lengths * scale - 1).max())
