"""A pool's lists give a gallery's nearest and farthest, or say that they may not."""

import numpy as np
import pytest

from jreid.evaluation.rerank.pool_lists import PoolLists

COUNT = 4


def lists_and_naive(distances, limit, gallery):
    """What lists give for all rows, and what each row's own search finds."""
    place = np.full(distances.shape[1], -1)
    place[gallery] = np.arange(len(gallery))
    largest = limit + 1
    got, sure = PoolLists(distances, limit, COUNT).of_gallery(
        np.arange(len(distances)), place, largest
    )
    near = []
    for row, below in zip(distances[:, gallery], limit, strict=True):
        order = np.argsort(row, kind="stable")[:COUNT]
        near.append([(row[one], one) for one in order if row[one] < below])
    farthest = np.maximum(distances[:, gallery].max(axis=1), largest)
    return got, sure, near, farthest


def assert_sure_lists_are_right(got, sure, near, farthest):
    for row in np.flatnonzero(sure):
        held = len(near[row])
        listed = zip(got.distances[row], got.columns[row], strict=True)
        assert list(listed)[:held] == near[row]
        assert np.isinf(got.distances[row, held:]).all()
        assert got.largest[row] == farthest[row]


@pytest.mark.parametrize("drawn", [1, 20, 100, 200])
@pytest.mark.parametrize("limit", [0.0, 0.03, 0.4, 2.0])
def test_of_galleries_small_and_large(limit, drawn):
    generator = np.random.default_rng(drawn)
    distances = generator.random((70, 200))
    gallery = generator.permutation(200)[:drawn]
    found = lists_and_naive(distances, np.full(70, limit), gallery)
    assert_sure_lists_are_right(*found)
    sure = found[1]
    if limit <= 0.03 or drawn >= 100:  # few below the limit; a large part of the pool
        assert sure.mean() > 0.9
    if limit >= 0.4 and drawn == 20:
        assert not sure.all()


def test_rows_with_equals_are_not_sure():
    generator = np.random.default_rng(0)
    distances = generator.random((70, 200))
    equal, alone = slice(0, 35), slice(35, 70)
    distances[equal] = np.round(distances[equal], 2)  # two of the nearest, mostly
    found = lists_and_naive(distances, np.full(70, 2.0), generator.permutation(200))
    assert_sure_lists_are_right(*found)
    sure = found[1]
    assert sure[equal].mean() < 0.5
    assert sure[alone].all()


def test_the_largest_is_not_sure_where_none_that_is_far_is_drawn():
    distances = np.tile(np.arange(200.0), (3, 1))
    place = np.where(np.arange(200) < 100, np.arange(200), -1)
    lists = PoolLists(distances, np.full(3, 1000.0), COUNT)
    # Of the images that are not drawn, those of the list are at 136 or farther.
    largest = np.array([50.0, 136.0, 250.0])
    got, sure = lists.of_gallery(np.arange(3), place, largest)
    assert sure.tolist() == [False, True, True]
    assert got.largest[1:].tolist() == [136.0, 250.0]
