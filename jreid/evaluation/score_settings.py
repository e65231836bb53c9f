"""Features and trials in, scores out: what all protocols share."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from jreid.evaluation.distances import (
    check_features,
    query_blocks,
    squared_distances,
)
from jreid.evaluation.ranking import Ranking, join_parts, rank, rank_part
from jreid.evaluation.rerank.galleries import rerank_blocks, rerank_galleries
from jreid.evaluation.score import Score, score_of_trials, with_intervals
from jreid.evaluation.trials import Trial
from jreid.shapes import Float, Int

# Called with "feature, setting" and how much of that table is done, in [0, 1].
TableProgress = Callable[[str, float], None]


def score_settings(
    features: Mapping[str, Float[np.ndarray, "n _"]],
    ids: Int[np.ndarray, " n"],
    settings: Mapping[str, Sequence[Trial]],
    *,
    protocol: str,
    draws: Mapping[str, str],
    count_identities: bool,
    reranking: bool,
    progress: TableProgress | None,
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
    done = _Done(progress)
    for name, rows in features.items():
        rankings = _rankings(rows, ids, every_trial, count_identities, reranking, done)
        for setting, trials in settings.items():
            done.begin(f"{name}, {setting}", len(trials))
            try:
                of_trials = [done.count(next(rankings)) for _ in trials]
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


class _Done:
    """Tells how much of a table is done."""

    def __init__(self, tell: TableProgress | None):
        self._tell = tell
        self._table, self._trials, self._counted = "", 1, 0

    def begin(self, table: str, trials: int) -> None:
        self._table, self._trials, self._counted = table, trials, 0
        self.of_trial(0.0)

    def count(self, rankings: list[Ranking]) -> list[Ranking]:
        """Passes on what one trial gave."""
        self._counted += 1
        self.of_trial(0.0)
        return rankings

    def of_trial(self, share: float) -> None:
        if self._tell is not None:
            self._tell(self._table, (self._counted + share) / self._trials)


def _rankings(
    features: Float[np.ndarray, "n d"],
    ids: Int[np.ndarray, " n"],
    trials: Sequence[Trial],
    count_identities: bool,
    reranking: bool,
    done: _Done,
) -> Iterator[list[Ranking]]:
    """Yields the plain and, if asked for, the re-ranked ranking of each trial."""
    # Consecutive trials with the same queries share everything among these queries.
    for _, group in itertools.groupby(trials, key=lambda trial: trial.query.tobytes()):
        alike = list(group)
        if len(alike) == 1:
            yield _of_one_gallery(
                features, ids, alike[0], count_identities, reranking, done
            )
        else:
            yield from _of_same_queries(
                features, ids, alike, count_identities, reranking
            )


def _of_one_gallery(
    features: Float[np.ndarray, "n d"],
    ids: Int[np.ndarray, " n"],
    trial: Trial,
    count_identities: bool,
    reranking: bool,
    done: _Done,
) -> list[Ranking]:
    """Block by block of the queries: no matrix holds the distances of a large set."""
    query, gallery = features[trial.query], features[trial.gallery]
    to_gallery, within = len(query) * len(gallery), (len(query) + len(gallery)) ** 2

    def progress(stage: str, pairs: int, _: int) -> None:
        earlier = within if stage == "distances" else 0
        done.of_trial((earlier + pairs) / (within + to_gallery))

    if reranking:
        blocks = rerank_blocks(query, gallery, progress=progress)
    else:
        blocks = query_blocks(query, gallery)
    parts = [
        [
            rank_part(
                kind,
                ids[trial.query[rows]],
                ids[trial.gallery],
                excluded=trial.excluded_of(rows),
                count_identities=count_identities,
            )
            for kind in kinds
        ]
        for rows, *kinds in blocks
    ]
    return [join_parts(kind, len(gallery)) for kind in zip(*parts, strict=True)]


def _of_same_queries(
    features: Float[np.ndarray, "n d"],
    ids: Int[np.ndarray, " n"],
    trials: Sequence[Trial],
    count_identities: bool,
    reranking: bool,
) -> Iterator[list[Ranking]]:
    """Of several galleries; what they share is computed once."""
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
