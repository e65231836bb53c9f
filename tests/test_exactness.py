"""Scores depend on features alone: not on threads, blocks, precision or row order."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from search import examples

from jreid.evaluation.distances import (
    largest_length,
    pair_distances,
    squared_distances,
)
from jreid.evaluation.ranking import nearest_gallery, rank
from jreid.evaluation.rerank import blocks, joint_set, search, shared_pool
from jreid.evaluation.rerank.blocks import rerank, rerank_top
from jreid.evaluation.rerank.galleries import rerank_galleries
from jreid.evaluation.rerank.neighbours import neighbours
from jreid.evaluation.rerank.options import KReciprocal

K1, K2, ORIGINAL_WEIGHT = 20, 6, 0.3


def unit_features(seed, images, size=64):
    """L2-normalised float32, as a network would give them."""
    features = np.random.default_rng(seed).standard_normal((images, size))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features.astype(np.float32)


def whole_numbers(images, size=3, low=-3, high=3):
    """Features with many ties, whose distances are exact in any arithmetic."""
    return hnp.arrays(
        np.float64,
        st.tuples(images, st.just(size)),
        elements=st.integers(low, high).map(float),
    )


def naive_rerank(query, gallery, k1=K1, k2=K2, original_weight=ORIGINAL_WEIGHT):
    """The published steps with dense matrices, sets and loops over pairs."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    original = np.array([((features - one) ** 2).sum(axis=1) for one in features])
    largest = original.max(axis=1)
    original = original / np.where(largest > 0, largest, 1)[:, None]
    order = [
        sorted(range(len(features)), key=lambda j, row=row: (row[j], j))
        for row in original
    ]

    def reciprocal(image, k):
        return {j for j in order[image][: k + 1] if image in order[j][: k + 1]}

    vectors = np.zeros_like(original)
    for image in range(len(features)):
        members = reciprocal(image, k1)
        expanded = set(members)
        for member in members:
            candidates = reciprocal(member, round(k1 / 2))
            if 3 * len(candidates & members) > 2 * len(candidates):
                expanded |= candidates
        columns = sorted(expanded)
        vectors[image, columns] = np.exp(-original[image, columns])
        if columns:
            vectors[image] /= vectors[image].sum()
    vectors = np.array([vectors[near[:k2]].mean(axis=0) for near in order])
    result = np.empty((len(query), len(gallery)))
    for row in range(len(query)):
        for column in range(len(gallery)):
            image = len(query) + column
            shared = np.minimum(vectors[row], vectors[image]).sum()
            jaccard = 1 - shared / (2 - shared)
            result[row, column] = (1 - original_weight) * jaccard
            result[row, column] += original_weight * original[row, image]
    return result


def test_a_distance_does_not_depend_on_its_place():
    rows, columns = unit_features(0, 300, 200), unit_features(1, 157, 200)
    whole = squared_distances(rows, columns)
    np.testing.assert_array_equal(squared_distances(columns, rows).T, whole)
    for part in (slice(0, 1), slice(3, 8), slice(100, 300)):
        np.testing.assert_array_equal(
            squared_distances(rows[part], columns), whole[part]
        )
        np.testing.assert_array_equal(
            squared_distances(rows, columns[part]), whole[:, part]
        )
    both = np.concatenate([rows, columns])
    first, second = np.divmod(np.arange(300 * 157), 157)
    singly = pair_distances(both, first, second + 300, largest_length(both))
    np.testing.assert_array_equal(singly.reshape(whole.shape), whole)


def test_distances_halfway_between_grid_points():
    """9 * 2^-34 is 4.5 grid steps: the noise of a product would round it both ways."""
    base = unit_features(0, 60, 500).astype(np.float64)
    base[:, 0] = 0
    moved = base.copy()
    moved[:, 0] = 3 * 2.0**-17
    halfway = 9 * 2.0**-34
    product = np.vecdot(base, base) + np.vecdot(moved, moved)
    product -= 2 * np.diagonal(base @ moved.T)
    assert (product > halfway).any() and (product < halfway).any()
    distances = np.diagonal(squared_distances(base, moved, length=1.0))
    np.testing.assert_array_equal(distances, 4 * 2.0**-33)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_half_precision_values_score_the_same_in_any_precision(dtype):
    query, gallery = (
        unit_features(seed, count).astype(np.float16)
        for seed, count in ((2, 60), (3, 50))
    )
    wide = query.astype(dtype), gallery.astype(dtype)
    np.testing.assert_array_equal(
        squared_distances(query, gallery), squared_distances(*wide)
    )
    np.testing.assert_array_equal(rerank(query, gallery), rerank(*wide))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_distances_are_right(scale):
    rows, columns = unit_features(4, 50, 4096), unit_features(5, 40, 4096)
    rows, columns = scale * rows.astype(float), scale * columns.astype(float)
    expected = [[((one - other) ** 2).sum() for other in columns] for one in rows]
    got = squared_distances(rows, columns)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1.3e-10 * scale**2)


