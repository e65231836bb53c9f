"""Measures the data pipeline on made-up JPEG files: images per second and worker.

To 288 x 144, with the crop and flip of the default training.

python tools/benchmark_pipeline.py --files 512 --steps 40
"""

import pathlib
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from jreid import command_line, prepare
from jreid.data import pipeline, reading, records, resizing
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.datasets import Images
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import read_sysu_mm01
from jreid.data.views import View

SIZE = 288, 144
PIPE = PadCrop(10), Flip(0.5)
VIEWS = {name: View(name, PIPE) for name in ("visible", "infrared")}


@dataclass
class Options:
    """What is measured."""

    files: int = 512
    """JPEG files to read."""
    steps: int = 40
    """Batches of 64 images."""
    height: int = 320
    """Of the files, in pixels."""
    width: int = 140
    """Of the files, in pixels."""
    resize: resizing.Resize = "bilinear"
    """How images are brought to 288 x 144."""
    workers: int = 1
    """Threads."""


def make_files(root: pathlib.Path, count: int, height: int, width: int) -> None:
    """A tree in SYSU-MM01's layout: 16 identities, cameras 1 and 3, about `count`."""
    rng = np.random.default_rng(0)
    (root / "exp").mkdir()
    for part, ids in (("train", range(1, 16)), ("val", ()), ("test", (16,))):
        (root / "exp" / f"{part}_id.txt").write_text(",".join(map(str, ids)))
    for i in range(count):
        folder = root / f"cam{1 + 2 * (i % 2)}" / f"{i // 2 % 16 + 1:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        noise = rng.integers(-4, 5, (height, width, 3))
        noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i:05d}.jpg", quality=90)


def images_per_second(arguments: Options, images: Images, **options: Any) -> str:
    """Of `train_batches` after one batch of warming up: the best of three runs."""
    per_worker, per_cpu_second = [], []
    for seed in range(3):
        batches = pipeline.train_batches(
            images,
            PerModality(identities=8, images=4).make(images, VIEWS, seed),
            views=VIEWS,
            labels=np.unique(images.ids, return_inverse=True)[1],
            start_step=0,
            stop_step=arguments.steps,
            seed=seed,
            size=SIZE,
            resize=arguments.resize,
            workers=arguments.workers,
            **options,
        )
        next(batches)
        start, cpu_start = time.perf_counter(), time.process_time()
        count = sum(rows.size for batch in batches for rows in batch["index"].values())
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        per_worker.append(count / wall / arguments.workers)
        per_cpu_second.append(count / cpu)
    return (
        f"{max(per_worker):,.0f} images/s per worker, "
        f"{max(per_cpu_second):,.0f} images per second of CPU time"
    )


def main() -> None:
    """Prints the speed with files, with records, and with images kept in memory."""
    arguments = command_line.parse(
        Options, "python tools/benchmark_pipeline.py", sys.argv[1:], str(__doc__)
    )
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        make_files(root, arguments.files, arguments.height, arguments.width)
        images = read_sysu_mm01(root).train
        start = time.perf_counter()
        readable = reading.drop_unreadable(
            images,
            size=SIZE,
            resize=arguments.resize,
            keep_pixels=True,
            workers=arguments.workers,
        )
        seconds = time.perf_counter() - start
        print(f"trying every file: {len(images) / seconds:,.0f} images/s in all")
        files = images_per_second(arguments, images)
        print(f"files of {arguments.height} x {arguments.width}: {files}")
        prepare.prepare("sysu_mm01", root, root / "tfds", [1])
        built = records.read_built(root / "tfds", "sysu_mm01").train
        print(f"records: {images_per_second(arguments, built)}")
        kept = images_per_second(arguments, images, pixels=readable.pixels)
        print(f"decoded images kept in memory: {kept}")


if __name__ == "__main__":
    main()
