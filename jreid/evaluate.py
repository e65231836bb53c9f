"""Scores a trained run on its test identities: `python -m jreid.evaluate`.

Writes results.json, features.npz, cmc.png and ranks.png into the work directory.
"""

import argparse
import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from jax.sharding import Mesh

from jreid import system
from jreid.checkpoint import Checkpoints
from jreid.config import Config, as_dict, config_from_dict, validate
from jreid.data.datasets import INFRARED, Images
from jreid.evaluation import pictures, protocols, table
from jreid.evaluation.protocols import Score
from jreid.evaluation.trials import Trial, regdb_trial, sysu_trial
from jreid.progress import Progress
from jreid.state import (
    TrainState,
    abstract_params_and_stats,
    data_mesh,
    make_embed,
    network_structure,
)
from jreid.workdir import read_config, write_text

Features = dict[str, np.ndarray]  # name -> float32 [n d], L2-normalised rows


class Embedder:
    """The frozen network on all devices: lists of images to features."""

    def __init__(self, config: Config, frozen: nnx.GraphDef, mesh: Mesh):
        self.config, self.mesh = config, mesh
        options = config.evaluation
        self._embed = make_embed(frozen, feature=options.feature, flip=options.flip)

    def __call__(self, params, stats, images: Images, label: str) -> Features:
        """Features of `images` in their order, with a progress bar named `label`."""
        from jreid.embedding import embed_images  # imports TensorFlow

        data = self.config.data
        with Progress(len(images), label, unit="images") as bar:
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
                progress=bar.update,
            )

    def validate(self, state: TrainState, images: Images) -> dict[str, float]:
        """Rank-1 rate and mAP on the validation identities, averaged over settings."""
        features = self(state.params, state.stats, images, "embed validation images")
        scores = score(
            self.config, {"fused": features["fused"]}, images, reranking=False
        )
        return {
            f"validation/{metric}": float(np.mean([s.mean[metric] for s in scores]))
            for metric in ("R-1", "mAP")
        }


def score(
    config: Config, features: Features, images: Images, *, reranking: bool
) -> list[Score]:
    """Scores features by the protocol of the configured data set."""
    if config.data.dataset == "regdb":
        return protocols.score_regdb(
            features, ids=images.ids, modality=images.modality, reranking=reranking
        )
    return protocols.score_sysu(
        features,
        ids=images.ids,
        cameras=images.cameras,
        paths=images.paths,
        trials=config.evaluation.trials,
        reranking=reranking,
    )


def write_report(
    config: Config, workdir: Path, step: int, features: Features, images: Images
) -> list[Score]:
    """Scores the test features and writes tables and pictures into `workdir`."""
    scores = score(config, features, images, reranking=config.evaluation.rerank)
    what = {
        "step": step,
        "feature": config.evaluation.feature,
        "flip": config.evaluation.flip,
        "config": as_dict(config),
    }
    write_text(workdir / "results.json", table.results_json(scores, what))
    _write_features(workdir / "features.npz", features, images)
    pictures.save_cmc_plot(workdir / "cmc.png", scores)
    lists = protocols.example_rank_lists(
        features["fused"],
        _first_trial(config, images),
        ids=images.ids,
        queries=config.evaluation.sheet_rows,
    )
    pictures.save_rank_sheet(
        workdir / "ranks.png",
        lists,
        paths=images.paths,
        ids=images.ids,
        cameras=images.cameras,
        modality=images.modality,
        title=f"{config.name}, step {step}: infrared queries, fused feature",
    )
    return scores


def _write_features(path: Path, features: Features, images: Images) -> None:
    columns: dict[str, Any] = {
        "paths": images.paths,
        "ids": images.ids,
        "cameras": images.cameras,
        "modality": images.modality,
    }
    temporary = path.with_name(".features.npz")
    np.savez(temporary, allow_pickle=False, **features, **columns)
    temporary.replace(path)


def _first_trial(config: Config, images: Images) -> Trial:
    """The trial that the rank-list sheet shows."""
    if config.data.dataset == "regdb":
        return regdb_trial(images.modality, INFRARED)
    return sysu_trial(
        ids=images.ids, cameras=images.cameras, paths=images.paths, trial=0
    )


def evaluate(config: Config, workdir: Path, step: int | None = None) -> list[Score]:
    """Restores a checkpoint of a run (None: the newest) and scores it."""
    test = system.readable(config, system.read_dataset(config).test, "test").images
    mesh = data_mesh()
    classes = len(read_identities(workdir))
    make_network = functools.partial(system.make_network, config, classes)
    params, stats = abstract_params_and_stats(make_network, mesh)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.latest_step() or 0 if step is None else step
        state = checkpoints.restore({"params": params, "stats": stats}, step)
    embedder = Embedder(config, network_structure(make_network)[1], mesh)
    features = embedder(state["params"], state["stats"], test, "embed test images")
    return write_report(config, workdir, step, features, test)


def write_identities(workdir: Path, identities: np.ndarray) -> None:
    """Keeps the training identities, in the order of their labels, with the run.

    Raises ValueError if the run began with others, whose classifiers these cannot be.
    """
    path = workdir / "identities.json"
    if path.exists() and read_identities(workdir) != identities.tolist():
        raise ValueError(
            f"{path} lists other training identities than the data set has now; "
            "restore its images, or give another --workdir"
        )
    write_text(path, json.dumps(identities.tolist()))


def read_identities(workdir: Path) -> list[int]:
    """The training identities of a run, in the order of their labels."""
    path = workdir / "identities.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing: training has not begun in this work directory"
        ) from None


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
        print_report(config, scores, given.workdir)
    except (ValueError, OSError) as error:
        if given.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def print_report(config: Config, scores: list[Score], workdir: Path) -> None:
    """The table, and where results and pictures lie."""
    root = config.data.root
    name = "SynVI, synthetic: not SYSU-MM01 scores" if root == "synvi" else root
    print(f"\n{config.name} on the test identities of {name}\n")
    print(table.format_table(scores))
    for name in ("results.json", "features.npz", "cmc.png", "ranks.png"):
        print(workdir / name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
