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

    Each row has a match. For the first hit, identities are counted, or images if None.
    It is tied where a match and another image are equally far.
    """
    result = np.zeros((4, len(distances)))
    left = np.arange(len(distances))
    # Half the width takes half the time, and few matches then have an equal.
    for keys_of in (_single, _double, _ranks):
        keys = keys_of(distances, excluded)
        result[:3, left], tied = _rank_keys(keys, rows, columns, identities)
        if not tied.size:
            break
        left, distances = left[tied], distances[tied]
        excluded = None if excluded is None else excluded[tied]
        of_tied = np.isin(rows, tied)
        rows, columns = np.searchsorted(tied, rows[of_tied]), columns[of_tied]
        if keys_of is _double:
            result[3, left] = _order_decides(keys[tied], rows, columns)
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
    """As `rank_block`, and the rows in which a match has an equal, which are void."""
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
