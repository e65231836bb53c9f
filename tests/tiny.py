"""A tiny data set and a tiny config, for tests that run whole programs."""

import json
import pathlib

import jax
import numpy as np
from PIL import Image

from jreid.config import Config
from jreid.config_files import load
from jreid.run.checkpoint import Checkpoints


def make_tree(root: pathlib.Path) -> pathlib.Path:
    """Seven identities, two images in each of six cameras, in SYSU-MM01's layout."""
    rng = np.random.default_rng(0)
    (root / "exp").mkdir(parents=True)
    for name, ids in (("train", "1,2,3"), ("val", "4,5"), ("test", "6,7")):
        (root / "exp" / f"{name}_id.txt").write_text(ids)
    for camera in range(1, 7):
        for identity in range(1, 8):
            folder = root / f"cam{camera}" / f"{identity:04d}"
            folder.mkdir(parents=True)
            for number in (1, 2):
                pixels = rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:04d}.jpg")
    return root


def tiny_config(tree: pathlib.Path, spec: str = "sysu") -> Config:
    """The paper's system with 4 channels; three epochs of two steps."""
    config = load(spec)
    config.data.root = str(tree)
    return made_tiny(config)


def made_tiny(config: Config) -> Config:
    """Any of the paper's rows, on any data set, made as small."""
    trunk = config.network.trunk
    trunk.depth, trunk.width, trunk.stages = 18, 1 / 16, 2
    trunk.after = {"2.1": trunk.after["2.3"]}
    if config.network.refine is not None:
        config.network.refine.hidden, config.network.refine.features = (8,), 8
    config.pretrained = ""
    config.size = (32, 16)
    for view in config.views.values():
        view.pipe[0].pixels = 2
    config.sampling.identities, config.sampling.images = 3, 2
    config.loading.workers = 1
    config.steps_per_epoch = 2
    config.schedule.epochs, config.schedule.warmup = 3, 1
    config.schedule.drops = ((1, 0.1), (2, 0.01))
    config.optimizer.lr = 0.01
    config.evaluation.trials = 2
    config.log.every_steps, config.log.writers = 1, ()
    return config


def final_state(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """Every array of the newest checkpoint, as stored."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as saved:
        newest = max(saved.steps())
        return jax.tree.map(np.asarray, saved.restore(saved.shapes(newest), newest))


def assert_same_state(one: pathlib.Path, other: pathlib.Path) -> None:
    """The newest checkpoints of two runs hold the same bits."""
    first, second = final_state(one), final_state(other)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def metrics(workdir: pathlib.Path) -> list[dict]:
    """The lines of metrics.jsonl."""
    return [json.loads(x) for x in (workdir / "metrics.jsonl").read_text().splitlines()]
