"""CMC, average precision and inverse negative penalty: arrays in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jreid.evaluation.rerank.neighbours import nearest_columns
from jreid.shapes import Bool, Float, Int

_BLOCK_ENTRIES = 2**17
# Matches of a row whose smaller values are counted rather than sorted.
_FEW_MATCHES = 5


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
    """

    query: Int[np.ndarray, " n"]
    first_hit: Int[np.ndarray, " n"]
    average_precision: Float[np.ndarray, " n"]
    inverse_negative_penalty: Float[np.ndarray, " n"]
    skipped: int

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

    Equal distances are ranked in gallery order. Queries without a match among the
    gallery images left to them are skipped and counted.

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
    rows_at_once = max(1, _BLOCK_ENTRIES // len(gallery_ids))
    starts = np.arange(0, len(query_ids), rows_at_once)
    parts = [np.empty((4, 0))]
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
        found = _rank_block(
            distances[block],
            None if excluded is None else excluded[block],
            row,
            columns[first:last],
            gallery_ids if count_identities else None,
        )
        parts.append(np.concatenate([counted[None], found]))
    query, first_hit, average_precision, inverse_negative_penalty = np.hstack(parts)
    return Ranking(
        query=query.astype(np.int64),
        first_hit=first_hit.astype(np.int64),
        average_precision=average_precision,
        inverse_negative_penalty=inverse_negative_penalty,
        skipped=len(query_ids) - len(first_hit),
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
        np.searchsorted(gallery_ids[by_id], query_ids, side)
        for side in ("left", "right")
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


def _rank_block(
    distances: Float[np.ndarray, "n g"],
    excluded: Bool[np.ndarray, "n g"] | None,
    rows: Int[np.ndarray, " matches"],
    columns: Int[np.ndarray, " matches"],
    identities: Int[np.ndarray, " g"] | None,
) -> Float[np.ndarray, "3 n"]:
    """First hit, average precision and inverse negative penalty of each row.

    Each row has a match. For the first hit, identities are counted, or images if None.
    """
    result = np.empty((3, len(distances)))
    left = np.arange(len(distances))
    # Half the width takes half the time, and few matches then have an equal.
    for keys_of in (_single, _double, _ranks):
        keys = keys_of(distances, excluded)
        result[:, left], tied = _rank_keys(keys, rows, columns, identities)
        if not tied.size:
            break
        left, distances = left[tied], distances[tied]
        excluded = None if excluded is None else excluded[tied]
        of_tied = np.isin(rows, tied)
        rows, columns = np.searchsorted(tied, rows[of_tied]), columns[of_tied]
    return result


def _single(
    distances: Float[np.ndarray, "n g"], excluded: Bool[np.ndarray, "n g"] | None
) -> Float[np.ndarray, "n g"]:
    """Rounded keys: of two that differ, the nearer image has the smaller."""
    with np.errstate(over="ignore"):
        keys = distances.astype(np.float32)
    return _without(keys, excluded)


def _double(
    distances: Float[np.ndarray, "n g"], excluded: Bool[np.ndarray, "n g"] | None
) -> Float[np.ndarray, "n g"]:
    return _without(distances.astype(np.float64), excluded)


def _ranks(
    distances: Float[np.ndarray, "n g"], excluded: Bool[np.ndarray, "n g"] | None
) -> Float[np.ndarray, "n g"]:
    """Keys without equals: the places in the stable ranking."""
    keys = _double(distances, excluded)
    order = np.argsort(keys, axis=1, kind="stable")
    return np.argsort(order, axis=1).astype(np.float64)


def _without(
    keys: Float[np.ndarray, "n g"], excluded: Bool[np.ndarray, "n g"] | None
) -> Float[np.ndarray, "n g"]:
    """Excluded images come after all others."""
    if excluded is not None:
        np.copyto(keys, np.inf, where=excluded)
    return keys


def _rank_keys(
    keys: Float[np.ndarray, "n g"],
    rows: Int[np.ndarray, " matches"],
    columns: Int[np.ndarray, " matches"],
    identities: Int[np.ndarray, " g"] | None,
) -> tuple[Float[np.ndarray, "3 n"], Int[np.ndarray, " tied"]]:
    """As `_rank_block`, and the rows in which a match has an equal, which are void."""
    matches_of_row = np.bincount(rows, minlength=len(keys))
    starts = np.cumsum(matches_of_row) - matches_of_row
    positions, tied = _positions(keys, rows, columns, starts)
    hit_number = np.arange(1, len(rows) + 1) - np.repeat(starts, matches_of_row)
    precision = hit_number / (positions + 1)
    first_hit = positions[starts] + 1
    if identities is not None:
        nearest_match = np.minimum.reduceat(keys[rows, columns], starts)
        first_hit = _identities_before(keys, nearest_match, identities) + 1
    last_hit = positions[starts + matches_of_row - 1] + 1
    measures = [
        first_hit,
        np.add.reduceat(precision, starts) / matches_of_row,
        matches_of_row / last_hit,
    ]
    return np.stack(measures), tied


def _positions(
    keys: Float[np.ndarray, "n g"],
    rows: Int[np.ndarray, " matches"],
    columns: Int[np.ndarray, " matches"],
    starts: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " matches"], Int[np.ndarray, " tied"]]:
    """0-based positions of the matches, ascending in each row, and rows with ties.

    The position of a match is the number of smaller values, unless it has an equal.
    """
    values = keys[rows, columns]
    if len(rows) <= _FEW_MATCHES * len(keys):
        of_rows = keys[rows]
        positions = np.count_nonzero(of_rows < values[:, None], axis=1)
        equal = np.count_nonzero(of_rows == values[:, None], axis=1)
        tied = equal > 1
    else:
        positions, tied = _positions_sorted(keys, rows, values, starts)
    # Rows are ascending already; this orders the positions inside each row.
    return positions[np.lexsort((positions, rows))], np.unique(rows[tied])


def _positions_sorted(
    keys: Float[np.ndarray, "n g"],
    rows: Int[np.ndarray, " matches"],
    values: Float[np.ndarray, " matches"],
    starts: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " matches"], Bool[np.ndarray, " matches"]]:
    """Sorting values is several times faster than sorting indices."""
    ordered = np.sort(keys, axis=1)
    ends = np.append(starts[1:], len(rows))
    positions = np.concatenate(
        [
            row.searchsorted(values[start:end])
            for row, start, end in zip(ordered, starts, ends, strict=True)
        ]
    )
    following = np.minimum(positions + 1, ordered.shape[1] - 1)
    tied = (following > positions) & (ordered[rows, following] == values)
    return positions, tied


def _identities_before(
    distances: Float[np.ndarray, "n g"],
    nearest_match: Float[np.ndarray, " n"],
    gallery_ids: Int[np.ndarray, " g"],
) -> Int[np.ndarray, " n"]:
    """Number of identities with an image nearer than the nearest match."""
    identities, identity_of_column = np.unique(gallery_ids, return_inverse=True)
    seen = np.zeros((len(distances), len(identities)), bool)
    nearer = np.flatnonzero(distances < nearest_match[:, None])
    nearer_rows, nearer_columns = np.divmod(nearer, distances.shape[1])
    seen[nearer_rows, identity_of_column[nearer_columns]] = True
    return np.count_nonzero(seen, axis=1)
