"""The order of what is found: by distance, by re-ranking, the first of each track."""

from collections.abc import Callable

import numpy as np

from jreid.search.records import Record
from jreid.search.store import Store
from jreid.shapes import Float

Found = list[tuple[Record, float]]  # images and their distances, in an order
Ranking = Callable[[int], Found]  # its first so many, fewer where there are fewer

_MANY = 8  # images that are looked at for each track that is wanted, at first


def reranked(
    store: Store, vector: Float[np.ndarray, " d"], found: Found, count: int
) -> Found:
    """The first `count` in the order of k-reciprocal re-ranking."""
    near, far = found[:count], found[count:]
    if len(near) < 2:
        return found
    from jreid.evaluation.rerank.blocks import rerank

    kept = store.vectors([record.key for record, _ in near])
    order = rerank(vector[None], kept.astype(np.float32))[0]
    return [near[place] for place in np.argsort(order, kind="stable")] + far


def first_of_tracks(ranking: Ranking, k: int) -> Found:
    """Of each of the k nearest tracks its first image; one without a track is its own.

    A tracker counts for itself in each camera.
    """
    count = _MANY * k
    while True:
        found, first = ranking(count), {}
        for record, distance in found:
            own = (record.camera, record.track)
            track = record.key if record.track is None else own
            first.setdefault(track, (record, distance))
        if len(first) >= k or len(found) < count:
            return list(first.values())[:k]
        count *= 4
