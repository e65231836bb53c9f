"""CMC, average precision and inverse negative penalty: arrays in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jreid.evaluation.rank_block import SIDES, rank_block
from jreid.evaluation.rerank.neighbours import nearest_columns
from jreid.shapes import Bool, Float, Int

_BLOCK_ENTRIES = 2**18


@dataclass(frozen=True)
class Ranking:
    """Where the matches of each counted query stand, n queries in input order.

    Attributes:
        query: row of each counted query among all queries.
        first_hit: 1-based rank of the first match.
        average_precision: mean of the precision at each match, in [0, 1].
        inverse_negative_penalty: number of matches / 1-based rank of the last match
            (Ye et al., TPAMI 2022), in [0, 1].
        skipped: number of queries without any match, which count nowhere.
        tied: number of counted queries that the order of the gallery decides: a match
            and another image are equally far.
    """

    query: Int[np.ndarray, " n"]
    first_hit: Int[np.ndarray, " n"]
    average_precision: Float[np.ndarray, " n"]
    inverse_negative_penalty: Float[np.ndarray, " n"]
    skipped: int
    tied: int = 0

    @property
    def counted(self) -> int:
        """Number of queries with at least one match."""
        return len(self.first_hit)

    @property
    def mean_average_precision(self) -> float:
        """mAP, a fraction in [0, 1]."""
        return float(self.average_precision.mean())

    @property
    def mean_inverse_negative_penalty(self) -> float:
        """mINP, a fraction in [0, 1]."""
        return float(self.inverse_negative_penalty.mean())

    def cmc(self, ranks: int) -> Float[np.ndarray, "{ranks}"]:
        """Share of queries with a match at rank r or better, for r = 1 .. ranks."""
        hits = np.bincount(self.first_hit, minlength=ranks + 1)
        return np.cumsum(hits[1 : ranks + 1]) / self.counted


def rank(
    distances: Float[np.ndarray, "q g"],
    query_ids: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    *,
    excluded: Bool[np.ndarray, "q g"] | None = None,
    count_identities: bool = False,
) -> Ranking:
    """Ranks the gallery for each query, nearest first, and finds the matches.

    Equal distances are ranked in gallery order, and counted. Queries without a match
    among the gallery images left to them are skipped and counted.

    Args:
        distances: any finite numbers, smaller is nearer.
        excluded: gallery images that do not exist for a query.
        count_identities: for `first_hit`, count each identity of the gallery once, at
            its nearest image, as on SYSU-MM01. Precision always uses the full list.

    Raises:
        ValueError: shapes differ, a distance is NaN or infinite, or no query has a
            match.
    """
    part = rank_part(
        distances,
        query_ids,
        gallery_ids,
        excluded=excluded,
        count_identities=count_identities,
    )
    return join_parts([part], len(gallery_ids))


def join_parts(parts: Sequence[Ranking], gallery: int) -> Ranking:
    """The ranking of all queries, given those of consecutive parts of them.

    Args:
        gallery: number of gallery images, for the error.

    Raises:
        ValueError: no query has a match.
    """
    sizes = np.array([part.counted + part.skipped for part in parts])
    firsts = np.cumsum(sizes) - sizes
    joined = Ranking(
        query=np.concatenate(
            [first + part.query for first, part in zip(firsts, parts, strict=True)]
        ),
        first_hit=np.concatenate([part.first_hit for part in parts]),
        average_precision=np.concatenate([part.average_precision for part in parts]),
        inverse_negative_penalty=np.concatenate(
            [part.inverse_negative_penalty for part in parts]
        ),
        skipped=sum(part.skipped for part in parts),
        tied=sum(part.tied for part in parts),
    )
    if not joined.counted:
        raise ValueError(
            f"none of {joined.skipped} query images has a match among"
            f" {gallery} gallery images: both must show the same identities"
        )
    return joined


def rank_part(
    distances: Float[np.ndarray, "q g"],
    query_ids: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    *,
    excluded: Bool[np.ndarray, "q g"] | None = None,
    count_identities: bool = False,
) -> Ranking:
    """`rank` of some of the queries, none of which needs to have a match."""
    if distances.shape != (len(query_ids), len(gallery_ids)):
        raise ValueError(
            f"distances of shape {distances.shape} for {len(query_ids)} query and"
            f" {len(gallery_ids)} gallery identities: rows are queries, columns gallery"
        )
    _check_finite(distances)
    if excluded is not None:
        excluded = np.broadcast_to(excluded, distances.shape)
    rows, columns = _matches(query_ids, gallery_ids, excluded)
    identities = None
    if count_identities:
        identities = np.unique(gallery_ids, return_inverse=True)[1]
    rows_at_once = max(1, _BLOCK_ENTRIES // len(gallery_ids))
    starts = np.arange(0, len(query_ids), rows_at_once)
    parts = [np.empty((5, 0))]
    # Blocks of rows that stay in the processor's cache.
    for start, first, last in zip(
        starts,
        np.searchsorted(rows, starts),
        np.searchsorted(rows, starts + rows_at_once),
        strict=True,
    ):
        counted, row = np.unique(rows[first:last], return_inverse=True)
        if not counted.size:
            continue
        block = slice(start, start + rows_at_once)
        if len(counted) < len(distances[block]):
            block = counted
        found = rank_block(
            distances[block],
            None if excluded is None else excluded[block],
            row,
            columns[first:last],
            identities,
        )
        parts.append(np.concatenate([counted[None], found]))
    query, first_hit, average_precision, inverse_penalty, tied = np.hstack(parts)
    return Ranking(
        query=query.astype(np.int64),
        first_hit=first_hit.astype(np.int64),
        average_precision=average_precision,
        inverse_negative_penalty=inverse_penalty,
        skipped=len(query_ids) - len(first_hit),
        tied=int(tied.sum()),
    )


def nearest_gallery(
    distances: Float[np.ndarray, "q g"],
    count: int,
    *,
    excluded: Bool[np.ndarray, "q g"] | None = None,
) -> list[Int[np.ndarray, " n"]]:
    """Gallery rows of each query's `count` nearest images, nearest first.

    A list is shorter where fewer images are left after `excluded`.
    """
    _check_finite(distances)
    if excluded is not None:
        distances = np.where(excluded, np.inf, distances)
    nearest, values = nearest_columns(distances, count)
    return [row[np.isfinite(near)] for row, near in zip(nearest, values, strict=True)]


def _check_finite(distances: Float[np.ndarray, "q g"]) -> None:
    if 0 in distances.shape:
        raise ValueError(
            f"{distances.shape[0]} query and {distances.shape[1]} gallery images:"
            " at least one of each is needed"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(distances.sum(dtype=np.float64)):
            return  # with one that is not, the sum would not be
    finite = np.isfinite(distances)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"the distance of query {row} to gallery image {column} is"
            f" {distances[row, column]}: distances must be finite"
        )


def _matches(
    query_ids: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    excluded: Bool[np.ndarray, "q g"] | None,
) -> tuple[Int[np.ndarray, " matches"], Int[np.ndarray, " matches"]]:
    """Rows and columns of the gallery images that match a query, in order."""
    by_id = np.argsort(gallery_ids, kind="stable")
    begin, end = (
        np.searchsorted(gallery_ids[by_id], query_ids, side) for side in SIDES
    )
    count = end - begin
    rows = np.repeat(np.arange(len(query_ids)), count)
    # Running number of a match, shifted to where its identity begins.
    shift = begin - (np.cumsum(count) - count)
    columns = by_id[np.arange(len(rows)) + np.repeat(shift, count)]
    if excluded is None:
        return rows, columns
    left = ~excluded[rows, columns]
    return rows[left], columns[left]
