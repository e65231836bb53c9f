"""Jaccard distances of all pairs of one set of images, as far as they are small."""

import numpy as np
import scipy.sparse

from jreid.evaluation.distances import check_features, largest_length
from jreid.evaluation.rerank.joint_set import distances_of_pairs
from jreid.evaluation.rerank.options import KReciprocal
from jreid.evaluation.rerank.reciprocal import (
    reciprocal_vectors,
    shared_weights,
    weighted_jaccard,
)
from jreid.evaluation.rerank.search import SinglePrecision, neighbours_within
from jreid.shapes import Float


def jaccard_distances(
    features: Float[np.ndarray, "n d"], limit: float, *, k1: int = 30, k2: int = 6
) -> scipy.sparse.csr_matrix:
    """The k-reciprocal Jaccard distances up to `limit` of each two images, [n n].

    Those above are left out; those of 0, as of an image from itself, are stored.
    A neighbour's weight is exp(-d) with d the squared distance of vectors of length 1,
    not divided by an image's largest one as in the re-ranking of galleries: so it is in
    the clustering of re-identification's unsupervised systems. Memory is linear in the
    number of images and of pairs that are found.

    Args:
        features: of length 1.
        limit: in (0, 1), as images that share no neighbour are at distance 1.
        k1, k2: see `options.KReciprocal`.

    Raises:
        ValueError: a number out of its range, or features that are not finite.
    """
    if not 0 < limit < 1:
        raise ValueError(f"limit is {limit}; allowed is above 0, below 1")
    check_features("features", features)
    options = KReciprocal(k1, k2)
    length = largest_length(features)
    near = neighbours_within(SinglePrecision(features, length), options.neighbours)
    vectors = reciprocal_vectors(
        near.columns,
        np.ones(len(features)),
        distances_of_pairs(features, near, length),
        k1=k1,
        k2=k2,
    )
    rows, columns, values = [], [], []
    gallery = scipy.sparse.csc_array(vectors)
    for block, shared in shared_weights(vectors, gallery, len(features)):
        distances = np.maximum(weighted_jaccard(shared, 1.0), 0)
        row, column = np.nonzero(distances <= limit)
        rows.append(block.start + row)
        columns.append(column)
        values.append(distances[row, column])
    joined = [np.concatenate(parts) for parts in (values, rows, columns)]
    shape = len(features), len(features)
    return scipy.sparse.csr_matrix((joined[0], (joined[1], joined[2])), shape=shape)
