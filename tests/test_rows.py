"""The one order of a batch's rows, against loops, in NumPy and in JAX."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.data.rows import groups, joined, positions


def naive(columns: list[np.ndarray]) -> np.ndarray:
    """Group by group, of every column its stretch."""
    shares = math.gcd(*(len(column) for column in columns))
    rows = []
    for share in range(shares):
        for column in columns:
            length = len(column) // shares
            rows += list(column[share * length : (share + 1) * length])
    return np.array(rows)


@pytest.mark.parametrize(
    "lengths", [(4, 4), (4, 4, 4), (8, 4), (4, 6), (3, 5), (7,), (6, 3, 9)]
)
def test_joined_is_group_by_group(lengths):
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=(n, 2, 3)).astype(np.float32) for n in lengths]
    expected = naive(columns)
    np.testing.assert_array_equal(joined(columns), expected)
    on_device = jax.jit(joined)([jnp.asarray(column) for column in columns])
    np.testing.assert_array_equal(on_device, expected)
    numbers = [np.arange(n) for n in lengths]
    assert joined(numbers).tolist() == naive(numbers).tolist()


def test_two_columns_of_one_length_are_interleaved_row_by_row():
    assert joined([np.array([1, 2, 3]), np.array([10, 20, 30])]).tolist() == [
        *(1, 10, 2, 20, 3, 30)
    ]


@pytest.mark.parametrize("lengths", [{"a": 4, "b": 4}, {"a": 8, "b": 4}, {"a": 3}])
def test_positions_are_where_joined_puts_each_row(lengths):
    places = positions(lengths)
    columns = [100 * i + np.arange(n) for i, n in enumerate(lengths.values())]
    whole = joined(columns)
    for name, column in zip(lengths, columns, strict=True):
        np.testing.assert_array_equal(whole[places[name]], column)


def test_shares_of_the_joined_rows_are_those_of_the_columns():
    """What a device has of every column is what it has of their joined rows."""
    columns = [np.arange(8), 100 + np.arange(4), 200 + np.arange(12)]
    assert groups(len(column) for column in columns) == 4
    for share in range(2):  # of two devices, each with two groups
        halves = [np.split(column, 2)[share] for column in columns]
        np.testing.assert_array_equal(
            joined(halves), np.split(joined(columns), 2)[share]
        )
