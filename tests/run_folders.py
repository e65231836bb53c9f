"""A run's folder made of random vectors, without any training."""

import json

import numpy as np
from PIL import Image

from jreid.config_files import load
from jreid.config_json import to_json
from jreid.evaluation.files.results_file import about_scores, results_json
from jreid.evaluation.protocols.by_key import make_protocol
from jreid.evaluation.score_features import score_features
from jreid.whole_files import write_text

NAME = "<img src=x onerror=alert(1)>&.png"  # of every file: it must not be markup


class Columns:
    """Six people, two images in each of four cameras; 3 and 6 are infrared."""

    def __init__(self, folder):
        ids, cameras, numbers = (
            x.ravel() for x in np.meshgrid(range(1, 7), (1, 2, 3, 6), range(2))
        )
        names = [
            f"{c}-{i}-{n}-{NAME}" for i, c, n in zip(ids, cameras, numbers, strict=True)
        ]
        self.ids, self.cameras = ids, cameras
        self.modality = np.isin(cameras, (3, 6)).astype(np.int64)
        self.paths = np.array([str(folder / name) for name in names])


def make_run_folder(folder, images, seed=0, noise=1.0):
    """All that a finished run has but checkpoints; images lie in `images`."""
    for path in (folder, images):
        path.mkdir(parents=True, exist_ok=True)
    columns, rng = Columns(images), np.random.default_rng(seed)
    for path, person in zip(columns.paths, columns.ids, strict=True):
        Image.new("RGB", (12, 24), (40 * int(person), 90, 120)).save(path, "PNG")
    people = np.random.default_rng(9).normal(size=(7, 8))
    fused = people[columns.ids] + noise * rng.normal(size=(len(columns.ids), 8))
    features = {"fused": fused.astype(np.float32)}
    config = load("sysu")
    config.evaluation.trials = 2
    (folder / "config.json").write_text(json.dumps(to_json(config)))
    protocol, options = make_protocol("sysu", {"trials": 2})
    scores = score_features(features, columns, protocol, options, reranking=False)
    about = about_scores("<b>made up</b>", step=3, dataset="sysu")
    write_text(folder / "results.json", results_json(scores, about))
    kept = {name: getattr(columns, name) for name in vars(columns)}
    np.savez(folder / "features.npz", **features, **kept)
    lines = [{"step": s, "loss": 9 / s, "loss/wrt": 1.0, "lr": 0.1} for s in (1, 2, 3)]
    lines[1]["loss"] = None
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "metrics.jsonl").write_text(text + '\n{"step": 4, "lo')
    return folder
