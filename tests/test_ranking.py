"""Metrics against hand-made tables and a naive loop over queries."""

import jaxtyping
import numpy as np
import pytest

from jreid.evaluation.distances import squared_distances
from jreid.evaluation.ranking import nearest_gallery, rank
from jreid.evaluation.rerank.neighbours import nearest_columns


def naive_rank(distances, query_ids, gallery_ids, excluded, count_identities):
    """One query at a time, with lists."""
    queries, first, precision, penalty = [], [], [], []
    for row in range(len(query_ids)):
        order = sorted(range(len(gallery_ids)), key=lambda j: (distances[row, j], j))
        order = [j for j in order if not excluded[row, j]]
        ranked = [int(gallery_ids[j]) for j in order]
        mine = int(query_ids[row])
        hits = [place + 1 for place, one in enumerate(ranked) if one == mine]
        if not hits:
            continue
        queries.append(row)
        listed = list(dict.fromkeys(ranked)) if count_identities else ranked
        first.append(listed.index(mine) + 1)
        precision.append(np.mean([(k + 1) / hit for k, hit in enumerate(hits)]))
        penalty.append(len(hits) / hits[-1])
    return queries, first, precision, penalty


def assert_agrees(distances, query_ids, gallery_ids, excluded, count_identities):
    got = rank(
        distances,
        query_ids,
        gallery_ids,
        excluded=excluded,
        count_identities=count_identities,
    )
    queries, first, precision, penalty = naive_rank(
        distances, query_ids, gallery_ids, excluded, count_identities
    )
    assert got.query.tolist() == queries
    assert got.first_hit.tolist() == first
    np.testing.assert_allclose(got.average_precision, precision, rtol=1e-12)
    np.testing.assert_allclose(got.inverse_negative_penalty, penalty, rtol=1e-12)
    assert got.counted == len(first)
    assert got.skipped == len(query_ids) - len(first)
    for r in (1, 5, 20):
        assert got.cmc(r)[-1] == pytest.approx(np.mean(np.array(first) <= r))


def test_table_made_by_hand():
    # Ranking of query 0: ids 7 7 5 8 5; of query 1: 7 8 5 5 7; query 2 has no match.
    distances = np.array(
        [
            [1.0, 2.0, 3.0, 4.0, 5.0],
            [1.0, 5.0, 3.0, 2.0, 4.0],
            [1.0, 2.0, 3.0, 4.0, 5.0],
        ]
    )
    gallery_ids = np.array([7, 7, 5, 8, 5])
    got = rank(distances, np.array([5, 8, 6]), gallery_ids)
    assert got.first_hit.tolist() == [3, 2]
    np.testing.assert_allclose(got.average_precision, [(1 / 3 + 2 / 5) / 2, 1 / 2])
    np.testing.assert_allclose(got.inverse_negative_penalty, [2 / 5, 1 / 2])
    np.testing.assert_allclose(got.cmc(4), [0, 0.5, 1, 1])
    assert (got.counted, got.skipped) == (2, 1)
    assert got.mean_average_precision == pytest.approx((11 / 30 + 1 / 2) / 2)
    assert got.mean_inverse_negative_penalty == pytest.approx(0.45)
    # Identity 7 counts once before identity 5.
    unique = rank(distances, np.array([5, 8, 6]), gallery_ids, count_identities=True)
    assert unique.first_hit.tolist() == [2, 2]
    np.testing.assert_allclose(unique.average_precision, got.average_precision)


