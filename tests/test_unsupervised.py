"""Systems without labels, narrow: identities change nothing, hooks can be cut off."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import narrow
import numpy as np
import pytest
import tiny

from jreid import parts, train
from jreid.data.sysu_mm01 import SysuMM01
from jreid.run import results
from jreid.training.clusters import Clusters

# each compiles a network's step in both stages
pytestmark = [pytest.mark.usefixtures("systems_built_once"), pytest.mark.long]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tree")


NAMES = ("adca", "pgm")
ROOT = pathlib.Path(__file__).parent.parent


def config_of(name, tree):
    config = narrow.narrow(name)
    config.data.root = str(tree)
    parts.check(config)
    return config


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory, systems_built_once) -> dict[str, pathlib.Path]:
    """A run of each that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    for name in NAMES:
        assert train.train(config_of(name, tree), folder / name) == 0
    return {name: folder / name for name in NAMES}


@pytest.mark.parametrize("system", NAMES)
def test_losses_are_finite_and_clusters_are_told(system, whole):
    lines = tiny.metrics(whole[system])
    for name in ("loss/visible", "loss/infrared"):
        losses = [line[name] for line in lines]
        assert len(losses) == 6 and np.isfinite(losses).all() and max(losses) > 0
    crossed = [line["loss/cross"] for line in lines if "loss/cross" in line]
    assert len(crossed) == (4 if system == "pgm" else 0)  # in the second stage
    assert np.isfinite(crossed).all() and max(crossed, default=1) > 0
    for name in ("visible", "infrared"):
        assert all(line[f"clusters/{name}"] >= 1 for line in lines)
        assert all(0 <= line[f"clusters/{name}_in_none"] < 1 for line in lines)
    end = tiny.final_state(whole[system])
    assert end["extra/labels"].min() >= -1 and end["extra/labels"].max() >= 1


@pytest.mark.parametrize("name", NAMES)
def test_identities_are_never_read(name, whole, tree, tmp_path, monkeypatch):
    """Each training image is said to show another person, who lacks a modality."""
    read = SysuMM01.read

    def shuffled(self):
        found = read(self)
        ids = 100 + np.random.default_rng(1).permutation(len(found.train))
        shown = dataclasses.replace(found.train, ids=ids)
        return dataclasses.replace(found, train=shown)

    monkeypatch.setattr(SysuMM01, "read", shuffled)
    assert train.train(config_of(name, tree), tmp_path / "run") == 0
    tiny.assert_same_state(whole[name], tmp_path / "run")
    before, after = (
        json.loads((run / "training_set.json").read_text())
        for run in (whole[name], tmp_path / "run")
    )
    assert len(before.pop("identities")) == 3
    assert len(after.pop("identities")) == before["images"] == 36
    assert before == after


@pytest.mark.parametrize("name, epoch", [("adca", 0), ("adca", 1), ("pgm", 2)])
def test_a_run_that_ends_while_it_clusters_goes_on_with_the_same_bits(
    name, epoch, whole, tree, tmp_path, monkeypatch
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
            train.train(config_of(name, tree), tmp_path / "run")
    assert train.train(config_of(name, tree), tmp_path / "run") == 0
    tiny.assert_same_state(whole[name], tmp_path / "run")


@pytest.mark.parametrize("name, epoch", [("adca", 0), ("adca", 2), ("pgm", 1)])
def test_a_run_killed_while_it_clusters_goes_on_with_the_same_bits(
    name, epoch, whole, tree, tmp_path
):
    """In a process of its own, when one modality has its labels, the other none."""
    process = subprocess.run(
        [sys.executable, __file__, name, str(epoch), str(tree), str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    told = [line["step"] for line in tiny.metrics(tmp_path / "run")]
    assert told == [*range(1, 2 * epoch + 1)]
    assert train.train(config_of(name, tree), tmp_path / "run") == 0
    tiny.assert_same_state(whole[name], tmp_path / "run")


def main():
    """A run that is killed before this epoch, between two modalities' clusters."""
    name, last, tree, folder = sys.argv[1:]
    labels, hook, calls = Clusters._labels, Clusters.__call__, []

    def called(self, state, embed_train, epoch, seed, modality):
        calls[:] = [epoch]
        return hook(self, state, embed_train, epoch, seed, modality)

    def killed(self, vectors):
        calls.append(len(vectors))
        if calls[0] == int(last) and len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return labels(self, vectors)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Clusters, "__call__", called)
        patched.setattr(Clusters, "_labels", killed)
        patched.setattr(results, "write_report", lambda *_: [])
        patched.setattr(results, "print_report", lambda *_: None)
        train.train(config_of(name, pathlib.Path(tree)), pathlib.Path(folder))


if __name__ == "__main__":
    main()
