"""Scores of the published protocols: every setting, its trials, mean and deviation."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jreid.evaluation.distances import check_features, squared_distances
from jreid.evaluation.ranking import Ranking, nearest_gallery, rank
from jreid.evaluation.rerank import rerank_galleries
from jreid.evaluation.trials import Trial, regdb_trial, sysu_trial

METRICS = ("R-1", "R-5", "R-10", "R-20", "mAP", "mINP")
CURVE_RANKS = 20  # ranks of the CMC curve kept in a score


@dataclass(frozen=True)
class Score:
    """One row of a result table: mean and standard deviation over the trials.

    `mean` and `std` hold `METRICS` as fractions in [0, 1]; `std` is the population's
    (0 for one trial). `cmc` is the mean share of queries matched within rank 1, 2, ...
    """

    protocol: str  # "SYSU-MM01", "RegDB"
    setting: str  # "all-search single-shot", "visible to infrared"
    draw: str  # of the gallery: "agw", or "every image"
    feature: str  # "fused"
    reranked: bool
    trials: int
    gallery: int  # images in the gallery of one trial
    counted: int  # queries with a match
    skipped: int  # queries without
    mean: Mapping[str, float]
    std: Mapping[str, float]
    cmc: tuple[float, ...]


def score_sysu(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    paths: np.ndarray,
    modes: Sequence[str] = ("all", "indoor"),
    shots: Sequence[int] = (1, 10),
    trials: int = 10,
    reranking: bool = True,
    progress: Callable[[str], None] | None = None,
) -> list[Score]:
    """Scores on SYSU-MM01, or on any identities in its layout, with the AGW draw.

    The CMC counts each identity of the gallery once, mAP and mINP use the full list.

    Args:
        features: one row per image for each kind of feature, L2-normalised.
        ids, cameras, paths: columns of the images; see `sysu_trial`, also for `modes`
            and `shots`.
        trials: galleries to draw, 10 in the published protocol.
        reranking: add a re-ranked score after each plain one.
        progress: called with "feature, setting" before each of them.

    Returns:
        Scores by setting, then by feature, then plain before re-ranked.

    Raises:
        ValueError: columns of different length, features that are not finite, or a
            setting without gallery images or without any match.
    """
    if trials < 1:
        raise ValueError(f"trials={trials}: at least one trial is needed")
    shot_names = {1: "single-shot", 10: "multi-shot"}
    settings = {
        f"{mode}-search {shot_names.get(count, f'{count}-shot')}": [
            sysu_trial(
                ids=ids,
                cameras=cameras,
                paths=paths,
                trial=trial,
                mode=mode,
                shots=count,
            )
            for trial in range(trials)
        ]
        for mode, count in itertools.product(modes, shots)
    }
    return _score(
        features,
        ids,
        settings,
        protocol="SYSU-MM01",
        draw="agw",
        count_identities=True,
        reranking=reranking,
        progress=progress,
    )


def score_regdb(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    *,
    ids: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    visible: int = 0,
    infrared: int = 1,
    reranking: bool = True,
    progress: Callable[[str], None] | None = None,
) -> list[Score]:
    """Scores of one RegDB split in both directions; every rank counts images.

    The published numbers are means over ten splits, each with a model of its own.

    Args:
        features: one row per image for each kind of feature, L2-normalised, each image
            through the stem of its own modality.
        ids, modality: columns of the test images.
        visible, infrared: the two values of `modality`.
        reranking, progress: as for `score_sysu`; the result and errors as well.
    """
    if len(ids) != len(modality):
        raise ValueError(
            f"{len(ids)} ids and {len(modality)} modalities: one of each is needed for"
            " every image"
        )
    directions = {"visible to infrared": visible, "infrared to visible": infrared}
    scores = [
        _score(
            features,
            ids,
            {direction: [regdb_trial(modality, query_modality)]},
            protocol="RegDB",
            draw="every image",
            count_identities=False,
            reranking=reranking,
            progress=progress,
        )
        for direction, query_modality in directions.items()
    ]
    return [score for of_direction in scores for score in of_direction]


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
    distances = squared_distances(features[trial.query[rows]], features[trial.gallery])
    nearest = nearest_gallery(distances, count, excluded=trial.excluded[rows])
    return [
        RankList(int(trial.query[row]), trial.gallery[columns])
        for row, columns in zip(rows, nearest, strict=True)
    ]


def _score(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    ids: Int[np.ndarray, " n"],
    settings: Mapping[str, Sequence[Trial]],
    *,
    protocol: str,
    draw: str,
    count_identities: bool,
    reranking: bool,
    progress: Callable[[str], None] | None,
) -> list[Score]:
    """Scores by setting, then feature; all trials have the same queries."""
    if not features:
        raise ValueError(
            "no features were given: at least one kind of feature is needed"
        )
    for name, rows in features.items():
        check_features(f"features {name!r}", rows)
        if len(rows) != len(ids):
            raise ValueError(
                f"features {name!r} has {len(rows)} rows for {len(ids)} ids: one row"
                " for each image is needed"
            )
    every_trial = [trial for trials in settings.values() for trial in trials]
    found: dict[str, list[Score]] = {setting: [] for setting in settings}
    for name, rows in features.items():
        rankings = _rankings(rows, ids, every_trial, count_identities, reranking)
        for setting, trials in settings.items():
            if progress is not None:
                progress(f"{name}, {setting}")
            try:
                of_trials = list(itertools.islice(rankings, len(trials)))
            except ValueError as error:
                raise ValueError(f"{protocol}, {setting}: {error}") from error
            found[setting] += [
                Score(
                    protocol=protocol,
                    setting=setting,
                    draw=draw,
                    feature=name,
                    reranked=bool(reranked),
                    trials=len(trials),
                    gallery=len(trials[0].gallery),
                    **_summary(kind),
                )
                for reranked, kind in enumerate(zip(*of_trials, strict=True))
            ]
    return [score for scores in found.values() for score in scores]


def _rankings(
    features: Float[np.ndarray, "n d"],
    ids: Int[np.ndarray, " n"],
    trials: Sequence[Trial],
    count_identities: bool,
    reranking: bool,
) -> Iterator[list[Ranking]]:
    """Yields the plain and, if asked for, the re-ranked ranking of each trial."""
    query = features[trials[0].query]
    # Trials draw many images twice: the distances of a drawn image are computed once.
    drawn = np.unique(np.concatenate([trial.gallery for trial in trials]))
    pool = features[drawn]
    galleries = [np.searchsorted(drawn, trial.gallery) for trial in trials]
    between = squared_distances(query, pool)
    reranked = iter(())
    if reranking:
        reranked = rerank_galleries(query, pool, between, galleries)
    for trial, gallery in zip(trials, galleries, strict=True):
        excluded = trial.excluded
        plain = between.take(gallery, axis=1)
        yield [
            rank(
                distances,
                ids[trial.query],
                ids[trial.gallery],
                excluded=excluded,
                count_identities=count_identities,
            )
            for distances in (plain, *itertools.islice(reranked, 1))
        ]


def _summary(rankings: Sequence[Ranking]) -> dict[str, Any]:
    """The measured fields of a score: counts, mean, deviation and curve."""
    curves = np.stack([ranking.cmc(CURVE_RANKS) for ranking in rankings])
    values = np.column_stack(
        [
            curves[:, [0, 4, 9, 19]],
            [ranking.mean_average_precision for ranking in rankings],
            [ranking.mean_inverse_negative_penalty for ranking in rankings],
        ]
    )
    return {
        "counted": rankings[0].counted,
        "skipped": rankings[0].skipped,
        "mean": dict(zip(METRICS, values.mean(axis=0).tolist(), strict=True)),
        "std": dict(zip(METRICS, values.std(axis=0).tolist(), strict=True)),
        "cmc": tuple(curves.mean(axis=0).tolist()),
    }