@pytest.mark.parametrize("count_identities", [False, True])
@pytest.mark.parametrize("levels", [2, 6, 10**9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_naive_loop_with_and_without_ties(levels, count_identities, dtype):
    for seed in range(5):
        generator = np.random.default_rng(seed)
        distances = generator.integers(0, levels, (40, 30)).astype(dtype)
        query_ids, gallery_ids = (
            generator.integers(0, 12, 40),
            generator.integers(0, 12, 30),
        )
        excluded = generator.random((40, 30)) < 0.3
        assert_agrees(distances, query_ids, gallery_ids, excluded, count_identities)


@pytest.mark.slow
def test_many_blocks_of_rows():
    generator = np.random.default_rng(0)
    query_ids, gallery_ids = generator.integers(0, 40, 900), np.arange(2000) % 40
    distances = generator.random((900, 2000)).round(3)
    excluded = np.zeros((900, 2000), bool)
    excluded[300:600] = True  # a block without any counted query
    assert_agrees(distances, query_ids, gallery_ids, excluded, True)


def test_ties_are_broken_by_gallery_order():
    got = rank(np.zeros((2, 3)), np.array([1, 2]), np.array([1, 3, 2]))
    assert got.first_hit.tolist() == [1, 3]


def test_one_gallery_image():
    got = rank(np.array([[0.5]]), np.array([3]), np.array([3]))
    assert got.mean_average_precision == 1 and got.cmc(3).tolist() == [1, 1, 1]


def test_negative_distances_such_as_similarities():
    similarity = np.array([[0.1, 0.9, 0.5]])
    assert rank(-similarity, np.array([1]), np.array([2, 2, 1])).first_hit == [2]


@pytest.mark.parametrize(
    ("distances", "query_ids", "gallery_ids", "message"),
    [
        ([[np.nan, 1.0]], [1], [1, 2], "query 0 to gallery image 0 is nan"),
        ([[1.0, np.inf]], [1], [1, 2], "gallery image 1 is inf"),
        (np.empty((1, 0)), [1], [], "1 query and 0 gallery images"),
        (np.empty((0, 1)), [], [1], "0 query and 1 gallery images"),
        ([[1.0, 2.0]], [3], [1, 2], "none of 1 query images has a match among 2"),
    ],
)
def test_errors(distances, query_ids, gallery_ids, message):
    with pytest.raises(ValueError, match=message):
        rank(
            np.array(distances),
            np.array(query_ids, int),
            np.array(gallery_ids, int),
        )


def test_lengths_that_differ(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"shape \(1, 2\) for 2 query and 2 gallery"):
        rank(np.array([[1.0, 2.0]]), np.array([3, 4]), np.array([1, 2]))


def test_nearest_gallery_leaves_out_excluded():
    distances = np.array([[3.0, 1.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    excluded = np.array([[False, True, False, False], [True, True, True, False]])
    lists = nearest_gallery(distances, 3, excluded=excluded)
    assert [row.tolist() for row in lists] == [[3, 2, 0], [3]]
    lists = nearest_gallery(distances, 2)
    assert [row.tolist() for row in lists] == [[1, 3], [0, 1]]


@pytest.mark.parametrize("levels", [1, 3, 50, 10**9])
@pytest.mark.parametrize("count", [1, 7, 29, 30, 31])
def test_nearest_columns_agree_with_a_stable_sort(levels, count):
    generator = np.random.default_rng(levels)
    distances = generator.integers(0, levels, (25, 30)) / 8
    columns, near = nearest_columns(distances, count)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(columns, order)
    np.testing.assert_array_equal(near, np.take_along_axis(distances, order, axis=1))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_squared_distances(scale):
    generator = np.random.default_rng(0)
    rows = scale * generator.standard_normal((6, 16))
    columns = scale * generator.standard_normal((5, 16))
    expected = ((rows[:, None] - columns) ** 2).sum(axis=-1)
    np.testing.assert_allclose(squared_distances(rows, columns), expected, rtol=1e-8)


def test_equal_images_have_equal_distances():
    """Whatever their place in the matrix: a matrix product alone does not give this."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((400, 1000)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    repeated = np.concatenate([features[:100]] * 3)
    distances = squared_distances(features, repeated)
    np.testing.assert_array_equal(distances[:, :100], distances[:, 100:200])
    np.testing.assert_array_equal(distances[:, :100], distances[:, 200:])
    assert (np.diagonal(distances[:100]) == 0).all()
    whole = squared_distances(repeated, features)
    np.testing.assert_array_equal(whole.T, distances)


@pytest.mark.parametrize("seed", range(5))
def test_queries_that_ties_decide_are_counted(seed):
    rng = np.random.default_rng(seed)
    distances = rng.integers(0, 6, (40, 12)).astype(float)
    query_ids, gallery_ids = rng.integers(0, 5, 40), rng.integers(0, 5, 12)
    excluded = rng.random((40, 12)) < 0.2
    tied = 0
    for row, identity in enumerate(query_ids):
        left = ~excluded[row]
        matches = {*distances[row, left & (gallery_ids == identity)].tolist()}
        others = {*distances[row, left & (gallery_ids != identity)].tolist()}
        tied += bool(matches & others)
    found = rank(distances, query_ids, gallery_ids, excluded=excluded)
    assert 0 < found.tied == tied < 40
    distinct = rng.permutation(40 * 12).reshape(40, 12).astype(float)
    assert rank(distinct, query_ids, gallery_ids).tied == 0
