"""A tiny RegDB, and runs on it as a training leaves them behind."""

import json
import pathlib

import numpy as np
from PIL import Image

from jreid.config import Config
from jreid.config_files import load
from jreid.config_json import to_json
from jreid.data.datasets import drop_unpaired
from jreid.evaluation.files.results_file import write_results
from jreid.models.resnet import ResNet
from jreid.run import results
from jreid.run.about import about_run
from jreid.run.fingerprints import crc32_of_names
from jreid.run.run_folders import RunFolder
from jreid.training.schedules import Steps

LAST_STEP = 2


def make_tree(root: pathlib.Path) -> pathlib.Path:
    """Five identities, two images in each modality; splits 1 to 3 test two of them."""
    rng = np.random.default_rng(0)
    (root / "idx").mkdir()
    for name in ("Visible", "Thermal"):
        for identity in range(5):
            (root / name / str(identity)).mkdir(parents=True)
            for number in (1, 2):
                pixels = rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / f"{name}/{identity}/{number}.bmp")
        for split in (1, 2, 3):
            test = [split - 1, split]
            parts = {"train": [i for i in range(5) if i not in test], "test": test}
            for part, identities in parts.items():
                lines = [
                    f"{name}/{identity}/{number}.bmp {label}\n"
                    for label, identity in enumerate(identities)
                    for number in (1, 2)
                ]
                file = root / "idx" / f"{part}_{name.lower()}_{split}.txt"
                file.write_text("".join(lines))
    return root


def tiny_config(tree: pathlib.Path, split: int = 0) -> Config:
    """One branch, a narrow network, two steps."""
    config = load("regdb:base")
    config.name, config.pretrained, config.size = "regdb", "", (32, 16)
    config.data.root, config.data.split = str(tree), split
    config.network.trunk = ResNet(18, width=1 / 16)
    config.sampling.identities, config.sampling.images = 3, 2
    config.loading.workers = 1
    config.schedule = Steps(epochs=1, warmup=0, drops=())
    config.steps_per_epoch = LAST_STEP
    config.log.every_steps, config.log.writers = 1, ()
    return config


def finish(run: RunFolder, step: int = LAST_STEP) -> RunFolder:
    """Leaves what a training leaves behind, of random features."""
    config = run.config
    images = config.data.read()
    paired = drop_unpaired(images.train)
    (run.folder / "checkpoints" / str(step)).mkdir(parents=True)
    (run.folder / "config.json").write_text(json.dumps(to_json(config)))
    training_set = {
        "identities": [0, 1, 2],
        "images": len(paired),
        "crc32_of_names": crc32_of_names(paired),
        "steps_per_epoch": config.steps_per_epoch,
    }
    (run.folder / "training_set.json").write_text(json.dumps(training_set))
    rng = np.random.default_rng([run.split or 0, config.seed])
    features = {
        name: rng.normal(size=(len(images.test), 8)).astype(np.float32)
        for name in ("fused", "v1")
    }
    rerank = config.evaluation.rerank
    scores = results.score(config, features, images.test, reranking=rerank)
    write_results(run.folder, scores, about_run(config, step))
    return run
