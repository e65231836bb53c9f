"""Rank lists of a few queries, to be looked at."""

from dataclasses import dataclass

import numpy as np

from jreid.evaluation.distances import check_features, squared_distances
from jreid.evaluation.measures import Measure, sides
from jreid.evaluation.protocols.trial import Trial
from jreid.evaluation.ranking import nearest_gallery
from jreid.shapes import Float, Int


@dataclass(frozen=True)
class RankList:
    """A query and its nearest gallery images, nearest first, as image rows."""

    query: int
    nearest: Int[np.ndarray, " k"]


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
    query, gallery = sides(features, measure)
    distances = squared_distances(query[trial.query[rows]], gallery[trial.gallery])
    nearest = nearest_gallery(distances, count, excluded=trial.excluded_of(rows))
    return [
        RankList(int(trial.query[row]), trial.gallery[columns])
        for row, columns in zip(rows, nearest, strict=True)
    ]
