"""Clusters matched across modalities, contrasts with partners, a memory of both."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses.cross_cluster_contrast import CrossClusterContrast
from jreid.training.cluster_matching import MatchedClusters, matched
from jreid.training.cross_cluster_memory import CrossClusterMemory

CLASSES, WIDTH = 5, 6
MATCH = np.array([[1, 0, 2, 1, -1], [1, 0, 2, -1, -1]])
VIEW = np.repeat([0, 1, 2], 6)
ROWS = {
    "view": VIEW,
    "slot": np.tile(np.arange(6), 3),
    "modality": (VIEW == 2).astype(int),
    "ids": np.tile([0, 0, 3, 3, 2, 2], 3),
}


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def naive_match(rows, columns):
    """The cheapest of all matchings of the columns, then of those for what is over."""

    def cheapest(free, targets):
        size = min(len(free), len(targets))
        best = min(
            (
                (sum(cost[i, j] for i, j in zip(some, taken, strict=True)), some, taken)
                for some in itertools.combinations(free, size)
                for taken in itertools.permutations(targets, size)
            ),
            key=lambda found: found[0],
        )
        return dict(zip(best[1], best[2], strict=True))

    cost = 1 / np.exp(rows @ columns.T)
    first = cheapest(range(len(rows)), range(len(columns)))
    over = [i for i in range(len(rows)) if i not in first]
    again = cheapest(over, range(len(columns))) if over else {}
    of_rows = [(first | again).get(i, -1) for i in range(len(rows))]
    return of_rows, [{j: i for i, j in first.items()}[j] for j in range(len(columns))]


@pytest.mark.parametrize("visible, infrared", [(3, 3), (5, 3), (3, 5), (6, 2)])
def test_matching_costs_least_and_what_is_over_is_matched_once_more(visible, infrared):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        one, other = (unit(rng.normal(size=(n, 4))) for n in (visible, infrared))
        found = [x.tolist() for x in matched(one, other)]
        if visible >= infrared:
            assert found == list(naive_match(one, other))
        else:
            assert found == list(naive_match(other, one))[::-1]


def test_clusters_have_partners_in_the_second_stage_alone(rng):
    modality = np.repeat([0, 1], 40)
    people = np.tile(np.repeat(np.eye(4, 8), 10, axis=0), (2, 1))
    vectors = unit(people + 0.05 * rng.normal(size=people.shape)).astype(np.float32)
    hook = MatchedClusters(6, k1=6, k2=2, match_from=3)
    hook.check()
    for epoch in (2, 3):
        labels, extra = hook(None, lambda: {"fused": vectors}, epoch, 0, modality)
        if epoch == 2:
            assert (extra["match"] == -1).all()
    pairs = [(i, j) for i, j in labels.reshape(2, 40).T if min(i, j) >= 0]
    assert len(pairs) > 30 and len(set(pairs)) == 4
    for own, partner in pairs:
        assert extra["match"][0, own] == partner and extra["match"][1, partner] == own
    assert (extra["match"][:, 4:] == -1).all()


def made(rng, order=slice(None)):
    vectors = rng.normal(size=(18, WIDTH))
    clusters = unit(rng.normal(size=(2, CLASSES, WIDTH)))
    extra = {"clusters": jnp.asarray(clusters, jnp.float32), "match": jnp.array(MATCH)}
    outputs = {"embeddings": {"v1": jnp.asarray(vectors[order], jnp.float32)}}
    rows = {name: jnp.asarray(row[order]) for name, row in ROWS.items()}
    return unit(vectors), clusters, outputs, rows, extra


def crossing(epoch):
    """Rows and partners, of two epochs from 4 on: visible ones, then infrared ones."""
    if epoch < 4:
        return []
    turn = epoch % 2
    pairs = [(i, MATCH[turn, ROWS["ids"][i]]) for i in range(18)]
    return [(i, j) for i, j in pairs if ROWS["modality"][i] == turn and j >= 0]


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [3, 4, 5])
def test_the_contrast_is_with_the_partners_in_turns(epoch, rng):
    vectors, clusters, outputs, rows, extra = made(rng)
    losses = []
    for i, partner in crossing(epoch):
        shares = np.exp(clusters[1 - epoch % 2] @ vectors[i] / 0.05)
        losses.append(-np.log(shares[partner] / shares.sum()))
    term = CrossClusterContrast(cross_from=4)
    term.check()
    batch = rows | {"extra": extra, "epoch": jnp.int32(epoch)}
    value, slopes = jax.value_and_grad(term)(outputs, batch)
    np.testing.assert_allclose(value, np.mean(losses) if losses else 0, rtol=1e-5)
    moved = np.abs(slopes["embeddings"]["v1"]).sum(axis=1) > 0
    assert set(np.flatnonzero(moved)) == {i for i, _ in crossing(epoch)}


@pytest.mark.parametrize("epoch", [3, 4, 5])
@pytest.mark.parametrize("hardest", [False, True])
def test_the_memory_follows_those_across_first_then_its_own(epoch, hardest, rng):
    order = rng.permutation(18)
    vectors, clusters, outputs, rows, extra = made(rng, order)
    expected, own = clusters.copy(), list(enumerate(ROWS["ids"]))
    for pairs, across in ((crossing(epoch), True), (own, False)):
        moves: dict = {}
        for i, label in pairs:
            modality = ROWS["modality"][i]
            moves.setdefault((1 - modality if across else modality, label), []).append(
                i
            )
        for place, images in moves.items():
            if hardest and epoch >= 4:
                images = [min(images, key=lambda i: vectors[i] @ expected[place])]
            for i in images:
                expected[place] = unit(0.2 * expected[place] + 0.8 * vectors[i])
    memory = CrossClusterMemory(CLASSES, keep=0.2, cross_from=4, hardest=hardest)
    memory.check()
    rows["epoch"] = jnp.int32(epoch)
    found = jax.jit(memory.update)(extra, outputs, rows, {})
    np.testing.assert_allclose(found["clusters"], expected, atol=1e-6)
    assert found.keys() == {"clusters"}
    neck = {"branches": {"v1": {"neck": {"scale": jnp.ones(WIDTH)}}}}
    begin = memory.init(neck)
    assert (begin["match"] == -1).all() and begin["match"].shape == (2, CLASSES)