THREADS = """
import hashlib, sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_exactness import digest
print(digest())
"""


def digest():
    """Of distances and re-ranked distances, large enough for several threads."""
    features = unit_features(6, 1500, 700)
    query, gallery = features[:700], features[700:]
    found = squared_distances(query, gallery), rerank(query, gallery)
    return hashlib.sha256(b"".join(one.tobytes() for one in found)).hexdigest()


@pytest.mark.long
def test_threads_do_not_matter():
    code = THREADS.format(tests=os.path.dirname(__file__))
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    digests = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | dict.fromkeys(names, threads),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "2", "3")
    ]
    assert len(digests[0]) > 60 and digests[0] == digests[1] == digests[2]


def test_tiles_and_blocks_do_not_matter(monkeypatch):
    query, gallery = unit_features(7, 130), unit_features(8, 95)
    whole = rerank(query, gallery)
    monkeypatch.setattr(search, "_TILE", 16)
    monkeypatch.setattr(joint_set, "_BLOCK_ENTRIES", 700)
    np.testing.assert_array_equal(rerank(query, gallery), whole)


def odd_features(kind):
    """Sets on which a search in single precision has little to go by, or much to do."""
    generator = np.random.default_rng(18)
    wide = generator.standard_normal((300, 70))
    whole = generator.integers(-2, 3, (300, 3)).astype(np.float64)
    return {
        "unit": unit_features(18, 300),
        "half precision": unit_features(18, 300).astype(np.float16),
        "far from zero": (5 + 1e-3 * wide).astype(np.float32),
        "differences below single precision": 1 + 1e-9 * wide,
        "many ties": whole,
        "twins": np.repeat(unit_features(18, 3), 100, axis=0),
        "all alike": np.full((300, 5), 0.3, np.float32),
        "huge": (1e25 * wide).astype(np.float32),
        "tiny": 1e-25 * wide,
        "fewer than neighbours": unit_features(18, 15),
        "one": unit_features(18, 1),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("unit", "half precision", "far from zero"),
        *("differences below single precision", "many ties", "twins", "all alike"),
        *("huge", "tiny", "fewer than neighbours", "one"),
    ],
)
def test_search_in_single_precision_finds_the_lists_of_float64(kind, monkeypatch):
    monkeypatch.setattr(search, "_TILE", 48)
    monkeypatch.setattr(search, "_ROWS_AT_ONCE", 100)
    features = odd_features(kind)
    single = search.SinglePrecision(features, largest_length(features))
    got = search.neighbours_within(single, 21)
    expected = neighbours(squared_distances(features, features), 21)
    np.testing.assert_array_equal(got.columns, expected.columns)
    np.testing.assert_array_equal(got.distances, expected.distances)
    np.testing.assert_array_equal(got.largest, expected.largest)


