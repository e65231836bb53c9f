"""A trained network at work: embeds lists of images and scores finished runs."""

import contextlib
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from jreid import system
from jreid.config import Config
from jreid.data.datasets import Dataset, Images, drop_unpaired
from jreid.evaluation.files.score_files import make_folder
from jreid.evaluation.protocols import Score
from jreid.processes.distributed import is_main
from jreid.processes.heap import trim_after_compiling
from jreid.progress import Progress
from jreid.run import results
from jreid.run.about import about_run
from jreid.run.checkpoint import Checkpoints
from jreid.run.results import Features
from jreid.run.workdir import TRAINING_SET, read_training_set, write_text
from jreid.training.learner import (
    TrainState,
    Tree,
    abstract_params_and_stats,
    data_mesh,
    make_embed,
    network_structure,
)


class Embedder:
    """The frozen network on all devices: lists of images to features."""

    def __init__(self, config: Config, frozen: nnx.GraphDef, mesh: Mesh):
        self.config, self.mesh = config, mesh
        options = config.evaluation
        self.embed = make_embed(frozen, feature=options.feature, flip=options.flip)

    def __call__(self, params, stats, images: Images, label: str = "") -> Features:
        """Features of `images` in their order, with a progress bar if it has a name."""
        from jreid.run.embedder import embed_images  # imports TensorFlow

        data = self.config.data
        bar = Progress(len(images), label, unit="images") if label else None
        with bar or contextlib.nullcontext():
            return embed_images(
                self.embed,
                params,
                stats,
                images,
                mesh=self.mesh,
                height=data.height,
                width=data.width,
                batch_size=self.config.evaluation.batch_size,
                workers=data.workers,
                progress=bar.update if bar else None,
            )

    def validate(self, state: TrainState, images: Images) -> dict[str, float]:
        """Rank-1 rate and mAP on the validation identities, averaged over settings.

        Of several processes the first has the result, the others get none.
        """
        features = self(state.params, state.stats, images)
        if not is_main():
            return {}
        scores = results.score(
            self.config, {"fused": features["fused"]}, images, reranking=False
        )
        return {
            f"validation/{metric}": float(np.mean([s.mean[metric] for s in scores]))
            for metric in ("R-1", "mAP")
        }


class TrainedNetwork(NamedTuple):
    """A network restored from a checkpoint."""

    step: int
    params: Tree
    stats: Tree
    embedder: Embedder


def restore_network(
    config: Config, workdir: Path, step: int | None = None
) -> TrainedNetwork:
    """Restores a checkpoint of a run (None: the newest) onto all devices."""
    trim_after_compiling()
    mesh = data_mesh()
    classes = len(read_identities(workdir))
    make_network = functools.partial(system.make_network, config, classes)
    params, stats = abstract_params_and_stats(make_network, mesh)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.latest_step() if step is None else step
        state = checkpoints.restore({"params": params, "stats": stats}, step)
    assert step is not None  # restore has refused a run without checkpoints
    embedder = Embedder(config, network_structure(make_network)[1], mesh)
    return TrainedNetwork(step, state["params"], state["stats"], embedder)


def evaluate_run(
    config: Config, workdir: Path, step: int | None = None, out: Path | None = None
) -> tuple[list[Score], dict[str, Any]]:
    """Restores a checkpoint of a run (None: the newest) and scores it.

    Writes tables and pictures into `out`, the work directory by default, and returns
    the scores and what they are of. A run on RegDB is scored on the split it was
    trained on, whatever its config says: ValueError if that is another one.
    """
    if out is not None:
        make_folder(out)
    dataset = system.read_dataset(config)
    _check_split(config, workdir, dataset)
    test = system.readable(config, dataset.test, "test").images
    network = restore_network(config, workdir, step)
    features = network.embedder(
        network.params, network.stats, test, "embed test images"
    )
    scores = results.write_report(config, out or workdir, network.step, features, test)
    return scores, about_run(config, network.step)


def _check_split(config: Config, workdir: Path, dataset: Dataset) -> None:
    """On RegDB an image is a test image of one split and a training image of another.

    Raises ValueError unless the configured split has the images of the training.
    """
    data = config.data
    if data.dataset != "regdb":
        return
    before = read_training_set(workdir)
    images = drop_unpaired(dataset.train)
    if len(images) != before["images"]:
        # A file that could not be read was left out when the training began.
        images = system.readable(config, images, "training").images
    if system.digest(images) != before["crc32_of_names"]:
        raise ValueError(
            f"{workdir} was not trained on the training images of RegDB's split "
            f"{data.trial} in {data.root or data.tfds}, so that its test images may "
            "have been trained on: score it on its own split, with the lists it was "
            "trained with"
        )


def write_training_set(workdir: Path, images: system.RunImages) -> None:
    """Keeps with the run which identities and images it is trained on.

    Raises ValueError if the run began with others: labels and batches would differ.
    """
    path = workdir / TRAINING_SET
    now = {
        "identities": images.identities.tolist(),  # in the order of their labels
        "images": len(images.train),
        "crc32_of_names": images.digest,
        "steps_per_epoch": images.steps_per_epoch,
    }
    if images.names:
        now["names"] = images.names
    if path.exists():
        before = read_training_set(workdir)
        if any(before.get(name, value) != value for name, value in now.items()):
            raise ValueError(
                f"{path} names other training images than can be read now, so the run "
                "cannot be continued as it began; restore the images, or give another "
                "--workdir"
            )
    write_text(path, json.dumps(now) + "\n")


def read_identities(workdir: Path) -> list[int]:
    """The training identities of a run, in the order of their labels."""
    return read_training_set(workdir)["identities"]
