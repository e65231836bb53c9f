"""k-reciprocal re-ranking against a plain dense implementation."""

import tracemalloc

import jaxtyping
import numpy as np
import pytest
from naive_scores import naive_rerank

from jreid.evaluation.distances import squared_distances
from jreid.evaluation.rerank.blocks import rerank, rerank_blocks, rerank_top
from jreid.evaluation.rerank.galleries import rerank_galleries
from jreid.evaluation.rerank.neighbours import nearest_columns
from jreid.evaluation.rerank.options import KReciprocal


def people(seed, queries, galleries, identities, noise=0.5, gap=0.5):
    """Clustered features of two modalities, L2-normalised float32."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((identities, 24))
    shift = gap * generator.standard_normal((2, 24))
    sides = []
    for side, count in enumerate((queries, galleries)):
        ids = generator.integers(0, identities, count)
        rows = centres[ids] + shift[side]
        rows = rows + noise * generator.standard_normal(rows.shape)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        sides.append(rows.astype(np.float32))
    return sides


@pytest.mark.parametrize("identities", [2, 8, 40])
@pytest.mark.parametrize(
    ("k1", "k2", "original_weight"),
    [(20, 6, 0.3), (20, 1, 0.3), (7, 3, 0.0), (5, 9, 1.0), (1, 1, 0.5)],
)
def test_agrees_with_dense_implementation(identities, k1, k2, original_weight):
    query, gallery = people(identities, 90, 60, identities)
    got = rerank(query, gallery, KReciprocal(k1, k2, original_weight))
    expected = naive_rerank(query, gallery, k1, k2, original_weight)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_modalities_far_apart_and_many_rows():
    """More rows than one block of distances."""
    query, gallery = people(3, 700, 40, 30, noise=0.3, gap=2.0)
    expected = naive_rerank(query, gallery, 20, 6, 0.3)
    np.testing.assert_allclose(rerank(query, gallery), expected, atol=1e-6)


@pytest.mark.parametrize(("queries", "galleries"), [(1, 1), (1, 5), (6, 2), (9, 10)])
def test_fewer_images_than_neighbours(queries, galleries):
    query, gallery = people(0, queries, galleries, 3)
    expected = naive_rerank(query, gallery, 20, 6, 0.3)
    np.testing.assert_allclose(rerank(query, gallery), expected, atol=1e-6)


def test_equal_images_are_ordered_queries_first():
    query, gallery = people(1, 30, 20, 5)
    query[10:20] = query[:10]
    gallery[:8] = query[:8]
    expected = naive_rerank(query, gallery, 7, 3, 0.3)
    got = rerank(query, gallery, KReciprocal(k1=7, k2=3))
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_all_images_alike_stay_finite():
    features = np.full((40, 4), 0.5, np.float32)
    assert np.isfinite(rerank(features[:25], features[25:])).all()


def test_unnormalised_features():
    query, gallery = people(5, 50, 40, 6)
    expected = rerank(query, gallery)
    np.testing.assert_allclose(rerank(30 * query, 30 * gallery), expected, atol=1e-6)


def test_float64_and_float32_agree():
    query, gallery = people(5, 80, 60, 9)
    wide = rerank(query.astype(np.float64), gallery.astype(np.float64))
    np.testing.assert_allclose(rerank(query, gallery), wide, atol=1e-6)


def test_order_of_rows_only_orders_the_result():
    query, gallery = people(6, 80, 60, 9)
    generator = np.random.default_rng(0)
    rows, columns = generator.permutation(80), generator.permutation(60)
    expected = rerank(query, gallery)[np.ix_(rows, columns)]
    got = rerank(query[rows], gallery[columns])
    np.testing.assert_allclose(got, expected, atol=1e-9)


def test_galleries_of_one_pool_equal_separate_calls():
    query, pool = people(7, 60, 900, 20)
    generator = np.random.default_rng(1)
    galleries = [generator.permutation(900)[:count] for count in (40, 300, 12)]
    between = squared_distances(query, pool)
    results = list(rerank_galleries(query, pool, between, galleries))
    for gallery, (original, got) in zip(galleries, results, strict=True):
        np.testing.assert_array_equal(original, between[:, gallery])
        np.testing.assert_allclose(got, rerank(query, pool[gallery]), atol=1e-9)


def test_blocks_and_top_are_parts_of_the_whole():
    query, gallery = people(9, 70, 50, 9)
    options = KReciprocal(k1=7, k2=3, original_weight=0.2)
    whole = rerank(query, gallery, options)
    columns, near = rerank_top(query, gallery, 5, options)
    expected, distances = nearest_columns(whole, 5)
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(near, distances)
    row = 0
    original = squared_distances(query, gallery)
    for rows, plain, block in rerank_blocks(query, gallery, options):
        assert rows.start == row
        np.testing.assert_array_equal(plain, original[rows])
        np.testing.assert_array_equal(block, whole[rows])
        row = rows.stop
    assert row == len(query)
    columns, near = rerank_top(query, gallery, 99)
    assert columns.shape == near.shape == (70, 50)


def test_progress_counts_all_distances(monkeypatch):
    monkeypatch.setattr("jreid.evaluation.rerank.search._TILE", 32)
    monkeypatch.setattr("jreid.evaluation.rerank.joint_set._BLOCK_ENTRIES", 400)
    query, gallery = people(10, 60, 50, 9)
    calls = []
    rerank(query, gallery, progress=lambda *call: calls.append(call))
    for stage, total in (("neighbours", 110**2), ("distances", 60 * 50)):
        done = [call[1] for call in calls if call[0] == stage]
        assert done == sorted(done) and len(done) > 5 and done[-1] == total
        assert {call[2] for call in calls if call[0] == stage} == {total}


def test_an_interruption_comes_through():
    query, gallery = people(10, 20, 20, 9)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rerank(query, gallery, progress=interrupt)


def test_memory_of_a_large_set(monkeypatch):
    """A dense matrix over these images would take 128 MB."""
    monkeypatch.setattr("jreid.evaluation.rerank.search._TILE", 512)
    monkeypatch.setattr("jreid.evaluation.rerank.joint_set._BLOCK_ENTRIES", 2**18)
    query, gallery = people(11, 1000, 3000, 300)
    tracemalloc.start()
    try:
        nearest = [
            nearest_columns(d, 10)[0] for _, _, d in rerank_blocks(query, gallery)
        ]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.concatenate(nearest).shape == (1000, 10)
    assert peak < 40e6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 0}, "k1=0"),
        ({"k2": 0}, "k2=0"),
        ({"original_weight": 1.5}, "original_weight=1.5"),
    ],
)
def test_option_errors(options, message):
    with pytest.raises(ValueError, match=message):
        KReciprocal(**options)


def test_feature_errors(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    query, gallery = people(0, 5, 5, 2)
    with pytest.raises(ValueError, match=r"gallery has shape \(0, 24\)"):
        rerank(query, gallery[:0])
    with pytest.raises(ValueError, match="query has 24 features .* and gallery 20"):
        rerank(query, gallery[:, :20])
    query[3, 2] = np.nan
    with pytest.raises(ValueError, match="query holds NaN .* first in row 3"):
        rerank(query, gallery)
