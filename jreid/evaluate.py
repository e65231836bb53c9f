"""Scores a trained run on its test identities: `python -m jreid.evaluate`.

Writes results.json, features.npz, cmc.png and ranks.png into the work directory.
"""

import argparse
import contextlib
import functools
import json
import sys
from pathlib import Path

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from jreid import results, system
from jreid.checkpoint import Checkpoints
from jreid.config import Config, config_from_dict, validate
from jreid.data.datasets import Images
from jreid.evaluation.protocols import Score
from jreid.progress import Progress
from jreid.results import Features
from jreid.state import (
    TrainState,
    abstract_params_and_stats,
    data_mesh,
    make_embed,
    network_structure,
)
from jreid.workdir import read_config, write_text

TRAINING_SET = "training_set.json"


class Embedder:
    """The frozen network on all devices: lists of images to features."""

    def __init__(self, config: Config, frozen: nnx.GraphDef, mesh: Mesh):
        self.config, self.mesh = config, mesh
        options = config.evaluation
        self._embed = make_embed(frozen, feature=options.feature, flip=options.flip)

    def __call__(self, params, stats, images: Images, label: str = "") -> Features:
        """Features of `images` in their order, with a progress bar if it has a name."""
        from jreid.embedding import embed_images  # imports TensorFlow

        data = self.config.data
        bar = Progress(len(images), label, unit="images") if label else None
        with bar or contextlib.nullcontext():
            return embed_images(
                self._embed,
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
        """Rank-1 rate and mAP on the validation identities, averaged over settings."""
        features = self(state.params, state.stats, images)
        scores = results.score(
            self.config, {"fused": features["fused"]}, images, reranking=False
        )
        return {
            f"validation/{metric}": float(np.mean([s.mean[metric] for s in scores]))
            for metric in ("R-1", "mAP")
        }


def evaluate(config: Config, workdir: Path, step: int | None = None) -> list[Score]:
    """Restores a checkpoint of a run (None: the newest) and scores it."""
    test = system.readable(config, system.read_dataset(config).test, "test").images
    mesh = data_mesh()
    classes = len(read_identities(workdir))
    make_network = functools.partial(system.make_network, config, classes)
    params, stats = abstract_params_and_stats(make_network, mesh)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.latest_step() if step is None else step
        state = checkpoints.restore({"params": params, "stats": stats}, step)
    assert step is not None  # restore has refused a run without checkpoints
    embedder = Embedder(config, network_structure(make_network)[1], mesh)
    features = embedder(state["params"], state["stats"], test, "embed test images")
    return results.write_report(config, workdir, step, features, test)


def write_training_set(workdir: Path, images: system.RunImages) -> None:
    """Keeps with the run which identities and images it is trained on.

    Raises ValueError if the run began with others: labels and batches would differ.
    """
    path = workdir / TRAINING_SET
    now = {
        "identities": images.identities.tolist(),  # in the order of their labels
        "images": len(images.train),
        "crc32_of_names": images.digest,
    }
    if path.exists() and json.loads(path.read_text()) != now:
        raise ValueError(
            f"{path} names other training images than can be read now, so the run "
            "cannot be continued as it began; restore the images, or give another "
            "--workdir"
        )
    write_text(path, json.dumps(now) + "\n")


def read_identities(workdir: Path) -> list[int]:
    """The training identities of a run, in the order of their labels."""
    path = workdir / TRAINING_SET
    try:
        return json.loads(path.read_text())["identities"]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing: training has not begun in this work directory"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it") from error


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line; options left out keep the run's own setting."""
    parser = argparse.ArgumentParser(
        prog="python -m jreid.evaluate",
        description="Scores a trained run on its test identities.",
    )
    add = parser.add_argument
    add("--workdir", required=True, type=Path, help="the run's folder, e.g. runs/demo")
    add("--root", help="the data set's folder, where it is not the run's")
    add("--step", type=int, help="score this checkpoint instead of the newest")
    add("--trials", type=int, help="galleries to draw (10 in the protocol)")
    add(
        "--feature", choices=("embeddings", "features"), help="after or before the neck"
    )
    add("--flip", action=argparse.BooleanOptionalAction, help="average mirror images")
    add("--rerank", action=argparse.BooleanOptionalAction, help="also re-rank")
    add("--traceback", action="store_true", help="show where an error was raised")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Reads the run's config, applies the options, scores, prints the table."""
    given = parse_arguments(arguments)
    try:
        config = config_from_dict(read_config(given.workdir))
        if given.root is not None:
            config.data.root = given.root
        for name in ("trials", "feature", "flip", "rerank"):
            if getattr(given, name) is not None:
                setattr(config.evaluation, name, getattr(given, name))
        validate(config)
        system.quieten_tensorflow()
        scores = evaluate(config, given.workdir, given.step)
        results.print_report(config, scores, given.workdir)
    except (ValueError, OSError) as error:
        if given.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
