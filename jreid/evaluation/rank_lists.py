"""Rank lists of a few queries, to be looked at, or of all, for a file."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from jreid.evaluation.distances import (
    check_features,
    query_blocks,
    squared_distances,
)
from jreid.evaluation.measures import Measure, sides
from jreid.evaluation.protocols.trial import Trial
from jreid.evaluation.ranking import nearest_gallery
from jreid.shapes import Float, Int


@dataclass(frozen=True)
class RankList:
    """A query and its nearest gallery images, nearest first, as image rows.

    `distances` are squared ones, where they were asked for.
    """

    query: int
    nearest: Int[np.ndarray, " k"]
    distances: Float[np.ndarray, " k"] | None = None


def all_rank_lists(
    features: Float[np.ndarray, "n d"],
    trial: Trial,
    *,
    measure: Measure = "cosine",
    count: int = 10,
) -> Iterator[RankList]:
    """The rank list of every query, with distances, in the order of the queries.

    Lists are shorter than `count` where fewer gallery images are left to a query.
    """
    check_features("features", features)
    query, gallery = sides(features, measure)
    for block, distances in query_blocks(query[trial.query], gallery[trial.gallery]):
        excluded = trial.excluded_of(block)
        nearest = nearest_gallery(distances, count, excluded=excluded)
        for row, columns, values in zip(
            trial.query[block], nearest, distances, strict=True
        ):
            yield RankList(int(row), trial.gallery[columns], values[columns])


def example_rank_lists(
    features: Float[np.ndarray, "n d"],
    trial: Trial,
    *,
    ids: Int[np.ndarray, " n"],
    measure: Measure = "cosine",
    queries: int = 8,
    count: int = 10,
) -> list[RankList]:
    """Rank lists of queries of different identities, evenly spread over all of them.

    Only identities of the trial's gallery are chosen, and of each the middle one of
    its queries. Lists are shorter than `count` where the gallery is.
    """
    check_features("features", features)
    matched = trial.query[np.isin(ids[trial.query], ids[trial.gallery])]
    identities = np.unique(ids[matched])
    if not identities.size:
        raise ValueError(
            f"none of {len(trial.query)} query images has its identity among"
            f" {len(trial.gallery)} gallery images"
        )
    spread = np.linspace(0, len(identities) - 1, min(queries, len(identities)))
    groups = [
        np.flatnonzero(ids[trial.query] == identity)
        for identity in identities[spread.astype(int)]
    ]
    rows = np.array([group[len(group) // 2] for group in groups])
    return rank_lists_of(features, trial, rows, measure=measure, count=count)


def rank_lists_of(
    features: Float[np.ndarray, "n d"],
    trial: Trial,
    rows: Int[np.ndarray, " q"],
    *,
    measure: Measure = "cosine",
    count: int = 10,
) -> list[RankList]:
    """Rank lists of some queries, given by their places among the trial's."""
    query, gallery = sides(features, measure)
    distances = squared_distances(query[trial.query[rows]], gallery[trial.gallery])
    nearest = nearest_gallery(distances, count, excluded=trial.excluded_of(rows))
    return [
        RankList(int(trial.query[row]), trial.gallery[columns], values[columns])
        for row, columns, values in zip(rows, nearest, distances, strict=True)
    ]
