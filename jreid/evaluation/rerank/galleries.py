"""k-reciprocal re-ranking of many galleries that are drawn from one pool."""

from collections.abc import Iterator, Sequence

import numpy as np

from jreid.evaluation.rerank.blocks import rerank
from jreid.evaluation.rerank.options import PUBLISHED, KReciprocal
from jreid.evaluation.rerank.shared_pool import SharedPool
from jreid.shapes import Float, Int


def rerank_galleries(
    query: Float[np.ndarray, "q d"],
    pool: Float[np.ndarray, "n d"],
    between: Float[np.ndarray, "q n"],
    galleries: Sequence[Int[np.ndarray, "_"]],
    options: KReciprocal = PUBLISHED,
    *,
    overwrite: bool = False,
) -> Iterator[tuple[Float[np.ndarray, "q _"], Float[np.ndarray, "q _"]]]:
    """Yields, for each gallery, all queries' original and their re-ranked distances.

    What galleries drawn from one pool share is computed once: the distances among the
    queries and, where that is less work than within each gallery, within the pool are
    kept as dense matrices beside `between`. A single gallery needs neither.

    Args:
        pool: features of all images of any gallery.
        between: `squared_distances(query, pool)`.
        galleries: rows of the pool, each at most once in one gallery.
        overwrite: yield the same memory for each gallery, which saves the system's time
            for new memory; a gallery's distances are then gone with the next gallery.
        query, options: see `rerank_blocks`.
    """
    if len(galleries) == 1:
        (gallery,) = galleries
        yield between.take(gallery, axis=1), rerank(query, pool[gallery], options)
        return
    pays = sum(len(gallery) ** 2 for gallery in galleries) > len(pool) ** 2
    shared = SharedPool(query, pool, between, pays, options)
    most = len(query) * max(len(gallery) for gallery in galleries)
    memory = np.empty((2, most)) if overwrite else None
    for gallery in galleries:
        shape = len(query), len(gallery)
        if memory is None:
            original, reranked = np.empty((2, *shape))
        else:
            original, reranked = memory[:, : np.prod(shape)].reshape(2, *shape)
        # Without a mode, `take` would first fill an array of its own.
        between.take(gallery, axis=1, out=original, mode="clip")
        shared.rerank(gallery, original, reranked)
        yield original, reranked
