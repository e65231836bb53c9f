"""The nearest of the gallery after re-ranking, without the distances of all others."""

from collections.abc import Iterator

import numpy as np

from jreid.evaluation.distances import pair_distances
from jreid.evaluation.rerank.joint_set import JointSet
from jreid.evaluation.rerank.neighbours import nearest_pairs
from jreid.evaluation.rerank.reciprocal import shared_weights, weighted_jaccard
from jreid.evaluation.rerank.search import SinglePrecisionPairs
from jreid.shapes import Float, Int

# Of the original distance: below, far images may tie that differ in their distance.
LEAST_WEIGHT = 2.0**-15
# Of the sums that bound a re-ranked distance.
_ROUNDING = 1e-12


def top_blocks(
    joint: JointSet, count: int
) -> Iterator[tuple[Int[np.ndarray, "rows k"], Float[np.ndarray, "rows k"]]]:
    """Yields the `count` nearest columns of some queries and re-ranked distances.

    An image that shares nothing with a query, and is farther than `count` others, stays
    so. Of the images left, only those whose distance may be small enough are compared.

    Args:
        joint: with the candidates for `count` nearest, an original weight of
            `LEAST_WEIGHT` or more, and at least `count` images in its gallery.
    """
    candidates = joint.near
    if candidates is None:
        raise ValueError("the joint set was made without `nearest`")
    single = SinglePrecisionPairs(joint.features, joint.length)
    crowded = set(candidates.crowded.tolist())
    images = len(joint.features) - joint.queries
    for rows, shared in shared_weights(joint.of_query, joint.of_gallery, images):
        row, column = candidates.of_rows(rows.start, rows.stop)
        near = np.split(column, np.searchsorted(row, np.arange(1, len(shared))))
        found = []
        for query, of_query, columns in zip(
            range(rows.start, rows.stop), shared, near, strict=True
        ):
            if query in crowded:
                columns = np.arange(len(of_query))
            found.append(_may_be_near(joint, single, query, of_query, columns, count))
        row = np.repeat(np.arange(len(shared)), [len(columns) for columns in found])
        column = np.concatenate(found)
        query = rows.start + row
        distances = pair_distances(
            joint.features, query, joint.queries + column, joint.length
        )
        distances *= joint.scale[query]
        distances += weighted_jaccard(shared[row, column], 1 - joint.weight)
        joint.report(rows.stop)
        yield nearest_pairs(row, column, distances, (len(shared), count))


def _may_be_near(
    joint: JointSet,
    single: SinglePrecisionPairs,
    query: int,
    shared: Float[np.ndarray, " g"],
    near: Int[np.ndarray, " n"],
    count: int,
) -> Int[np.ndarray, " m"]:
    """Columns that may be among the `count` nearest of one query, in order."""
    chosen = shared > 0
    chosen[near] = True
    columns = np.flatnonzero(chosen)
    distances = single.distances(query, joint.queries + columns)
    distances *= joint.scale[query]
    distances += weighted_jaccard(shared[columns], 1 - joint.weight)
    bound = np.partition(distances, count - 1)[count - 1]
    bound += 2 * joint.scale[query] * single.error + _ROUNDING
    return columns[distances <= bound]
