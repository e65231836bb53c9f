"""From a query's images to the answer: what is looked for, and the order of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.single_image import AnyImage, pixels_of, to_size
from jreid.search import refine
from jreid.search.calibrations import Calibrations
from jreid.search.embedder import Embedder, of_each
from jreid.search.guard import recognise
from jreid.search.ranking import Found, Ranking, first_of_tracks, reranked
from jreid.search.records import EVERYWHERE, Hit, Record, Where
from jreid.search.store import Store, distances, in_order
from jreid.search.within import Within
from jreid.shapes import Float, Float32


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked besides the person; see `Gallery.query`."""

    k: int = 10
    where: Where = EVERYWHERE
    by_track: bool = False
    rerank: int = 0
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    false_match_rate: float | None = None

    def __post_init__(self):
        self.where.check()
        if self.k < 1 or self.rerank < 0:
            raise ValueError(
                f"k is {self.k} and rerank {self.rerank}; k must be at least 1, and "
                "rerank at least 0"
            )


@dataclass(frozen=True)
class Query:
    """The images of one person, embedded."""

    vectors: Float32[np.ndarray, "n d"]
    modalities: tuple[str, ...]


def embedded(
    embedder: Embedder,
    images: Sequence[AnyImage],
    modality: str | None | Sequence[str | None],
) -> Query:
    """Embeds a query's images; what is not told of their modality is recognised."""
    if not images:
        raise ValueError("no image: a query needs at least one")
    given = of_each(modality, len(images))
    vectors, modalities = [], []
    for image, own in zip(images, given, strict=True):
        pixels = pixels_of(image)
        modalities.append(own or recognise(pixels).modality)
        read = to_size(pixels, embedder.size, embedder.resize, embedder.grey16)
        vectors.append(embedder.embed(read[None], modalities[-1])[0])
    return Query(np.stack(vectors), tuple(modalities))


def answer(
    store: Store,
    query: Query,
    question: Question,
    calibrations: Calibrations | None = None,
) -> list[Hit]:
    """The images that are asked for, the best first; see `Gallery.query`."""
    given = vector = refine.fused(query.vectors)
    if question.liked or question.disliked:
        vector = refine.refined(
            given, store.vectors(question.liked), store.vectors(question.disliked)
        )
    left_out = {*question.disliked, *question.left_out}

    def nearest(vector: Float32[np.ndarray, " d"], count: int, where: Where) -> Found:
        found = store.nearest(vector, count + len(left_out), where)
        return [one for one in found if one[0].key not in left_out][:count]

    def ranking(count: int) -> Found:
        found = nearest(vector, max(count, question.rerank), question.where)
        return reranked(store, vector, found, question.rerank)[:count]

    def nearest_of(count: int, modality: str) -> Found:
        return nearest(given, count, replace(question.where, modality=modality))

    asked: Ranking = ranking
    if (rate := question.false_match_rate) is not None:
        own = question.where.modality
        matching = partial(_matching, store, query, calibrations, rate)
        within = Within(matching, nearest_of, (own,) if own else MODALITY_NAMES)
        asked = _ranking_within(store, within, ranking, question, vector)
    k = question.k
    found = first_of_tracks(asked, k) if question.by_track else asked(k)
    return _hits(store, query, found, calibrations)


def _ranking_within(
    store: Store,
    within: Within,
    ranking: Ranking,
    question: Question,
    vector: Float32[np.ndarray, " d"],
) -> Ranking:
    """What of a ranking lies within the thresholds, in the ranking's order."""
    reordered = within.within(ranking(question.rerank)) if question.rerank else []
    keys = {record.key for record, _ in reordered}
    moved: Found | None = None
    if question.liked or question.disliked:
        # The query that was moved ranks; whom it matches is told of what was given.
        records = [record for record, _ in within.all()]
        kept = store.vectors([record.key for record in records])
        values = distances(vector, kept).tolist()
        moved = in_order(list(zip(records, values, strict=True)), len(records))

    def first(count: int) -> Found:
        found = within.first(count) if moved is None else moved
        return (reordered + [one for one in found if one[0].key not in keys])[:count]

    return first


def _matching(
    store: Store,
    query: Query,
    calibrations: Calibrations | None,
    rate: float,
    found: Found,
) -> Found:
    """Of some images those within the thresholds of a false-match rate."""
    if calibrations is None:
        raise ValueError(
            "there is no threshold for a false-match rate, as this network is not "
            "calibrated: python -m jreid.search calibrate --workdir RUN fits it"
        )
    match = calibrations.matches(*_pairs(store, query, found), rate)
    return [one for one, is_within in zip(found, match, strict=True) if is_within]


def _pairs(
    store: Store, query: Query, found: Found
) -> tuple[Float[np.ndarray, "q n"], Sequence[str], Sequence[str]]:
    """Distances of each image of the query by itself, and both sides' modalities.

    A moved or mean vector is not calibrated.
    """
    kept = store.vectors([record.key for record, _ in found])
    pairs = np.stack([distances(own, kept) for own in query.vectors])
    return pairs, query.modalities, [record.modality for record, _ in found]


def _hits(
    store: Store, query: Query, found: Found, calibrations: Calibrations | None
) -> list[Hit]:
    """Hits with their probabilities."""
    if calibrations is None or not found:
        return [_hit(record, distance, None) for record, distance in found]
    chances = calibrations.probabilities(*_pairs(store, query, found))
    return [_hit(*one, p) for one, p in zip(found, chances, strict=True)]


def _hit(record: Record, distance: float, probability: float | None) -> Hit:
    return Hit(
        key=record.key,
        path=record.path,
        distance=distance,
        probability=probability,
        camera=record.camera,
        time=record.time,
        track=record.track,
        modality=record.modality,
        identity=record.identity,
    )
