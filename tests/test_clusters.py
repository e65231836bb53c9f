"""Labels by clustering: distances, clusters, pairs of clusters, without identities."""

import sys
from collections import Counter

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from jreid.evaluation.rerank.jaccard import jaccard_distances
from jreid.training.clusters import Clusters, largest_clusters, matching_clusters

MODALITY = np.repeat([0, 1], [90, 60])


def people(seed=0, gap=0.2):
    """Vectors of length 1 of twelve people in two modalities, and lone images."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, 16))
    rows = centres[rng.integers(0, 12, 150)] + gap * MODALITY[:, None]
    rows = rows + rng.choice([0.2, 1.5], (150, 1), p=[0.8, 0.2]) * rng.normal(
        size=rows.shape
    )
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def naive_jaccard(vectors, k1, k2):
    """Sets of neighbours, one image after the other, as in k-reciprocal's paper."""
    x = vectors.astype(np.float64)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    order = np.argsort(squared, axis=1, kind="stable")

    def mutual(i, k):
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    weights = np.zeros_like(squared)
    for i in range(len(x)):
        grown = own = mutual(i, k1)
        for j in own:
            other = mutual(j, round(k1 / 2))
            if len(other & own) > 2 / 3 * len(other):
                grown = grown | other
        members = sorted(grown)
        weights[i, members] = np.exp(-squared[i, members])
        weights[i] /= weights[i].sum()
    weights = np.stack([weights[order[i, :k2]].mean(axis=0) for i in range(len(x))])
    least = np.minimum(weights[:, None], weights[None]).sum(axis=2)
    most = np.maximum(weights[:, None], weights[None]).sum(axis=2)
    return 1 - least / most


def test_distances_are_those_of_sets_and_zeros_are_kept():
    vectors = people()[:90]
    vectors[7] = vectors[3]
    expected = naive_jaccard(vectors, 8, 3)
    found = jaccard_distances(vectors, 0.6, k1=8, k2=3)
    near = expected <= 0.6
    assert 0.02 < near.mean() < 0.5 and found.nnz == near.sum()
    np.testing.assert_allclose(found.toarray()[near], expected[near], atol=1e-9)
    assert (found.toarray()[~near] == 0).all()
    with pytest.raises(ValueError, match="limit is 1.0; allowed is above 0, below 1"):
        jaccard_distances(vectors, 1.0)


def hook(**fields):
    part = Clusters(**({"classes": 20, "k1": 8, "k2": 3, "samples": 3} | fields))
    part.check()
    return part


def called(part, vectors, epoch=0):
    return part(None, lambda: {"fused": vectors}, epoch, 0, modality=MODALITY)


def test_each_modality_is_clustered_alone_as_on_a_dense_matrix():
    vectors = people()
    labels, extra = called(hook(), vectors)
    for modality in (0, 1):
        own = vectors[modality == MODALITY]
        dense = np.maximum(naive_jaccard(own, 8, 3), 0)
        dbscan = DBSCAN(eps=0.6, min_samples=3, metric="precomputed")
        expected = dbscan.fit_predict(dense)
        assert expected.max() > 4 and expected.min() == -1
        np.testing.assert_array_equal(labels[modality == MODALITY], expected)
        alone = extra["in_no_cluster"][modality]
        np.testing.assert_allclose(alone, (expected < 0).mean())
        for label in range(20):
            mean = own[expected == label].sum(axis=0)
            length = np.linalg.norm(mean)
            row = mean / length if label <= expected.max() else np.zeros(16)
            found = extra["clusters"][modality, label]
            np.testing.assert_allclose(found, row, atol=1e-6)


def test_pairs_are_taken_by_votes_one_to_one():
    vectors = people(gap=0.6)
    labels, _ = called(hook(), vectors)
    votes = Counter()
    for i in np.flatnonzero((MODALITY == 0) & (labels >= 0)):
        for j in np.flatnonzero((MODALITY == 1) & (labels >= 0)):
            if vectors[i] @ vectors[j] >= 0.5:
                votes[int(labels[i]), int(labels[j])] += 1
    expected, taken = [], set()
    for (i, j), _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])):
        if ("visible", i) not in taken and ("infrared", j) not in taken:
            expected.append((i, j))
            taken |= {("visible", i), ("infrared", j)}
    assert 3 < len(expected) < len(votes)
    assert matching_clusters(vectors, labels, MODALITY, 0.5) == expected


def test_vectors_of_a_pair_become_mostly_the_infrared_one_in_the_second_stage():
    vectors, part = people(gap=0.6), hook(aggregate_from=2)
    labels, first = called(part, vectors, epoch=1)
    again, second = called(part, vectors, epoch=2)
    np.testing.assert_array_equal(labels, again)
    before, after = first["clusters"], second["clusters"]
    pairs = matching_clusters(vectors, labels, MODALITY, 0.5)
    for visible, infrared in pairs:
        mixed = 0.1 * before[0, visible] + 0.9 * before[1, infrared]
        np.testing.assert_allclose(after[0, visible], mixed, atol=1e-6)
    single = sorted(set(range(20)) - {visible for visible, _ in pairs})
    np.testing.assert_array_equal(after[0, single], before[0, single])
    np.testing.assert_allclose(after[1], before[1], atol=1e-6)


def test_the_smallest_clusters_are_none_where_there_are_too_many():
    labels = np.array([2, 0, 2, -1, 1, 3, 3, 2, 3, 1, 0, 0, -1])
    expected = [1, 0, 1, -1, -1, -1, -1, 1, -1, -1, 0, 0, -1]
    assert largest_clusters(labels, 2).tolist() == expected
    np.testing.assert_array_equal(largest_clusters(labels, 9), labels)


def test_what_cannot_be_clustered_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="epoch 3 .* 90 visible images is in a clus"):
        called(hook(samples=99), people(), epoch=3)
    with pytest.raises(ValueError, match="eps is 1.0; allowed is above 0, below 1"):
        hook(eps=1.0)
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(ValueError, match=r"pip install 'jreid\[clusters\]'"):
        called(hook(), people())


def test_votes_are_the_same_in_blocks(monkeypatch):
    monkeypatch.setattr("jreid.training.clusters._ROWS_AT_ONCE", 7)
    test_pairs_are_taken_by_votes_one_to_one()
