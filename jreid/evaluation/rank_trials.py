"""Features and trials in, rankings out, with no distance computed twice."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from jreid.evaluation.distances import query_blocks, squared_distances
from jreid.evaluation.measures import Sides
from jreid.evaluation.protocols.trial import Trial
from jreid.evaluation.ranking import Ranking, join_parts, rank_part
from jreid.evaluation.rerank.blocks import rerank_blocks
from jreid.evaluation.rerank.galleries import gallery_blocks
from jreid.shapes import Int

# Called with "feature, setting" and how much of that table is done, in [0, 1].
TableProgress = Callable[[str, float], None]


class TrialsDone:
    """Tells how much of a table is done, trial by trial."""

    def __init__(self, tell: TableProgress | None):
        self._tell = tell
        self._table, self._trials, self._counted = "", 1, 0

    def begin(self, table: str, trials: int) -> None:
        """A table of so many trials."""
        self._table, self._trials, self._counted = table, trials, 0
        self.of_trial(0.0)

    def count(self, rankings: list[Ranking]) -> list[Ranking]:
        """Passes on what one trial gave."""
        self._counted += 1
        self.of_trial(0.0)
        return rankings

    def of_trial(self, share: float) -> None:
        """So much of the trial after those counted, in [0, 1]."""
        if self._tell is not None:
            self._tell(self._table, (self._counted + share) / self._trials)


def rank_trials(
    features: Sides,
    ids: Int[np.ndarray, " n"],
    trials: Sequence[Trial],
    *,
    count_identities: bool,
    reranking: bool,
    done: TrialsDone,
) -> Iterator[list[Ranking]]:
    """Yields the plain and, if asked for, the re-ranked ranking of each trial.

    Args:
        features: of all images, as queries and as gallery.
        ids: identity of each image.
        trials: see `Trial`.
        count_identities: the CMC counts each identity of the gallery once.
        reranking: yield two rankings, plain and re-ranked.
        done: is told how far a large trial is.

    Raises:
        ValueError: no query of a trial has a match.
    """
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
    features: Sides,
    ids: Int[np.ndarray, " n"],
    trial: Trial,
    count_identities: bool,
    reranking: bool,
    done: TrialsDone,
) -> list[Ranking]:
    """Block by block of the queries: no matrix holds the distances of a large set."""
    query = features.query[trial.query]
    gallery = features.gallery[trial.gallery]
    to_gallery, within = len(query) * len(gallery), (len(query) + len(gallery)) ** 2

    def progress(stage: str, pairs: int, _: int) -> None:
        earlier = within if stage == "distances" else 0
        done.of_trial((earlier + pairs) / (within + to_gallery))

    if reranking:
        blocks = rerank_blocks(query, gallery, progress=progress)
    else:
        blocks = query_blocks(query, gallery)
    return _rank_blocks(blocks, ids, trial, count_identities)


def _of_same_queries(
    features: Sides,
    ids: Int[np.ndarray, " n"],
    trials: Sequence[Trial],
    count_identities: bool,
    reranking: bool,
) -> Iterator[list[Ranking]]:
    """Of several galleries; what they share is computed once."""
    # Once in float64, as the distances need them.
    query = features.query[trials[0].query].astype(np.float64)
    drawn, galleries = _pool([trial.gallery for trial in trials])
    pool = features.gallery[drawn].astype(np.float64)
    between = squared_distances(query, pool)
    if reranking:
        of_trials = gallery_blocks(query, pool, between, galleries)
    else:
        every = slice(0, len(query))
        of_trials = ([(every, between.take(one, axis=1))] for one in galleries)
    for trial, blocks in zip(trials, of_trials, strict=True):
        yield _rank_blocks(blocks, ids, trial, count_identities)


def _rank_blocks(
    blocks: Iterable[tuple[Any, ...]],
    ids: Int[np.ndarray, " n"],
    trial: Trial,
    count_identities: bool,
) -> list[Ranking]:
    """The ranking by each kind of distance, block by block of the queries.

    Args:
        blocks: rows of the queries, then their distances of each kind.
    """
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
    return [join_parts(kind, len(trial.gallery)) for kind in zip(*parts, strict=True)]


def _pool(
    galleries: Sequence[Int[np.ndarray, "_"]],
) -> tuple[Int[np.ndarray, " pool"], list[Int[np.ndarray, "_"]]]:
    """The images of all galleries, each once, and where those of a gallery stand.

    Trials draw many images twice: the distances of a drawn image are computed once.
    Images stand about as in their galleries, which is how these are read from memory.
    """
    images = np.concatenate(galleries)
    share = np.concatenate([np.arange(len(one)) / len(one) for one in galleries])
    drawn, first = np.unique(images, return_index=True)
    order = np.argsort(share[first], kind="stable")
    place = np.argsort(order)
    return drawn[order], [place[np.searchsorted(drawn, one)] for one in galleries]
