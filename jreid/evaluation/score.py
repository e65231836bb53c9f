"""A score: one row of a result table, what it measures and how sure it is."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from jreid.evaluation.ranking import Ranking
from jreid.evaluation.statistics import ByIdentity, bootstrap_intervals
from jreid.shapes import Float, Int

METRICS = ("R-1", "R-5", "R-10", "R-20", "mAP", "mINP")
CURVE_RANKS = 20  # ranks of the CMC curve kept in a score
_HIT_RANKS = (1, 5, 10, 20)


@dataclass(frozen=True)
class Score:
    """One row of a result table: mean and spread over trials, interval over identities.

    `mean` and `std` hold `METRICS` as fractions in [0, 1]; `std` is the population's
    over the trials, or over the splits or seeds where there are several (0 for one).
    `interval` is a bootstrap 95 % interval over the query identities. `cmc` is the mean
    share of queries matched within rank 1, 2, ...
    """

    protocol: str  # "SYSU-MM01", "RegDB", "LLCM", "custom"
    setting: str  # "all-search single-shot", "visible to infrared"
    draw: str  # "agw", "official", "every image", "one per identity and camera"
    feature: str  # "fused"
    reranked: bool
    trials: int  # of each split and seed
    gallery: int  # images in the gallery of one trial
    counted: int  # queries with a match
    skipped: int  # queries without
    mean: Mapping[str, float]
    std: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]
    by_identity: ByIdentity
    cmc: tuple[float, ...]
    splits: tuple[int, ...] = ()  # RegDB's splits in this score; () if unknown
    seeds: tuple[int, ...] = ()  # of the runs in this score; () for a single run
    tied: float = 0.0  # share of the queries that the order of equals decides


def score_of_trials(
    rankings: Sequence[Ranking],
    query_ids: Sequence[Int[np.ndarray, " q"]],
    people: Mapping[int, str] = MappingProxyType({}),
    **names: Any,
) -> Score:
    """The score of a ranking for each trial, still without intervals.

    Args:
        query_ids: identity of every query of each trial.
        people: who an identity is, where their numbers say it in one split alone.
        names: the fields of `Score` that are not measured here.
    """
    curves = np.stack([ranking.cmc(CURVE_RANKS) for ranking in rankings])
    values = np.column_stack(
        [
            curves[:, [rank - 1 for rank in _HIT_RANKS]],
            [ranking.mean_average_precision for ranking in rankings],
            [ranking.mean_inverse_negative_penalty for ranking in rankings],
        ]
    )
    return Score(
        counted=rankings[0].counted,
        skipped=rankings[0].skipped,
        mean=dict(zip(METRICS, values.mean(axis=0).tolist(), strict=True)),
        std=dict(zip(METRICS, values.std(axis=0).tolist(), strict=True)),
        interval={},
        by_identity=_by_identity(rankings, query_ids, people),
        cmc=tuple(curves.mean(axis=0).tolist()),
        trials=len(rankings),
        tied=float(np.mean([ranking.tied / ranking.counted for ranking in rankings])),
        **names,
    )


def _by_identity(
    rankings: Sequence[Ranking],
    query_ids: Sequence[Int[np.ndarray, " q"]],
    people: Mapping[int, str],
) -> ByIdentity:
    """Sums over the trials, each trial weighing the same."""
    of_counted = [
        ids[ranking.query] for ranking, ids in zip(rankings, query_ids, strict=True)
    ]
    identities, place = np.unique(np.concatenate(of_counted), return_inverse=True)
    per_query = np.concatenate([_per_query(ranking) for ranking in rankings])
    trials = len(rankings)
    sums = [
        np.bincount(place, column, minlength=len(identities)) / trials
        for column in per_query.T
    ]
    return ByIdentity(
        identities=tuple(str(identity) for identity in identities.tolist()),
        queries=tuple((np.bincount(place) / trials).tolist()),
        sums={
            name: tuple(column.tolist())
            for name, column in zip(METRICS, sums, strict=True)
        },
        people=tuple(people[number] for number in identities.tolist() if people),
    )


def _per_query(ranking: Ranking) -> Float[np.ndarray, "n m"]:
    """The metrics of each counted query."""
    return np.column_stack(
        [
            *(ranking.first_hit <= rank for rank in _HIT_RANKS),
            ranking.average_precision,
            ranking.inverse_negative_penalty,
        ]
    ).astype(np.float64)


def with_intervals(scores: Sequence[Score]) -> list[Score]:
    """The same scores with their bootstrap intervals."""
    intervals = bootstrap_intervals([score.by_identity for score in scores])
    return [
        dataclasses.replace(score, interval=interval)
        for score, interval in zip(scores, intervals, strict=True)
    ]
