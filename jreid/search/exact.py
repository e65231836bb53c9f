"""Exact search with faiss: every vector is compared, on all cores."""

import concurrent.futures

import numpy as np

from jreid.search.extra import faiss
from jreid.shapes import Bool, Float, Float32, Int


class ExactIndex:
    """float16 vectors in memory, compared in single precision by inner product.

    faiss gives one query to one core, so each core has its own share of the vectors.
    """

    def __init__(self, vectors: Float[np.ndarray, "n d"], threads: int):
        library = faiss()
        count, self.dim = vectors.shape
        bounds = np.linspace(0, count, max(1, threads) + 1).astype(int)
        self._starts = bounds[:-1]
        self._parts = []
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
            part = library.IndexScalarQuantizer(
                self.dim,
                library.ScalarQuantizer.QT_fp16,
                library.METRIC_INNER_PRODUCT,
            )
            if stop > start:
                # Its codes are the bytes of float16: no copy but into the index.
                codes = np.ascontiguousarray(vectors[start:stop]).view(np.uint8)
                part.add_sa_codes(codes)
            self._parts.append(part)
        self._pool = concurrent.futures.ThreadPoolExecutor(len(self._parts))

    def nearest(
        self,
        vector: Float32[np.ndarray, " d"],
        count: int,
        allowed: Bool[np.ndarray, " n"] | None = None,
    ) -> Int[np.ndarray, " found"]:
        """Rows of the largest inner products, in no order; fewer where fewer are."""
        query = np.ascontiguousarray(vector[None], np.float32)
        found = list(
            self._pool.map(
                lambda number: self._of_part(number, query, count, allowed),
                range(len(self._parts)),
            )
        )
        products = np.concatenate([products for products, _ in found])
        rows = np.concatenate([rows for _, rows in found])
        if len(rows) > count:
            rows = rows[np.argpartition(-products, count - 1)[:count]]
        return rows

    def _of_part(self, number, query, count, allowed):
        library, part = faiss(), self._parts[number]
        start, size = self._starts[number], part.ntotal
        options = {}
        if allowed is not None:
            bits = np.packbits(allowed[start : start + size], bitorder="little")
            chosen = library.IDSelectorBitmap(bits)
            options["params"] = library.SearchParameters(sel=chosen)
        count = min(count, size)
        if not count:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        products, rows = part.search(query, count, **options)
        there = rows[0] >= 0
        return products[0][there], start + rows[0][there]

    def close(self) -> None:
        """Ends its threads."""
        self._pool.shutdown()
