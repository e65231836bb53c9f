"""Features and a protocol in, scores out."""

from collections.abc import Mapping, Sequence

import numpy as np

from jreid.evaluation.distances import check_features
from jreid.evaluation.measures import Measure, sides
from jreid.evaluation.protocols.protocol import (
    Columns,
    GalleryOptions,
    Options,
    Protocol,
    Setting,
)
from jreid.evaluation.rank_trials import TableProgress, TrialsDone, rank_trials
from jreid.evaluation.score import Score, score_of_trials, with_intervals
from jreid.shapes import Float, Int

_PUBLISHED = GalleryOptions()


def score_features(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    columns: Columns,
    protocol: Protocol,
    options: Options = _PUBLISHED,
    *,
    reranking: bool = True,
    measure: Measure = "cosine",
    progress: TableProgress | None = None,
) -> list[Score]:
    """Scores by a protocol, of every setting with all its trials.

    mAP and mINP use the full list of each query; see the protocol for the CMC.

    Args:
        features: one row per image for each kind of feature, each image through the
            stem of its own modality.
        columns: of the images; see `Columns`.
        options: how galleries are drawn; see `GalleryOptions`.
        reranking: add a re-ranked score after each plain one.
        measure: what vectors are compared by; see `measures.sides`.
        progress: called with "feature, setting" and how much of that table is done, in
            [0, 1]: at 0 before each, then now and again.

    Returns:
        Scores by setting, then by feature, then plain before re-ranked.

    Raises:
        ValueError: an option that the protocol has not, columns that are missing or of
            different length, features that are not finite, a setting without gallery
            images or without any match, or an official draw that is not of these
            images.
    """
    return score_settings(
        features,
        columns.ids,
        protocol.settings(columns, options),
        protocol,
        reranking=reranking,
        measure=measure,
        progress=progress,
    )


def score_settings(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    ids: Int[np.ndarray, " n"],
    settings: Sequence[Setting],
    protocol: Protocol,
    *,
    reranking: bool = True,
    measure: Measure = "cosine",
    progress: TableProgress | None = None,
) -> list[Score]:
    """`score_features` where the protocol's settings are known."""
    _check(features, ids, reranking, measure)
    every_trial = [trial for setting in settings for trial in setting.trials]
    found: dict[str, list[Score]] = {setting.name: [] for setting in settings}
    done = TrialsDone(progress)
    for name, rows in features.items():
        rankings = rank_trials(
            sides(rows, measure),
            ids,
            every_trial,
            count_identities=protocol.count_identities,
            reranking=reranking,
            done=done,
        )
        for setting in settings:
            done.begin(f"{name}, {setting.name}", len(setting.trials))
            try:
                of_trials = [done.count(next(rankings)) for _ in setting.trials]
            except ValueError as error:
                raise ValueError(f"{protocol.name}, {setting.name}: {error}") from error
            found[setting.name] += [
                score_of_trials(
                    kind,
                    [ids[trial.query] for trial in setting.trials],
                    setting.people,
                    protocol=protocol.name,
                    setting=setting.name,
                    draw=setting.draw,
                    feature=name,
                    reranked=bool(reranked),
                    gallery=len(setting.trials[0].gallery),
                    splits=protocol.splits,
                )
                for reranked, kind in enumerate(zip(*of_trials, strict=True))
            ]
    return with_intervals([score for scores in found.values() for score in scores])


def _check(
    features: Mapping[str, Float[np.ndarray, "_ _"]],
    ids: Int[np.ndarray, " n"],
    reranking: bool,
    measure: Measure,
) -> None:
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
    check_reranking(measure, reranking=reranking)


def check_reranking(measure: Measure, *, reranking: bool) -> None:
    """Raises ValueError if vectors measured so cannot be re-ranked."""
    if reranking and measure == "product":
        raise ValueError(
            "measure is 'product', which gives no distances to re-rank: score without"
            " re-ranking (--no-rerank, or --config.evaluation.rerank=False)"
        )
