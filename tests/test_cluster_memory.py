"""A memory of clusters and the contrast with it, against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses.cluster_contrast import ClusterContrast
from jreid.training.cluster_memory import ClusterMemory

CLASSES, WIDTH, ROWS = 6, 5, 18


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def made(rng):
    """Outputs and rows of two visible views and one infrared, and a memory."""
    view = np.repeat([0, 1, 2], 6)
    clusters = unit(rng.normal(size=(2, CLASSES, WIDTH)))
    clusters[0, 4:] = clusters[1, 5:] = 0  # no clusters
    rows = {
        "view": view,
        "slot": np.tile(np.arange(6), 3),
        "modality": (view == 2).astype(int),
        "ids": np.tile([1, 1, 3, 3, 0, 1], 3),
    }
    vectors = rng.normal(size=(ROWS, WIDTH))
    return vectors, rows, clusters


def given(vectors, rows, clusters):
    outputs = {"embeddings": {"v1": jnp.asarray(vectors, jnp.float32)}}
    extra = {
        "clusters": jnp.asarray(clusters, jnp.float32),
        "in_no_cluster": jnp.asarray([0.25, 0.5]),
    }
    return outputs, jax.tree.map(jnp.asarray, rows), extra


def test_rows_move_their_clusters_one_after_the_other_whatever_their_order(made, rng):
    vectors, rows, clusters = made
    expected = clusters.copy()
    for vector, modality, label in zip(
        unit(vectors), rows["modality"], rows["ids"], strict=True
    ):
        moved = 0.1 * expected[modality, label] + 0.9 * vector
        expected[modality, label] = unit(moved)
    memory = ClusterMemory(CLASSES, keep=0.1)
    for order in (np.arange(ROWS), rng.permutation(ROWS)):
        shuffled = {name: row[order] for name, row in rows.items()}
        outputs, columns, extra = given(vectors[order], shuffled, clusters)
        found = memory.update(extra, outputs, columns, {})
        np.testing.assert_allclose(found["clusters"], expected, atol=1e-6)
    assert {k: float(v) for k, v in memory.scalars(extra).items()} == {
        "clusters/visible": 4,
        "clusters/visible_in_none": 0.25,
        "clusters/infrared": 5,
        "clusters/infrared_in_none": 0.5,
    }
    neck = {"branches": {"v1": {"neck": {"scale": jnp.ones(WIDTH)}}}}
    shapes = jax.tree.map(jnp.shape, memory.init(neck))
    assert shapes == jax.tree.map(jnp.shape, extra)


@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_the_contrast_is_the_cross_entropy_over_the_clusters_there_are(made, modality):
    vectors, rows, clusters = made
    number, losses = ("visible", "infrared").index(modality), []
    there = clusters[number][np.abs(clusters[number]).sum(axis=1) > 0]
    for vector, row, label in zip(
        unit(vectors), rows["modality"], rows["ids"], strict=True
    ):
        if row == number:
            shares = np.exp(there @ vector / 0.05)
            losses.append(-np.log(shares[label] / shares.sum()))
    outputs, columns, extra = given(vectors, rows, clusters)
    term = ClusterContrast(modality)
    term.check()

    def value(outputs, extra):
        return term(outputs, columns | {"extra": extra})

    found, slopes = jax.value_and_grad(value, (0, 1))(outputs, extra)
    np.testing.assert_allclose(found, np.mean(losses), rtol=1e-5)
    slope = np.abs(slopes[0]["embeddings"]["v1"]).sum(axis=1)
    np.testing.assert_array_equal(slope > 0, rows["modality"] == number)
    assert not np.any(slopes[1]["clusters"])
