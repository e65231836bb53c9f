"""The nearest of the gallery after re-ranking, without the distances of all others."""

import itertools
from collections.abc import Iterator

import numpy as np

from jreid.evaluation.distances import pair_distances
from jreid.evaluation.rerank.candidates import Kept
from jreid.evaluation.rerank.joint_set import JointSet
from jreid.evaluation.rerank.neighbours import nearest_pairs
from jreid.evaluation.rerank.reciprocal import shared_weights, weighted_jaccard
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
    weight = 1 - joint.weight
    for rows, shared in shared_weights(joint.of_query, joint.of_gallery):
        kept = joint.near.of_rows(rows.start, rows.stop)
        found = [
            _may_be_near(part, of_query, scale, joint.near.error, weight, count)
            for part, of_query, scale in zip(
                _of_each(kept), shared, joint.scale[rows], strict=True
            )
        ]
        row = np.repeat(np.arange(len(shared)), [len(columns) for columns in found])
        column = np.concatenate(found)
        query = rows.start + row
        distances = pair_distances(
            joint.features, query, joint.queries + column, joint.length
        )
        distances *= joint.scale[query]
        distances += weighted_jaccard(shared[row, column], weight)
        joint.report(rows.stop)
        yield nearest_pairs(row, column, distances, (len(shared), count))


def _of_each(kept: Kept) -> Iterator[Kept]:
    """The candidates row by row."""
    ends = np.searchsorted(kept.rows, np.arange(len(kept.limit) + 1))
    for row, (start, stop) in enumerate(itertools.pairwise(ends)):
        part = slice(start, stop)
        yield Kept(
            kept.rows[part],
            kept.columns[part],
            kept.distances[part],
            kept.limit[row : row + 1],
        )


def _may_be_near(
    kept: Kept,
    shared: Float[np.ndarray, " g"],
    scale: float,
    error: float,
    weight: float,
    count: int,
) -> Int[np.ndarray, " m"]:
    """Columns that may be among the `count` nearest of one query, in order."""
    if kept.limit[0] == -np.inf:
        return np.arange(len(shared))
    most = scale * (kept.distances + error)
    most += weighted_jaccard(shared[kept.columns], weight)
    bound = np.partition(most, count - 1)[count - 1]
    columns = np.union1d(np.flatnonzero(shared), kept.columns)
    distances = np.full(len(columns), kept.limit[0])
    distances[np.searchsorted(columns, kept.columns)] = kept.distances
    least = scale * (distances - error) + weighted_jaccard(shared[columns], weight)
    return columns[least <= bound + _ROUNDING]
