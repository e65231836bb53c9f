"""A score: one row of a result table, what it measures and how sure it is."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jreid.evaluation.ranking import Ranking
from jreid.evaluation.statistics import ByIdentity, bootstrap_intervals, sums_of
from jreid.shapes import Float, Int

METRICS = ("R-1", "R-5", "R-10", "R-20", "mAP", "mINP")
CURVE_RANKS = 20  # ranks of the CMC curve kept in a score
_HIT_RANKS = (1, 5, 10, 20)


@dataclass(frozen=True)
class Score:
    """One row of a result table: mean and spread over trials, interval over identities.

    `mean` and `std` hold `METRICS` as fractions in [0, 1]; `std` is the population's
    over the trials, or over the splits where there are several (0 for one). `interval`
    is a bootstrap 95 % interval over the query identities. `cmc` is the mean share of
    queries matched within rank 1, 2, ...
    """

    protocol: str  # "SYSU-MM01", "RegDB", "LLCM", "custom"
    setting: str  # "all-search single-shot", "visible to infrared"
    draw: str  # "agw", "official", "every image", "one per identity and camera"
    feature: str  # "fused"
    reranked: bool
    trials: int  # of each split
    gallery: int  # images in the gallery of one trial
    counted: int  # queries with a match
    skipped: int  # queries without
    mean: Mapping[str, float]
    std: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]
    by_identity: ByIdentity
    cmc: tuple[float, ...]
    splits: tuple[int, ...] = ()  # RegDB's splits in this score; () if unknown


def score_of_trials(
    rankings: Sequence[Ranking],
    query_ids: Sequence[Int[np.ndarray, " q"]],
    **names: Any,
) -> Score:
    """The score of a ranking for each trial, still without intervals.

    Args:
        query_ids: identity of every query of each trial.
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
        by_identity=_by_identity(rankings, query_ids),
        cmc=tuple(curves.mean(axis=0).tolist()),
        trials=len(rankings),
        **names,
    )


def _by_identity(
    rankings: Sequence[Ranking], query_ids: Sequence[Int[np.ndarray, " q"]]
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


def mean_over_splits(scores_of_each_split: Sequence[Sequence[Score]]) -> list[Score]:
    """Means over splits that each have a model of their own, as reported on RegDB.

    `mean` and `std` are the mean and the population's deviation of the splits' means.
    The interval comes from a bootstrap over the pairs of split and identity, every
    split weighing the same; a person who is tested in several splits counts as several,
    so it covers the choice of test identities and of models, as far as the splits are
    independent. Counts of images are the splits' mean, rounded.

    Args:
        scores_of_each_split: the same rows of each split, in the same order. Splits of
            unknown number are counted from 1.

    Raises:
        ValueError: there is no split, one is given twice, or the rows differ.
    """
    if not scores_of_each_split:
        raise ValueError("no splits were given: at least one is needed")
    rows = [[_row(score) for score in scores] for scores in scores_of_each_split]
    for number, other in enumerate(rows[1:], start=2):
        if other != rows[0]:
            pairs = itertools.zip_longest(other, rows[0], fillvalue="nothing")
            here, there = next(pair for pair in pairs if pair[0] != pair[1])
            raise ValueError(
                f"the splits have different rows: number {number} has {here} where the"
                f" first has {there}: score all with the same kinds of feature and"
                " options"
            )
    return with_intervals(
        [_mean_of_splits(scores) for scores in zip(*scores_of_each_split, strict=True)]
    )


def _row(score: Score) -> str:
    kind = "re-ranked" if score.reranked else "not re-ranked"
    return (
        f"{score.protocol} {score.setting}, draw {score.draw!r}, {score.feature!r}"
        f" {kind}, trials {score.trials}"
    )


def _mean_of_splits(scores: Sequence[Score]) -> Score:
    splits = tuple(split for score in scores for split in score.splits)
    if len(set(splits)) < len(splits):
        raise ValueError(
            f"splits {list(splits)} are given: each may count once, so leave out the"
            " second run of a split"
        )
    values = np.array([[score.mean[name] for name in METRICS] for score in scores])
    queries = [np.array(score.by_identity.queries) for score in scores]
    weights = np.mean([column.sum() for column in queries])
    sums = np.vstack(
        [
            sums_of(score.by_identity, METRICS) * (weights / column.sum())
            for score, column in zip(scores, queries, strict=True)
        ]
    )
    scaled = np.concatenate([column * (weights / column.sum()) for column in queries])
    names = splits if len(splits) == len(scores) else range(1, len(scores) + 1)
    return dataclasses.replace(
        scores[0],
        gallery=_rounded_mean([score.gallery for score in scores]),
        counted=_rounded_mean([score.counted for score in scores]),
        skipped=_rounded_mean([score.skipped for score in scores]),
        mean=dict(zip(METRICS, values.mean(axis=0).tolist(), strict=True)),
        std=dict(zip(METRICS, values.std(axis=0).tolist(), strict=True)),
        interval={},
        by_identity=ByIdentity(
            identities=tuple(
                f"{name}/{identity}"
                for name, score in zip(names, scores, strict=True)
                for identity in score.by_identity.identities
            ),
            queries=tuple(scaled.tolist()),
            sums={
                name: tuple(column.tolist())
                for name, column in zip(METRICS, sums.T, strict=True)
            },
        ),
        cmc=tuple(np.mean([score.cmc for score in scores], axis=0).tolist()),
        splits=tuple(names),
    )


def _rounded_mean(counts: Sequence[int]) -> int:
    return round(sum(counts) / len(counts))
