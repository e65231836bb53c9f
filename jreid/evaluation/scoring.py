"""Features and trials in, scores out: what all protocols share."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from jreid.evaluation.distances import check_features, squared_distances
from jreid.evaluation.ranking import Ranking, rank
from jreid.evaluation.rerank import rerank_galleries
from jreid.evaluation.score import Score, score_of_trials, with_intervals
from jreid.evaluation.trials import Trial
from jreid.shapes import Float, Int


def score_settings(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    ids: Int[np.ndarray, " n"],
    settings: Mapping[str, Sequence[Trial]],
    *,
    protocol: str,
    draws: Mapping[str, str],
    count_identities: bool,
    reranking: bool,
    progress: Callable[[str], None] | None,
    splits: tuple[int, ...] = (),
) -> list[Score]:
    """Scores by setting, then by feature, then plain before re-ranked.

    Args:
        settings: the trials of each setting.
        draws: what each setting's galleries are called.
        count_identities: the CMC counts each identity of the gallery once.
        features, reranking, progress, splits: see `protocols`.
    """
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
                score_of_trials(
                    kind,
                    [ids[trial.query] for trial in trials],
                    protocol=protocol,
                    setting=setting,
                    draw=draws[setting],
                    feature=name,
                    reranked=bool(reranked),
                    gallery=len(trials[0].gallery),
                    splits=splits,
                )
                for reranked, kind in enumerate(zip(*of_trials, strict=True))
            ]
    return with_intervals([score for scores in found.values() for score in scores])


def _rankings(
    features: Float[np.ndarray, "n d"],
    ids: Int[np.ndarray, " n"],
    trials: Sequence[Trial],
    count_identities: bool,
    reranking: bool,
) -> Iterator[list[Ranking]]:
    """Yields the plain and, if asked for, the re-ranked ranking of each trial."""
    # Consecutive trials with the same queries share everything among these queries.
    for _, group in itertools.groupby(trials, key=lambda trial: trial.query.tobytes()):
        yield from _of_same_queries(
            features, ids, list(group), count_identities, reranking
        )


def _of_same_queries(
    features: Float[np.ndarray, "n d"],
    ids: Int[np.ndarray, " n"],
    trials: Sequence[Trial],
    count_identities: bool,
    reranking: bool,
) -> Iterator[list[Ranking]]:
    # Once in float64, as the distances need them.
    query = features[trials[0].query].astype(np.float64)
    # Trials draw many images twice: the distances of a drawn image are computed once.
    drawn = np.unique(np.concatenate([trial.gallery for trial in trials]))
    pool = features[drawn].astype(np.float64)
    galleries = [np.searchsorted(drawn, trial.gallery) for trial in trials]
    between = squared_distances(query, pool)
    if reranking:
        distances = rerank_galleries(query, pool, between, galleries, overwrite=True)
    else:
        distances = ((between.take(gallery, axis=1),) for gallery in galleries)
    for trial, kinds in zip(trials, distances, strict=True):
        excluded = trial.excluded
        yield [
            rank(
                kind,
                ids[trial.query],
                ids[trial.gallery],
                excluded=excluded,
                count_identities=count_identities,
            )
            for kind in kinds
        ]
