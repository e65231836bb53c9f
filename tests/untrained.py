"""A run's folder with a checkpoint, made without any training."""

import json
import pathlib

import tiny

from jreid.config import Config
from jreid.config_files import load
from jreid.config_json import to_json
from jreid.models.modules.keys import WeightKeys
from jreid.run.checkpoint import Checkpoints
from jreid.training.build import network_maker
from jreid.training.state import params_and_stats


def make_run(workdir: pathlib.Path, seed: int = 0, step: int = 7) -> Config:
    """The paper's system with 4 channels for three identities, as initialised."""
    config = tiny.made_tiny(load("sysu"))
    network = network_maker(config, 3)(WeightKeys(seed))
    params, stats = params_and_stats(network)
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(json.dumps(to_json(config)))
    about = {"identities": [1, 2, 3], "images": 9, "crc32_of_names": 0}
    (workdir / "training_set.json").write_text(json.dumps(about))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save(step, {"params": params, "stats": stats})
    return config
