"""Scores of several models as one: RegDB's splits, or seeds of one config."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jreid.evaluation.score import METRICS, Score, with_intervals
from jreid.evaluation.statistics import ByIdentity, sums_of
from jreid.shapes import Float


def mean_over_splits(scores_of_each_split: Sequence[Sequence[Score]]) -> list[Score]:
    """Means over splits that each have a model of their own, as reported on RegDB.

    `mean` and `std` are the mean and the population's deviation of the splits' means.
    The interval comes from a bootstrap over the people, each with all splits that test
    them, every split weighing the same. Where they are not known (`ByIdentity.people`),
    it is over the pairs of split and identity: a person who is tested in five splits
    then counts as five, and intervals and p values are too small. Counts of images are
    the splits' mean, rounded.

    Args:
        scores_of_each_split: the same rows of each split, in the same order. Splits of
            unknown number are counted from 1.

    Raises:
        ValueError: there is no split, one is given twice, or the rows differ.
    """
    _check_alike(scores_of_each_split, "split")
    return with_intervals(
        [_mean_of_splits(scores) for scores in zip(*scores_of_each_split, strict=True)]
    )


def mean_over_seeds(
    scores_of_each_seed: Sequence[Sequence[Score]], seeds: Sequence[int]
) -> list[Score]:
    """Means over models of one config that were trained from different seeds.

    `mean` and `std` are the mean and the population's deviation of the seeds' means.
    All are tested on the same images: the interval comes from a bootstrap over the
    query identities, each with its mean over the seeds, so that it covers the choice
    of test identities and not that of the seeds.

    Args:
        scores_of_each_seed: the same rows of each seed, in the same order.
        seeds: of each.

    Raises:
        ValueError: there is no seed, one is given twice, or the rows or the test images
            differ.
    """
    if len(set(seeds)) < len(seeds):
        raise ValueError(
            f"seeds {list(seeds)} are given: each may count once, so leave out the"
            " second run of a seed"
        )
    _check_alike(scores_of_each_seed, "seed")
    return with_intervals(
        [
            _mean_of_seeds(scores, tuple(seeds))
            for scores in zip(*scores_of_each_seed, strict=True)
        ]
    )


def _check_alike(scores_of_each: Sequence[Sequence[Score]], what: str) -> None:
    if not scores_of_each:
        raise ValueError(f"no {what}s were given: at least one is needed")
    rows = [[_row(score) for score in scores] for scores in scores_of_each]
    for number, other in enumerate(rows[1:], start=2):
        if other != rows[0]:
            pairs = itertools.zip_longest(other, rows[0], fillvalue="nothing")
            here, there = next(pair for pair in pairs if pair[0] != pair[1])
            raise ValueError(
                f"the {what}s have different rows: number {number} has {here} where the"
                f" first has {there}: score all with the same kinds of feature and"
                " options"
            )


def _row(score: Score) -> str:
    kind = "re-ranked" if score.reranked else "not re-ranked"
    return (
        f"{score.protocol} {score.setting}, draw {score.draw!r}, {score.feature!r}"
        f" {kind}, trials {score.trials}"
    )


def _mean_of_seeds(scores: Sequence[Score], seeds: tuple[int, ...]) -> Score:
    kept = [score.by_identity for score in scores]
    first = kept[0]
    if any(
        (one.identities, one.queries) != (first.identities, first.queries)
        for one in kept
    ):
        raise ValueError(
            "the seeds were scored on different test images: score all on the same"
        )
    sums = np.mean([sums_of(one, METRICS) for one in kept], axis=0)
    return dataclasses.replace(
        scores[0],
        interval={},
        by_identity=dataclasses.replace(first, sums=_by_metric(sums)),
        seeds=seeds,
        **_mean_fields(scores),
    )


def _mean_of_splits(scores: Sequence[Score]) -> Score:
    splits = tuple(split for score in scores for split in score.splits)
    if len(set(splits)) < len(splits):
        raise ValueError(
            f"splits {list(splits)} are given: each may count once, so leave out the"
            " second run of a split"
        )
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
    people = [score.by_identity.people for score in scores]
    return dataclasses.replace(
        scores[0],
        gallery=_rounded_mean([score.gallery for score in scores]),
        counted=_rounded_mean([score.counted for score in scores]),
        skipped=_rounded_mean([score.skipped for score in scores]),
        interval={},
        by_identity=ByIdentity(
            identities=tuple(
                f"{name}/{identity}"
                for name, score in zip(names, scores, strict=True)
                for identity in score.by_identity.identities
            ),
            queries=tuple(scaled.tolist()),
            sums=_by_metric(sums),
            people=tuple(itertools.chain(*people)) if all(people) else (),
        ),
        splits=tuple(names),
        **_mean_fields(scores),
    )


def _mean_fields(scores: Sequence[Score]) -> dict[str, Any]:
    """Means and deviations of the scores' means, and the mean of their curves."""
    values = np.array([[score.mean[name] for name in METRICS] for score in scores])
    return {
        "mean": dict(zip(METRICS, values.mean(axis=0).tolist(), strict=True)),
        "std": dict(zip(METRICS, values.std(axis=0).tolist(), strict=True)),
        "tied": float(np.mean([score.tied for score in scores])),
        "cmc": tuple(np.mean([score.cmc for score in scores], axis=0).tolist()),
    }


def _by_metric(
    sums: Float[np.ndarray, "identities metrics"],
) -> dict[str, tuple[float, ...]]:
    return {
        name: tuple(column.tolist())
        for name, column in zip(METRICS, sums.T, strict=True)
    }


def _rounded_mean(counts: Sequence[int]) -> int:
    return round(sum(counts) / len(counts))
