"""Where the matches of a few queries stand: distances in, measures of each row out."""

from typing import Literal

import numpy as np

from jreid.shapes import Bool, Float, Int

SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
# Matches of a row whose smaller values are counted rather than sorted.
_FEW_MATCHES = 5


def rank_block(
    distances: Float[np.ndarray, "n g"],
    excluded: Bool[np.ndarray, "n g"] | None,
    rows: Int[np.ndarray, " matches"],
    columns: Int[np.ndarray, " matches"],
    identities: Int[np.ndarray, " g"] | None,
) -> Float[np.ndarray, "4 n"]:
    """First hit, average precision, inverse penalty, and is it tied, of each row.

    Each row has a match. For the first hit, identities are counted, or images if None:
    `identities` are numbers from 0 on.
    It is tied where a match and another image are equally far.
    """
    result = np.zeros((4, len(distances)))
    keys = distances.astype(np.float64, copy=False)
    if excluded is not None:
        # Excluded images come after all others.
        keys = np.where(excluded, np.inf, keys)
    result[:3], tied = _rank_keys(keys, rows, columns, identities)
    if tied.size:
        of_tied = np.isin(rows, tied)
        rows, columns = np.searchsorted(tied, rows[of_tied]), columns[of_tied]
        result[3, tied] = _order_decides(keys[tied], rows, columns)
        ranks = _ranks(keys[tied])
        result[:3, tied], _ = _rank_keys(ranks, rows, columns, identities)
    return result


def _ranks(keys: Float[np.ndarray, "n g"]) -> Float[np.ndarray, "n g"]:
    """Keys without equals: the places in the stable ranking."""
    order = np.argsort(keys, axis=1, kind="stable")
    return np.argsort(order, axis=1).astype(np.float64)


def _order_decides(
    keys: Float[np.ndarray, "n g"],
    rows: Int[np.ndarray, " matches"],
    columns: Int[np.ndarray, " matches"],
) -> Bool[np.ndarray, " n"]:
    """Whether an image that is no match has the key of a match of its row."""
    ordered, starts = np.sort(keys, axis=1), np.searchsorted(rows, np.arange(len(keys)))
    decided = np.zeros(len(keys), bool)
    for row, matches in enumerate(np.split(keys[rows, columns], starts[1:])):
        own, times = np.unique(matches, return_counts=True)
        alike = np.diff([ordered[row].searchsorted(own, s) for s in SIDES], axis=0)
        decided[row] = (alike > times).any()
    return decided


def _rank_keys(
    keys: Float[np.ndarray, "n g"],
    rows: Int[np.ndarray, " matches"],
    columns: Int[np.ndarray, " matches"],
    identities: Int[np.ndarray, " g"] | None,
) -> tuple[Float[np.ndarray, "3 n"], Int[np.ndarray, " tied"]]:
    """As `rank_block`, and the rows in which a match has an equal, which are void."""
    matches_of_row = np.bincount(rows, minlength=len(keys))
    starts = np.cumsum(matches_of_row) - matches_of_row
    positions, tied = _positions(keys, rows, columns, starts)
    hit_number = np.arange(1, len(rows) + 1) - np.repeat(starts, matches_of_row)
    precision = hit_number / (positions + 1)
    first_hit = positions[starts] + 1
    if identities is not None:
        nearest_match = np.minimum.reduceat(keys[rows, columns], starts)
        late = np.flatnonzero(first_hit > 1)
        first_hit[late] = 1 + _identities_before(
            keys[late], nearest_match[late], identities
        )
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
    before = rows * keys.shape[1]
    return np.sort(before + positions) - before, np.unique(rows[tied])


def _positions_sorted(
    keys: Float[np.ndarray, "n g"],
    rows: Int[np.ndarray, " matches"],
    values: Float[np.ndarray, " matches"],
    starts: Int[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " matches"], Bool[np.ndarray, " matches"]]:
    """Sorts values, not indices, and only those up to the last match of a row."""
    near = keys <= np.maximum.reduceat(values, starts)[:, None]
    # This takes half the time of `keys[near]`.
    kept, held = keys.ravel()[np.flatnonzero(near)], np.count_nonzero(near, axis=1)
    ends = np.cumsum(held)
    begins = ends - held
    matches_end = np.append(starts[1:], len(rows))
    positions = np.empty(len(rows), np.int64)
    for begin, end, first, last in zip(
        begins.tolist(),
        ends.tolist(),
        starts.tolist(),
        matches_end.tolist(),
        strict=True,
    ):
        ordered = kept[begin:end]
        ordered.sort()
        positions[first:last] = ordered.searchsorted(values[first:last])
    place = begins[rows] + positions
    following = np.minimum(place + 1, ends[rows] - 1)
    tied = (following > place) & (kept[following] == values)
    return positions, tied


def _identities_before(
    distances: Float[np.ndarray, "n g"],
    nearest_match: Float[np.ndarray, " n"],
    identities: Int[np.ndarray, " g"],
) -> Int[np.ndarray, " n"]:
    """Number of identities with an image nearer than the nearest match."""
    seen = np.zeros((len(distances), identities.max() + 1), bool)
    nearer = np.flatnonzero(distances < nearest_match[:, None])
    nearer_rows, nearer_columns = np.divmod(nearer, distances.shape[1])
    seen[nearer_rows, identities[nearer_columns]] = True
    return np.count_nonzero(seen, axis=1)
