"""The whole program on one's own images, and on a built data set."""

import csv
import json
import pathlib

import numpy as np
import pytest
import tiny
from PIL import Image

from jreid import evaluate, prepare, train
from jreid.config_files import load
from jreid.data.llcm import CAMERAS


def write_image(path: pathlib.Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def make_tiny(spec: str):
    config = tiny.made_tiny(load(spec))
    config.network.trunk.after = {}
    config.sampling.identities, config.sampling.images = 2, 2
    config.schedule.epochs, config.schedule.warmup, config.schedule.drops = 2, 0, ()
    config.steps_per_epoch = 1
    return config


@pytest.mark.slow
@pytest.mark.long
def test_a_csv_file_with_validation_trains_and_is_scored(tmp_path):
    rows = []
    for number, name in enumerate(("ada", "bob", "eve", "joe", "zoe")):
        split = ("train", "train", "val", "test", "test")[number]
        for modality in ("visible", "infrared"):
            for image in range(2):
                path = f"{modality} {name}/{image}.png"
                write_image(tmp_path / path, len(rows))
                rows.append((path, name, modality, split))
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "id", "modality", "split"), *rows])
    config = make_tiny("custom")
    config.data.root = str(tmp_path / "mine.csv")
    config.evaluation.every_epochs = 1
    workdir = tmp_path / "run"
    assert train.train(config, workdir) == 0
    training = json.loads((workdir / "training_set.json").read_text())
    assert training["names"] == ["ada", "bob"] and training["images"] == 8
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"validation/R-1", "validation/mAP"} <= last.keys()
    scores = json.loads((workdir / "results.json").read_text())["scores"]
    settings = {(s["protocol"], s["setting"], s["counted"]) for s in scores}
    assert settings == {
        ("custom", "visible to infrared", 4),
        ("custom", "infrared to visible", 4),
    }
    with Image.open(workdir / "ranks.png") as picture:
        picture.verify()


def make_llcm(root: pathlib.Path) -> pathlib.Path:
    (root / "idx").mkdir(parents=True)
    (root / "idx" / "test_id.txt").write_text("8,9")
    for modality, kind in enumerate(("vis", "nir")):
        lines = []
        for label, number in np.ndindex(2, 2):
            path = f"{kind}/{label:04d}/{label:04d}_c05_s{number}_f1_{kind}.png"
            write_image(root / path, 9 * label + number)
            lines.append(f"{path} {label}")
        (root / "idx" / f"train_{kind}.txt").write_text("\n".join(lines))
        for camera in CAMERAS[modality]:
            for identity in (8, 9):
                folder = root / f"test_{kind}" / f"cam{camera}" / f"{identity:04d}"
                write_image(folder / "a.png", 10 * camera + identity)
    return root


@pytest.mark.long
def test_a_built_llcm_trains_and_its_folder_scores_the_same(tmp_path):
    root = make_llcm(tmp_path / "LLCM")
    prepare.prepare("llcm", root, tmp_path / "tfds", [1])
    config = make_tiny("llcm")
    config.data.tfds = str(tmp_path / "tfds")
    workdir = tmp_path / "run"
    assert train.train(config, workdir) == 0
    with Image.open(workdir / "ranks.png") as picture:
        picture.verify()
    results = json.loads((workdir / "results.json").read_text())
    assert {s["protocol"] for s in results["scores"]} == {"LLCM"}
    before = dict(np.load(workdir / "features.npz"))
    assert evaluate.main([f"--workdir={workdir}", f"--root={root}"]) == 0
    after = dict(np.load(workdir / "features.npz"))
    assert before.keys() == after.keys()
    for name in before.keys() - {"paths"}:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    assert after["paths"][0].startswith(str(root))
    again = json.loads((workdir / "results.json").read_text())
    assert again["scores"] == results["scores"]
    assert evaluate.main([f"--workdir={workdir}", "--tfds=x", "--root=y"]) == 2
