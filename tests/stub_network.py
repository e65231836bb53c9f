"""A network that needs no time: for tests of how embedding jobs are done."""

import os

import numpy as np

SIZE = 3


class Stub:
    """Embeds the sum of a path's bytes; a file named `bad` is unreadable."""

    size = SIZE

    def __init__(self, batch_size=4):
        self.batch_size = batch_size

    def read(self, paths):
        return read(paths)

    def nearly_empty(self, paths):
        return [path for path in paths if "pale" in path]

    def embed(self, pixels, modality):
        return embed(pixels, modality)


def read(paths):
    reasons = [
        "not an image" if os.path.basename(path).startswith("bad") else None
        for path in paths
    ]
    pixels = np.zeros((len(paths), 2, 2, 3), np.uint8)
    for row, path in enumerate(paths):
        pixels[row] = sum(path.encode()) % 256
    return pixels, reasons


def embed(pixels, modality):
    values = pixels[:, 0, 0, 0].astype(np.float32) + 1000 * (modality == "infrared")
    return np.stack([values, 2 * values, 3 * values], axis=1)
