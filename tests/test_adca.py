"""ADCA, narrow: identities change nothing, and a run that ends in its hook goes on."""

import dataclasses
import pathlib

import narrow
import numpy as np
import pytest
import tiny

from jreid import parts, train
from jreid.training.clusters import Clusters

# each compiles a network's step in both stages
pytestmark = [pytest.mark.usefixtures("systems_built_once"), pytest.mark.long]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tree")


def config_of(tree):
    config = narrow.narrow("adca")
    config.data.root = str(tree)
    parts.check(config)
    return config


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory, systems_built_once) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert train.train(config_of(tree), folder) == 0
    return folder


def test_losses_are_finite_and_clusters_are_told_and_change(whole):
    lines = tiny.metrics(whole)
    for name in ("loss/visible", "loss/infrared"):
        losses = [line[name] for line in lines]
        assert len(losses) == 6 and np.isfinite(losses).all() and max(losses) > 0
    for name in ("visible", "infrared"):
        assert all(line[f"clusters/{name}"] >= 1 for line in lines)
        assert all(0 <= line[f"clusters/{name}_in_none"] < 1 for line in lines)
    end = tiny.final_state(whole)
    assert end["extra/labels"].min() >= -1 and end["extra/labels"].max() >= 1


def test_identities_are_never_read(whole, tree, tmp_path, monkeypatch):
    read = train.read_images

    def shuffled(config):
        images = read(config)
        rng = np.random.default_rng(1)
        ids, labels = map(rng.permutation, (images.train.ids, images.labels))
        taken = dataclasses.replace(images.train, ids=ids)
        return dataclasses.replace(images, train=taken, labels=labels)

    monkeypatch.setattr(train, "read_images", shuffled)
    assert train.train(config_of(tree), tmp_path / "run") == 0
    tiny.assert_same_state(whole, tmp_path / "run")


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_run_that_ends_while_it_clusters_goes_on_with_the_same_bits(
    epoch, whole, tree, tmp_path, monkeypatch
):
    plain = Clusters.__call__

    def ends(self, state, embed_train, now, seed, modality):
        found = plain(self, state, embed_train, now, seed, modality)
        if now == epoch:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Clusters, "__call__", ends)
        with pytest.raises(KeyboardInterrupt):
            train.train(config_of(tree), tmp_path / "run")
    assert train.train(config_of(tree), tmp_path / "run") == 0
    tiny.assert_same_state(whole, tmp_path / "run")