@pytest.mark.parametrize("original_weight", [0.0, 1e-9, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["unit", "far from zero", "many ties", "twins"])
def test_choosing_what_to_compare_does_not_matter(kind, original_weight, monkeypatch):
    monkeypatch.setattr(blocks, "_MANY_IMAGES", 0)
    monkeypatch.setattr(search, "_TILE", 48)
    query, gallery = np.split(odd_features(kind), [60])
    options = KReciprocal(9, 4, original_weight)
    columns, near = rerank_top(query, gallery, 12, options)
    whole = rerank(query, gallery, options)
    expected = np.argsort(whole, axis=1, kind="stable")[:, :12]
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(near, np.take_along_axis(whole, expected, axis=1))


@pytest.mark.parametrize("block", [1, 500, 2**20])
@pytest.mark.parametrize("copies", [0, 40])
def test_one_gallery_and_several_of_one_pool_score_the_same(copies, block, monkeypatch):
    monkeypatch.setattr(shared_pool, "_BLOCK_ENTRIES", block)
    query, pool = unit_features(9, 80), unit_features(10, 200)
    pool[:copies] = pool[copies : 2 * copies]
    between = squared_distances(query, pool)
    draws = [
        np.random.default_rng(seed).permutation(200)[: (150, 20)[seed % 2]]
        for seed in range(6)
    ]
    for galleries in (draws[:1], draws[1:3], draws):  # alone; few; more than the pool
        results = rerank_galleries(query, pool, between, galleries)
        for gallery, (original, reranked) in zip(galleries, results, strict=True):
            np.testing.assert_array_equal(original, between[:, gallery])
            np.testing.assert_array_equal(reranked, rerank(query, pool[gallery]))


@examples(60)
@given(
    query=whole_numbers(st.integers(1, 12)),
    gallery=whole_numbers(st.integers(1, 15)),
    k1=st.integers(1, 9),
    k2=st.integers(1, 5),
    original_weight=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_reranking_agrees_with_naive_loops(query, gallery, k1, k2, original_weight):
    got = rerank(query, gallery, KReciprocal(k1, k2, original_weight))
    expected = naive_rerank(query, gallery, k1, k2, original_weight)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("queries", "galleries"), [(1, 1), (1, 9), (9, 1), (3, 4), (50, 60)]
)
def test_reranking_of_few_and_many_images(queries, galleries):
    query, gallery = unit_features(11, queries, 16), unit_features(12, galleries, 16)
    expected = naive_rerank(query, gallery)
    np.testing.assert_allclose(rerank(query, gallery), expected, rtol=0, atol=1e-9)


def test_reranking_of_duplicates():
    query, gallery = unit_features(13, 40, 16), unit_features(14, 30, 16)
    query[20:] = query[:20]
    gallery[:10] = gallery[10:20] = query[:10]
    expected = naive_rerank(query, gallery, k1=6)
    got = rerank(query, gallery, KReciprocal(k1=6))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


def test_reranking_of_equal_images():
    features = np.full((30, 4), 0.5)
    expected = naive_rerank(features[:18], features[18:])
    got = rerank(features[:18], features[18:])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


@examples(60)
@given(
    query=whole_numbers(st.integers(1, 6)),
    gallery=whole_numbers(st.integers(1, 20)),
    count=st.integers(1, 21),
)
def test_ties_keep_gallery_order(query, gallery, count):
    found = nearest_gallery(squared_distances(query, gallery), count)
    for one, nearest in zip(query.tolist(), found, strict=True):
        gaps = [
            sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
            for other in gallery.tolist()
        ]
        order = sorted(range(len(gaps)), key=lambda column: (gaps[column], column))
        assert nearest.tolist() == order[:count]


@examples(60)
@given(data=st.data())
def test_ranking_agrees_with_naive_loops(data):
    query = data.draw(whole_numbers(st.integers(1, 8)))
    gallery = data.draw(whole_numbers(st.integers(1, 15)))
    identity = st.integers(1, 4)
    query_ids = data.draw(hnp.arrays(np.int64, len(query), elements=identity))
    gallery_ids = data.draw(hnp.arrays(np.int64, len(gallery), elements=identity))
    shape = (len(query), len(gallery))
    excluded = data.draw(hnp.arrays(bool, shape))
    count_identities = data.draw(st.booleans())
    expected = []
    for row, one in enumerate(query):
        gaps = [float(((one - other) ** 2).sum()) for other in gallery]
        order = sorted(range(len(gallery)), key=lambda j, gaps=gaps: (gaps[j], j))
        ranked = [int(gallery_ids[j]) for j in order if not excluded[row, j]]
        mine = int(query_ids[row])
        hits = [place for place, other in enumerate(ranked, 1) if other == mine]
        if hits:
            listed = list(dict.fromkeys(ranked)) if count_identities else ranked
            precision = sum(k / hit for k, hit in enumerate(hits, 1)) / len(hits)
            penalty = len(hits) / hits[-1]
            expected.append((row, listed.index(mine) + 1, precision, penalty))
    distances = squared_distances(query, gallery)
    options = {"excluded": excluded, "count_identities": count_identities}
    if not expected:
        with pytest.raises(ValueError, match="has a match"):
            rank(distances, query_ids, gallery_ids, **options)
        return
    got = rank(distances, query_ids, gallery_ids, **options)
    rows, first_hit, precision, penalty = zip(*expected, strict=True)
    assert got.query.tolist() == list(rows)
    assert got.first_hit.tolist() == list(first_hit)
    np.testing.assert_allclose(got.average_precision, precision, rtol=1e-12)
    np.testing.assert_allclose(got.inverse_negative_penalty, penalty, rtol=1e-12)


@pytest.mark.parametrize("reranked", [False, True])
def test_order_of_input_rows_does_not_matter(reranked):
    query, gallery = unit_features(15, 90, 24), unit_features(16, 120, 24)
    query_ids, gallery_ids = np.arange(90) % 20, np.arange(120) % 20
    score = rerank if reranked else squared_distances
    plain = score(query, gallery)
    generator = np.random.default_rng(17)
    rows, columns = generator.permutation(90), generator.permutation(120)
    mixed = score(query[rows], gallery[columns])
    np.testing.assert_allclose(mixed, plain[np.ix_(rows, columns)], rtol=0, atol=1e-12)
    expected = rank(plain, query_ids, gallery_ids)
    got = rank(mixed, query_ids[rows], gallery_ids[columns])
    assert got.first_hit.tolist() == expected.first_hit[rows].tolist()
    np.testing.assert_array_equal(
        got.average_precision, expected.average_precision[rows]
    )
    np.testing.assert_array_equal(
        got.inverse_negative_penalty, expected.inverse_negative_penalty[rows]
    )
