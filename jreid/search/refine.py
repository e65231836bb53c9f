"""One vector to search with, of several pictures and of what the user has said."""

import numpy as np

from jreid.shapes import Float, Float32

# Rocchio's weights (Manning et al., Introduction to Information Retrieval, 9.1.1), but
# for what is wrong: images that look alike share much that is right.
LIKED, DISLIKED = 0.75, 0.25


def fused(vectors: Float[np.ndarray, "n d"]) -> Float32[np.ndarray, " d"]:
    """The mean direction: its ranking is that of the mean of the similarities."""
    return _unit(vectors.astype(np.float64).mean(axis=0))


def refined(
    vector: Float[np.ndarray, " d"],
    liked: Float[np.ndarray, "n d"],
    disliked: Float[np.ndarray, "m d"],
) -> Float32[np.ndarray, " d"]:
    """Rocchio's: towards images of the person and away from images of others.

    vector + 0.75 mean(liked) - 0.25 mean(disliked), at length 1.
    """
    moved = vector.astype(np.float64)
    for weight, others in ((LIKED, liked), (-DISLIKED, disliked)):
        if len(others):
            moved = moved + weight * others.astype(np.float64).mean(axis=0)
    return _unit(moved)


def _unit(vector: Float[np.ndarray, " d"]) -> Float32[np.ndarray, " d"]:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
