"""Which images have 16 bits, and which of them have next to no grey levels left."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from absl import logging

from jreid.data.datasets import read_file, some
from jreid.data.grey16 import FEW_LEVELS, Grey16, is_grey16
from jreid.data.image_file import grey16_values
from jreid.shapes import Int


def deep_images(
    paths: Sequence[str], read: Callable[[str], bytes] = read_file
) -> Iterator[tuple[str, Int[np.ndarray, "h w"]]]:
    """Path and grey values of the images that have 16 bits: PNG files alone do."""
    for path in paths:
        if not path.lower().endswith(".png"):
            continue
        if read is read_file:  # a few bytes of most files are enough
            with contextlib.suppress(OSError), open(path, "rb") as file:
                if not is_grey16(file.read(64)):
                    continue
        with contextlib.suppress(OSError):
            values = grey16_values(read(path))
            if values is not None:
                yield path, values


def nearly_empty(
    paths: Sequence[str],
    grey16: Grey16,
    read: Callable[[str], bytes] = read_file,
) -> list[str]:
    """Those of 16 bits that have next to no grey levels as they are read."""
    return [
        path
        for path, values in deep_images(paths, read)
        if len(np.unique(grey16(values))) < FEW_LEVELS
    ]


def warn_of_nearly_empty(paths: Sequence[str]) -> None:
    """One warning that counts them and says what can be done."""
    if paths:
        logging.warning(
            "%d images of 16 bits have fewer than %d grey levels left: %s. Scale them "
            "by their own range with --config.grey16.by=image, or by a window: "
            "--config.grey16.low= and --config.grey16.high=",
            len(paths),
            FEW_LEVELS,
            some(list(paths), 3),
        )
