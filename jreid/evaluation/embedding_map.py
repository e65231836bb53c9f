"""Embeddings as points of a plane: principal components, or t-SNE."""

import importlib.util
from typing import Literal

import numpy as np

from jreid.shapes import Float

Method = Literal["pca", "tsne"]
_SEED = 0


def best_method() -> Method:
    """t-SNE where scikit-learn is installed, which the plane of PCA needs not."""
    return "tsne" if importlib.util.find_spec("sklearn") else "pca"


def embedding_map(
    features: Float[np.ndarray, "n d"], method: Method = "pca"
) -> Float[np.ndarray, "n 2"]:
    """Points whose distances resemble those of the rows.

    Of "pca" the axes are the two directions of largest variance. Of "tsne" near points
    are near rows, but neither axes nor the distances of far points mean anything.

    Raises:
        ValueError: t-SNE is asked for without scikit-learn.
    """
    centred = features - features.mean(axis=0, dtype=np.float64)
    if method == "pca" or len(features) < 5:
        return _principal(centred)
    if not importlib.util.find_spec("sklearn"):
        raise ValueError(
            "a map by t-SNE needs scikit-learn: pip install scikit-learn, or take pca"
        )
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 4)
    model = TSNE(perplexity=perplexity, init="pca", random_state=_SEED)
    return np.asarray(model.fit_transform(centred), np.float64)


def _principal(centred: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(centred), 2))
    count = min(2, len(sizes))
    points[:, :count] = left[:, :count] * sizes[:count]
    # The sign of a component is arbitrary: its largest point is made positive.
    extreme = points[np.abs(points).argmax(axis=0), [0, 1]]
    return points * np.where(extreme < 0, -1, 1)
