"""Every file of a list tried once: which cannot be read, and why."""

import concurrent.futures
import functools
import os
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from jreid import stopping
from jreid.data.aligned_memory import aligned_empty
from jreid.data.datasets import Images, read_file
from jreid.data.decoding import UNREADABLE, contents_of, decode_or_reason
from jreid.data.deep_images import nearly_empty, warn_of_nearly_empty
from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.data.resizing import Resize, resize_image
from jreid.processes.cores import cores
from jreid.shapes import UInt8

ENOUGH = 100  # images of which one may be unreadable, whatever the fraction


class Readable(NamedTuple):
    """What is left of a list of images after every file has been tried."""

    images: Images
    unreadable: list[tuple[str, str]]  # path and reason, in the order of the list
    pixels: UInt8[np.ndarray, "n h w 3"] | None  # of `images`, if they were kept


def drop_unreadable(
    images: Images,
    *,
    size: tuple[int, int],
    resize: Resize = "bilinear",
    max_fraction: float = 0.001,
    keep_pixels: bool = False,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Readable:
    """Decodes every file once, and leaves out those that cannot be decoded.

    It happens before the first step, so that a batch never depends on what was read
    before it. Files left out are counted and named in one warning.

    Args:
        images: to be tried.
        size: height and width of the kept images, in pixels.
        resize: how they are brought to it, see `resize_image`.
        max_fraction: of `images` that may be unreadable, in [0, 1]; among hundreds,
            one may be in any case but for a fraction of 0.
        keep_pixels: keep the decoded images in memory for the batches to come, with
            height x width x 3 bytes each; the sum is logged.
        workers: threads; 0 means one per core.
        progress: called after each file with the number done and the number in all.

    Raises:
        ValueError: more than `max_fraction` of the files are unreadable, or all.
    """
    pixels = aligned_empty((len(images), *size, 3)) if keep_pixels else None
    if pixels is not None:
        logging.info("keeping decoded images in memory: %d bytes", pixels.nbytes)
    reasons = try_all(images, resize, pixels, workers, progress)
    bad = np.array([reason is not None for reason in reasons], bool)
    unreadable = [(str(images.paths[i]), str(reasons[i])) for i in np.flatnonzero(bad)]
    if unreadable:
        _report_unreadable(unreadable, len(images), max_fraction)
        # Moving rows up keeps the memory and its alignment, unlike a copy.
        if pixels is not None:
            for to, source in enumerate(np.flatnonzero(~bad)):
                pixels[to] = pixels[source]
            pixels = pixels[: len(images) - len(unreadable)]
    kept = images.take(~bad)
    warn_of_nearly_empty(nearly_empty(kept.paths.tolist(), kept.grey16, kept.read))
    return Readable(kept, unreadable, pixels)


def try_all(
    images: Images,
    resize: Resize = "bilinear",
    pixels: np.ndarray | None = None,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[str | None]:
    """Per image why it is unreadable, or None; row i of `pixels` gets image i."""
    paths = images.paths.tolist()
    size = None if pixels is None else (pixels.shape[1], pixels.shape[2])
    attempt_path = _make_attempt(contents_of(images), size, resize, images.grey16)

    def attempt(i: int) -> str | None:
        stopping.check()  # at Ctrl-C, the rest of a long list waits in vain
        if images.read is read_file and _is_empty(paths[i]):
            return "the file is empty"
        return attempt_path(paths[i], None if pixels is None else pixels[i])

    reasons = []
    with concurrent.futures.ThreadPoolExecutor(workers or cores()) as pool:
        for reason in pool.map(attempt, range(len(paths))):
            reasons.append(reason)
            if progress:
                progress(len(reasons), len(paths))
    return reasons


def _is_empty(path: str) -> bool:
    try:
        return os.path.getsize(path) == 0
    except (OSError, ValueError):
        return False


def make_reader(
    size: tuple[int, int],
    resize: Resize = "bilinear",
    workers: int = 0,
    grey16: Grey16 = HIGH_BYTES,
) -> Callable[[list[str]], tuple[UInt8[np.ndarray, "n h w 3"], list[str | None]]]:
    """A function from paths of files to images of `size`, and why any is unreadable.

    The reason is None for a readable one; unreadable images are left black. The
    function compiles its graph once and may be called with any number of paths, in one
    thread at a time.
    """
    attempt = _make_attempt(tf.io.read_file, size, resize, grey16)
    pool = concurrent.futures.ThreadPoolExecutor(workers or cores())

    def read(paths: list[str]) -> tuple[np.ndarray, list[str | None]]:
        pixels = np.zeros((len(paths), *size, 3), np.uint8)
        return pixels, list(pool.map(attempt, paths, pixels))

    return read


def _make_attempt(
    contents: Callable[[tf.Tensor], tf.Tensor],
    size: tuple[int, int] | None,
    resize: Resize,
    grey16: Grey16,
) -> Callable[[str, np.ndarray | None], str | None]:
    """Reads one image into an array of `size`, or, without one, only decodes it.

    The function made returns why the image is unreadable, or None.
    """

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    def read(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, reason = decode_or_reason(contents(path), grey16)
        if size is None:
            return tf.zeros((0, 0, 3), tf.uint8), reason
        resized = tf.cond(
            tf.equal(reason, b""),
            functools.partial(resize_image, image, size, resize),
            functools.partial(tf.zeros, (*size, 3), tf.uint8),
        )
        return resized, reason

    def attempt(path: str, into: np.ndarray | None) -> str | None:
        try:
            result, reason = read(tf.constant(os.fsencode(path)))
        except tf.errors.OpError as error:
            return _reason(str(error.message))
        if why := bytes(reason.numpy()).decode():
            return why
        if into is not None:
            into[...] = result.numpy()
        return None

    return attempt


def _reason(message: str) -> str:
    """Why, from a message with names of TensorFlow's nodes and functions."""
    message = message.partition("\n\t [[")[0].partition(" [Op:")[0]
    if found := re.search(rf"\[{UNREADABLE}\] \[(.*)\]", message, re.DOTALL):
        return found[1]
    return re.sub(r"\{\{.*?\}\} ?", "", message).strip().splitlines()[-1]


def _report_unreadable(
    unreadable: list[tuple[str, str]], count: int, max_fraction: float
) -> None:
    """A warning, or above `max_fraction` an error, with the first ten names."""
    named = "\n".join(f"  {path}: {reason}" for path, reason in unreadable[:10])
    if len(unreadable) > 10:
        named += f"\n  and {len(unreadable) - 10} more"
    counted = f"{len(unreadable)} of {count} images are unreadable"
    allowed = max_fraction * count
    if max_fraction and count >= ENOUGH:
        allowed = max(allowed, 1)
    if len(unreadable) > allowed or len(unreadable) == count:
        raise ValueError(
            f"{counted}, more than the fraction of {max_fraction} allowed; restore "
            "them, or allow more with --config.loading.max_unreadable:\n" + named
        )
    logging.warning("%s and left out:\n%s", counted, named)
