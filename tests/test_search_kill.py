"""A process that is killed while it indexes or removes leaves a whole gallery."""

import os
import pathlib
import random
import subprocess
import sys
import time

import crops
import numpy as np
import pytest

from jreid.search import Gallery
from jreid.search.indexing import COMMIT, index, list_images
from jreid.search.labels import Labels

KILLS = int(os.environ.get("JREID_KILLS", "20"))
IMAGES = 9 * COMMIT

pytestmark = pytest.mark.long

CHILD = """
import sys, time
import crops
from jreid.search import Gallery
from jreid.search.indexing import index, list_images
from jreid.search.labels import Labels

place, images, first = sys.argv[1:]
embedder = crops.embedder()
network = embedder.network

def slow(pixels, modality):
    time.sleep(0.01)
    return network(pixels, modality)

embedder.network = slow
print("begun", flush=True)
try:
    gallery = Gallery.open(place, embedder)
except FileNotFoundError:
    gallery = Gallery.create(place, embedder, images)
before = len(gallery)
if first == "remove":
    before -= gallery.remove(["b"])
    print(before, flush=True)
index(
    gallery,
    [*list_images(__import__("pathlib").Path(images))],
    lambda path: Labels(modality="visible"),
    lambda done: print(before + done.added, flush=True),
)
"""


@pytest.fixture
def images(tmp_path):
    """Many small pictures in three folders, each another one."""
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        path = tmp_path / "images" / "abc"[number % 3] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)
        crops.Image.fromarray(pixels).save(path)
    return tmp_path / "images"


def expected_vectors(images):
    paths = sorted(
        path.relative_to(images).as_posix() for path in images.rglob("*.bmp")
    )
    vectors = crops.embedder()([images / path for path in paths], "visible")
    return dict(zip(paths, vectors.astype(np.float16), strict=True))


def killed(place, images, first, seconds):
    """Runs the child for so long; the last number it printed, -1 for none."""
    command = [sys.executable, "-c", CHILD, str(place), str(images), first]
    here = pathlib.Path(__file__).parent
    found = os.environ.get("PYTHONPATH", str(here.parent))
    child = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{found}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    time.sleep(seconds)
    child.kill()
    lines = child.stdout.read().split()
    child.wait()
    child.stdout.close()
    return int(lines[-1]) if lines else -1


def test_kills_lose_the_batch_in_hand_at_most(images, tmp_path):
    place, expected = tmp_path / "gallery", expected_vectors(images)
    draw = random.Random(0)
    for kill in range(KILLS):
        first = "remove" if kill % 2 else "index"
        told = killed(place, images, first, draw.uniform(0, 0.5))
        if not (place / "images.sqlite").exists():
            assert told == -1
            continue
        with Gallery.open(place, crops.embedder()) as gallery:
            records = [*gallery.store.all()]
            assert told <= len(records) <= max(told, 0) + COMMIT or told == -1
            assert len({record.path for record in records}) == len(records)
            kept = gallery.store.vectors([record.key for record in records])
            for record, vector in zip(records, kept, strict=True):
                np.testing.assert_array_equal(vector, expected[record.path])
    with Gallery.open(place, crops.embedder()) as gallery:
        there = len(gallery)
        done = index(
            gallery, [*list_images(images)], lambda path: Labels(modality="visible")
        )
        assert (done.unchanged, done.added) == (there, IMAGES - there)
        size = (place / "vectors.f16").stat().st_size
        assert (len(gallery), size) == (IMAGES, IMAGES * crops.DIM * 2)
