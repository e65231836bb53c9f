"""Scores of the published protocols: every setting with all its trials."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jreid.evaluation.distances import check_features, squared_distances
from jreid.evaluation.official_draw import OfficialDraw, shipped_draw
from jreid.evaluation.ranking import nearest_gallery
from jreid.evaluation.score import METRICS, ByIdentity, Score, mean_over_splits
from jreid.evaluation.score_settings import TableProgress, score_settings
from jreid.evaluation.trials import Trial, llcm_trial, regdb_trial, sysu_trial
from jreid.shapes import Float, Int

__all__ = [
    "METRICS",
    "ByIdentity",
    "RankList",
    "Score",
    "example_rank_lists",
    "mean_over_splits",
    "score_custom",
    "score_llcm",
    "score_regdb",
    "score_sysu",
]
DRAWS = ("agw", "official")


def score_sysu(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    paths: np.ndarray | None = None,
    modes: Sequence[str] = ("all", "indoor"),
    shots: Sequence[int] = (1, 10),
    trials: int = 10,
    draw: str = "agw",
    permutations: OfficialDraw | None = None,
    reranking: bool = True,
    progress: TableProgress | None = None,
) -> list[Score]:
    """Scores on SYSU-MM01, or on any identities in its layout.

    The CMC counts each identity of the gallery once, mAP and mINP use the full list.

    Args:
        features: one row per image for each kind of feature, L2-normalised.
        ids, cameras, paths: columns of the images; see `sysu_trial`, also for `modes`
            and `shots`.
        trials: galleries to draw, 10 in the published protocol.
        draw: "agw", or "official" for the data set's own galleries. The official
            single-shot galleries of the 96 test identities are shipped; multi-shot, or
            other identities, need `permutations`.
        permutations: from `official_draw.read_permutations`.
        reranking: add a re-ranked score after each plain one.
        progress: called with "feature, setting" and how much of that table is done, in
            [0, 1]: at 0 before each, then now and again.

    Returns:
        Scores by setting, then by feature, then plain before re-ranked.

    Raises:
        ValueError: columns of different length, features that are not finite, a
            setting without gallery images or without any match, or an official draw
            that is not of these images.
    """
    if trials < 1:
        raise ValueError(f"trials={trials}: at least one trial is needed")
    if draw not in DRAWS or (draw == "agw" and permutations is not None):
        raise ValueError(
            f"draw={draw!r} {'with' if permutations else 'without'} permutations: draw"
            f" must be one of {list(DRAWS)}, and permutations belong to 'official'"
        )
    official = None
    if draw == "official":
        official = shipped_draw() if permutations is None else permutations
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
                official=official,
            )
            for trial in range(trials)
        ]
        for mode, count in itertools.product(modes, shots)
    }
    return score_settings(
        features,
        ids,
        settings,
        protocol="SYSU-MM01",
        draws=dict.fromkeys(settings, draw),
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
    progress: TableProgress | None = None,
    trial: int | None = None,
) -> list[Score]:
    """Scores of one RegDB split in both directions; every rank counts images.

    The published numbers are means over ten splits, each with a model of its own: see
    `mean_over_splits`.

    Args:
        features: one row per image for each kind of feature, L2-normalised, each image
            through the stem of its own modality.
        ids, modality: columns of the test images.
        visible, infrared: the two values of `modality`.
        reranking, progress: as for `score_sysu`; the result and errors as well.
        trial: the number of the split, 1 to 10, if it is known.
    """
    return _all_against_all(
        features,
        ids,
        modality,
        {"visible to infrared": visible, "infrared to visible": infrared},
        protocol="RegDB",
        reranking=reranking,
        progress=progress,
        splits=() if trial is None else (trial,),
    )


def score_llcm(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    paths: np.ndarray | None = None,
    visible: int = 0,
    infrared: int = 1,
    trials: int = 10,
    legacy: bool = False,
    reranking: bool = True,
    progress: TableProgress | None = None,
) -> list[Score]:
    """Scores on LLCM's test identities in both directions.

    All images of one modality seek one image of the other per identity and camera (see
    `llcm_trial`). As on SYSU-MM01 the CMC counts each identity of the gallery once.

    Args:
        features, reranking, progress: as for `score_sysu`; result and errors as well.
        ids, cameras, modality, paths: columns of the test images.
        visible, infrared: the two values of `modality`.
        trials: galleries to draw, 10 in the published protocol.
        legacy: from visible to infrared, exchange query and gallery, as released code
            does (`AGW/test.py` and `DEEN/test.py` of the LLCM authors, where
            `test_mode` is [2, 1]: all visible images and one infrared image per
            identity and camera are embedded, then the transposed similarities go into
            `eval_llcm` with the drawn infrared images as queries). Its
            visible-to-infrared numbers thus say how infrared images find visible ones.
            From infrared to visible there is no difference. That the numbers printed
            in papers come from this branch cannot be checked without the images.
    """
    if trials < 1:
        raise ValueError(f"trials={trials}: at least one trial is needed")
    directions = {"visible to infrared": visible, "infrared to visible": infrared}
    draws = dict.fromkeys(directions, "one per identity and camera")
    if legacy:
        draws["visible to infrared"] += ", query and gallery swapped"
    settings = {
        direction: [
            llcm_trial(
                ids=ids,
                cameras=cameras,
                modality=modality,
                paths=paths,
                trial=trial,
                query_modality=query_modality,
                swapped=legacy and query_modality == visible,
            )
            for trial in range(trials)
        ]
        for direction, query_modality in directions.items()
    }
    return score_settings(
        features,
        ids,
        settings,
        protocol="LLCM",
        draws=draws,
        count_identities=True,
        reranking=reranking,
        progress=progress,
    )


def score_custom(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    *,
    ids: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"] | None = None,
    visible: int = 0,
    infrared: int = 1,
    reranking: bool = True,
    progress: TableProgress | None = None,
) -> list[Score]:
    """Scores of one's own images in both directions; every rank counts images.

    All images of one modality seek among all of the other and nothing is excluded, so
    the cameras, where given, must only be as many as the images.

    Args:
        features: one row per image for each kind of feature, L2-normalised.
        ids, modality, cameras: columns of the images.
        visible, infrared: the two values of `modality`.
        reranking, progress: as for `score_sysu`; the result and errors as well.
    """
    if cameras is not None and len(cameras) != len(ids):
        raise ValueError(
            f"{len(ids)} ids and {len(cameras)} cameras: one of each is needed for"
            " every image"
        )
    return _all_against_all(
        features,
        ids,
        modality,
        {"visible to infrared": visible, "infrared to visible": infrared},
        protocol="custom",
        reranking=reranking,
        progress=progress,
        splits=(),
    )


def _all_against_all(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    ids: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    directions: Mapping[str, int],
    *,
    protocol: str,
    reranking: bool,
    progress: TableProgress | None,
    splits: tuple[int, ...],
) -> list[Score]:
    if len(ids) != len(modality):
        raise ValueError(
            f"{len(ids)} ids and {len(modality)} modalities: one of each is needed for"
            " every image"
        )
    settings = {
        direction: [regdb_trial(modality, query_modality)]
        for direction, query_modality in directions.items()
    }
    return score_settings(
        features,
        ids,
        settings,
        protocol=protocol,
        draws=dict.fromkeys(settings, "every image"),
        count_identities=False,
        reranking=reranking,
        progress=progress,
        splits=splits,
    )


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
    nearest = nearest_gallery(distances, count, excluded=trial.excluded_of(rows))
    return [
        RankList(int(trial.query[row]), trial.gallery[columns])
        for row, columns in zip(rows, nearest, strict=True)
    ]
