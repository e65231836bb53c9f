"""From a query's images to the answer: what is looked for, and the order of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jreid.data.single_image import AnyImage, pixels_of, to_size
from jreid.search import refine
from jreid.search.calibrations import Calibrations
from jreid.search.embedder import Embedder, of_each
from jreid.search.guard import recognise
from jreid.search.records import EVERYWHERE, Hit, Record, Where
from jreid.search.store import Store, distances
from jreid.shapes import Float, Float32

Found = list[tuple[Record, float]]  # images and their distances, in an order

_MANY = 8  # images that are looked at for each track that is wanted, at first


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
    vector = refine.refined(
        refine.fused(query.vectors),
        store.vectors(question.liked),
        store.vectors(question.disliked),
    )
    left_out = {*question.disliked, *question.left_out}

    def nearest(count: int) -> Found:
        found = store.nearest(vector, count + len(left_out), question.where)
        found = [one for one in found if one[0].key not in left_out][:count]
        return _reranked(store, vector, found, question.rerank)

    k = question.k
    if question.by_track:
        found = _first_of_tracks(nearest, k, question.rerank)
    else:
        found = nearest(max(k, question.rerank))[:k]
    return _told(store, query, found, calibrations, question.false_match_rate)


def _told(
    store: Store,
    query: Query,
    found: Found,
    calibrations: Calibrations | None,
    false_match_rate: float | None,
) -> list[Hit]:
    """Hits with their probabilities; with a rate, those within its threshold."""
    if calibrations is None and false_match_rate is not None:
        raise ValueError(
            "there is no threshold for a false-match rate, as this network is not "
            "calibrated: python -m jreid.search calibrate --workdir RUN fits it"
        )
    if calibrations is None or not found:
        return [_hit(record, distance, None) for record, distance in found]
    # Of each image of the query by itself: a moved or mean vector is not calibrated.
    kept = store.vectors([record.key for record, _ in found])
    pairs = np.stack([distances(own, kept) for own in query.vectors])
    modalities = [record.modality for record, _ in found]
    chances = calibrations.probabilities(pairs, query.modalities, modalities)
    hits = [_hit(*one, p) for one, p in zip(found, chances, strict=True)]
    if false_match_rate is None:
        return hits
    match = calibrations.matches(pairs, query.modalities, modalities, false_match_rate)
    return [hit for hit, within in zip(hits, match, strict=True) if within]


def _reranked(
    store: Store, vector: Float[np.ndarray, " d"], found: Found, count: int
) -> Found:
    """The first `count` in the order of k-reciprocal re-ranking."""
    near, far = found[:count], found[count:]
    if len(near) < 2:
        return found
    from jreid.evaluation.rerank.blocks import rerank

    kept = store.vectors([record.key for record, _ in near])
    reranked = rerank(vector[None], kept.astype(np.float32))[0]
    return [near[place] for place in np.argsort(reranked, kind="stable")] + far


def _first_of_tracks(nearest: Callable[[int], Found], k: int, least: int) -> Found:
    """Of each of the k nearest tracks its first image; one without a track is its own.

    A tracker counts for itself in each camera.
    """
    count = max(_MANY * k, least)
    while True:
        found, first = nearest(count), {}
        for record, distance in found:
            own = (record.camera, record.track)
            track = record.key if record.track is None else own
            first.setdefault(track, (record, distance))
        if len(first) >= k or len(found) < count:
            return list(first.values())[:k]
        count *= 4


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
