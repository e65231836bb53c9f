"""The doctor on weights, runs and their checkpoints."""

import hashlib
import json
import os

import jax
import numpy as np
import pytest
import tiny
import untrained

from jreid.config_files import load
from jreid.config_json import to_json
from jreid.doctor import (
    checkpoint_size,
)
from jreid.doctor.checkpoint_whole import check_checkpoint
from jreid.doctor.run_folder import check_run
from jreid.doctor.weights import check_run_weights, check_weights
from jreid.run.build import build_run
from jreid.run.images import read_images


def write_weights(path, source, digest):
    about = json.dumps({"source": source, "source_sha256": digest, "depth": 50})
    np.savez(path, about=np.array(about), x=np.arange(9.0))


def test_weights_are_held_to_the_hash_in_their_name(tmp_path):
    path, good = tmp_path / "w.npz", "0676ba61" + 56 * "0"
    write_weights(path, "resnet50-0676ba61.pth", good)
    found = check_weights(str(path), 50)
    assert (found.level, "as its name says" in found.words) == ("ok", True)
    write_weights(path, "resnet50-0676ba61.pth", 64 * "1")
    found = check_weights(str(path), 50)
    assert found.level == "fail" and "should begin with 0676ba61" in found.words
    write_weights(path, "mine.pth", good)
    assert check_weights(str(path), 50).level == "ok"
    path.write_bytes(path.read_bytes()[:-60])
    found = check_weights(str(path), 50)
    assert found.level == "fail" and "not whole" in found.words
    missing = check_weights(str(tmp_path / "none.npz"), 50)
    assert missing.level == "fail"
    assert "curl -LO https://download.pytorch.org/models/resnet50-0676ba61.pth" in (
        missing.remedy.splitlines()
    )
    assert check_weights("", 50).level == "ok"
    assert check_weights(str(tmp_path), 50).level == "fail"


def test_weights_of_a_run_are_compared_with_its_record(tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    record = {"path": str(path), "sha256": digest}
    assert check_run_weights(record).words.endswith("which is there")
    path.write_bytes(b"others")
    assert "another file is there now" in check_run_weights(record).words


def test_a_runs_folder_is_described(tmp_path):
    assert check_run(tmp_path)[0].level == "fail"
    config = to_json(load("demo"))
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "no checkpoint yet" in check_run(tmp_path)[0].words
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)
    found = check_run(tmp_path)[0]
    assert found.level == "ok" and "checkpoints of steps 7" in found.words
    (tmp_path / "config.json").write_text("{")
    assert check_run(tmp_path)[0].level == "fail"
    config["sampling"]["is"] = "jreid.data.sampling:Gone"
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = check_run(tmp_path)[0]
    assert found.level == "fail" and "begun by another version" in found.words
    assert "--workdir /OTHER/runs/x" in found.remedy
    config["sampling"]["is"] = "file of_no_other_test.py:Own"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert check_run(tmp_path)[0].remedy.startswith(
        "python -m jreid.doctor --config of_no_other_test"
    )


@pytest.mark.slow  # two processes that import JAX
def test_a_checkpoint_that_is_cut_short_is_told(tmp_path):
    run = tmp_path / "run"
    untrained.make_run(run)
    found = check_checkpoint(run)
    assert found and (found.level, found.words[-8:]) == ("ok", "as saved")
    files = [path for path in (run / "checkpoints").rglob("d/*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, 100)
    found = check_checkpoint(run)
    assert found and found.level == "fail" and "is damaged" in found.words
    assert "--workdir /OTHER/runs/x" in found.remedy  # there is no earlier one


@pytest.mark.slow
def test_the_size_of_a_checkpoint_is_that_of_the_state(tmp_path):
    config = tiny.tiny_config(tiny.make_tree(tmp_path / "tiny"))
    size = checkpoint_size.checkpoint_size(json.dumps(to_json(config)))
    state = build_run(config, read_images(config)).state
    leaves = (np.asarray(leaf) for leaf in jax.tree.leaves(state))
    assert size == sum(leaf.nbytes for leaf in leaves) / 1e9
