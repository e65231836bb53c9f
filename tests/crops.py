"""Crops of people for searches, and a network that costs nothing."""

import pathlib

import numpy as np
from PIL import Image

from jreid.search import Embedder

SIZE = 24, 12
DIM = 16
PEOPLE = ("ada", "bob", "cyd", "dan")


def embedder(seed: int = 0) -> Embedder:
    """Random projections of the pixels; `seed` makes another network."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(np.prod((*SIZE, 3)), DIM)).astype(np.float32)

    def network(pixels, modality):
        return (pixels.reshape(len(pixels), -1) / 255 - 0.5).astype("f4") @ weights

    return Embedder(
        network,
        dim=DIM,
        fingerprint=f"{seed:016x}",
        size=SIZE,
        about={"name": "crops", "step": seed},
    )


def person(name: str, number: int) -> Image.Image:
    """A person's own colours, and noise that is each image's own."""
    own = np.random.default_rng(list(name.encode()))
    rng = np.random.default_rng([number, *name.encode()])
    colours = own.integers(40, 216, (8, 4, 3)).repeat(6, 0).repeat(6, 1)
    noisy = colours + rng.normal(0, 20, colours.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def make_crops(folder: pathlib.Path, images: int = 3) -> pathlib.Path:
    """cam1/ada_0.png and so on: each person in three cameras, the third infrared."""
    for camera in (1, 2, 3):
        for name in PEOPLE:
            for number in range(images):
                path = folder / f"cam{camera}" / f"{name}_{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                person(name, 10 * camera + number).save(path)
    return folder


PATTERN = r"cam(?P<camera>\d)/(?P<identity>[a-z]+)_"
