"""The hash of a config: what it tells apart, and that it stays the same for ever."""

import json
import pathlib

import pytest
from fields import put

from jreid.config_files import load
from jreid.config_hash import config_hash
from jreid.config_json import from_json
from jreid.parts import check, settled

STORED = pathlib.Path(__file__).with_name("data") / "configs_v0_2.json"


def test_the_hash_tells_trained_networks_apart():
    before = config_hash(load("sysu"))
    assert len(before) == 12 and int(before, 16) >= 0
    same = {
        "data.root": "elsewhere",
        "data.tfds": "built",
        "steps": 5,
        "loading.workers": 3,
        "loading.cache": True,
        "evaluation.rerank": False,
        "embedding.flip": True,
        "checkpoint.keep": 9,
        "log.every_steps": 3,
        "distributed.timeout": 20.0,
    }
    config = load("sysu")
    for path, value in same.items():
        put(config, path, value)
    assert config_hash(config) == before
    other = {
        "seed": 1,
        "data.train_on_val": False,
        "optimizer.lr": 0.2,
        "network.trunk.depth": 34,
        "views.visible.pipe.0.pixels": 9,
    }
    hashes = {before}
    for path, value in other.items():
        config = load("sysu")
        put(config, path, value)
        hashes.add(config_hash(config))
    assert len(hashes) == 1 + len(other)


def test_the_order_of_terms_is_in_the_hash_and_that_of_numbers_is_not():
    config = load("sysu")
    before = config_hash(config)
    config.optimizer.lr = 1
    assert config_hash(settled(config)) != before
    config.optimizer.lr = 0.1
    config.objective = dict(reversed(config.objective.items()))
    assert config_hash(config) != before


def test_a_whole_number_given_for_a_float_changes_no_hash():
    hashes = set()
    for rate in (2, 2.0):
        config = load("sysu")
        config.optimizer.lr = rate
        hashes.add(config_hash(settled(config)))
    assert len(hashes) == 1


@pytest.mark.parametrize("run", json.loads(STORED.read_text()), ids=lambda r: r["spec"])
def test_a_config_stored_by_this_version_is_read_by_every_later_one(run):
    """The file is never written anew: a part that moved gets its line in MOVED."""
    config = from_json(run["config"])
    check(config)
    assert config_hash(config) == run["hash"]
