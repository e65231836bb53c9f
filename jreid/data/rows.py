"""The order of a batch's rows where columns of it are put together."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jreid.shapes import Int


def groups(lengths: Iterable[int]) -> int:
    """How many equal shares a batch with columns of these lengths consists of.

    Devices and processes share a batch by its groups: of every column each of them
    has the same stretch, so that joined columns need no exchange between them.
    """
    return math.gcd(*lengths)


def joined(columns: Sequence[Any]) -> Any:
    """Columns of a batch as one: `[n1 ...]`, `[n2 ...]` ... become `[n1 + n2 ... ...]`.

    The rows of the first group of every column come first, then those of the second
    (see `groups`). Two columns of one length are interleaved, row by row.

    Args:
        columns: NumPy or JAX arrays that differ in the length of the first axis only.
    """
    if len(columns) == 1:
        return columns[0]
    xp = columns[0].__array_namespace__()
    shares = groups(len(column) for column in columns)
    parts = [column.reshape(shares, -1, *column.shape[1:]) for column in columns]
    whole = xp.concat(parts, axis=1)
    return whole.reshape(-1, *whole.shape[2:])


def positions(lengths: Mapping[str, int]) -> dict[str, Int[np.ndarray, " n"]]:
    """Column -> where each of its rows is when all columns are joined."""
    numbers = np.arange(sum(lengths.values()))
    ends = list(itertools.accumulate(lengths.values()))
    columns = np.split(numbers, ends[:-1])
    places = np.argsort(joined(columns))
    return dict(zip(lengths, np.split(places, ends[:-1]), strict=True))
