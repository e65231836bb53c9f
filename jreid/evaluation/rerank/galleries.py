"""k-reciprocal re-ranking of many galleries that are drawn from one pool."""

from collections.abc import Iterator, Sequence

import numpy as np

from jreid.evaluation.rerank.blocks import rerank
from jreid.evaluation.rerank.options import PUBLISHED, KReciprocal
from jreid.evaluation.rerank.shared_pool import SharedPool
from jreid.shapes import Float, Int

Block = tuple[slice, Float[np.ndarray, "rows _"], Float[np.ndarray, "rows _"]]


def rerank_galleries(
    query: Float[np.ndarray, "q d"],
    pool: Float[np.ndarray, "n d"],
    between: Float[np.ndarray, "q n"],
    galleries: Sequence[Int[np.ndarray, "_"]],
    options: KReciprocal = PUBLISHED,
) -> Iterator[tuple[Float[np.ndarray, "q _"], Float[np.ndarray, "q _"]]]:
    """Yields, for each gallery, all queries' original and their re-ranked distances.

    See `gallery_blocks` for the arguments.
    """
    blocks = gallery_blocks(query, pool, between, galleries, options)
    for gallery, of_gallery in zip(galleries, blocks, strict=True):
        original, reranked = np.empty((2, len(query), len(gallery)))
        for rows, *distances in of_gallery:
            original[rows], reranked[rows] = distances
        yield original, reranked


def gallery_blocks(
    query: Float[np.ndarray, "q d"],
    pool: Float[np.ndarray, "n d"],
    between: Float[np.ndarray, "q n"],
    galleries: Sequence[Int[np.ndarray, "_"]],
    options: KReciprocal = PUBLISHED,
) -> Iterator[Iterator[Block]]:
    """Yields, for each gallery, some rows and both their distances, for all queries.

    What galleries drawn from one pool share is computed once: the distances among the
    queries and, where that is less work than within each gallery, within the pool are
    kept as dense matrices beside `between`, and with them what is near and far in the
    pool. A single gallery needs none. The next block takes the memory of a block.

    Args:
        pool: features of all images of any gallery.
        between: `squared_distances(query, pool)`.
        galleries: rows of the pool, each at most once in one gallery.
        query, options: see `rerank_blocks`.
    """
    if len(galleries) == 1:
        (gallery,) = galleries
        original = between.take(gallery, axis=1)
        reranked = rerank(query, pool[gallery], options)
        yield iter([(slice(0, len(query)), original, reranked)])
        return
    pays = sum(len(gallery) ** 2 for gallery in galleries) > len(pool) ** 2
    shared = SharedPool(query, pool, between, pays, options)
    for gallery in galleries:
        yield shared.blocks(gallery)
