"""Image files to uint8 arrays, and which files cannot be read."""

import concurrent.futures
import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from jreid import stopping
from jreid.data.datasets import Images, read_file, some
from jreid.data.grey16 import FEW_LEVELS, HIGH_BYTES, Grey16, is_grey16
from jreid.data.image_file import (
    MAX_PIXELS,
    UnreadableImageError,
    grey16_values,
    lanczos,
    read_rgb,
)
from jreid.processes.cores import cores
from jreid.shapes import Int, UInt8

# TensorFlow would take all memory of a GPU that JAX needs; before the first op.
tf.config.set_visible_devices([], "GPU")

_JFIF = 20  # bytes of SOI and a JFIF segment without a thumbnail
_JFIF_START = np.array([0xFF, 0xD8, 0xFF, 0xE0, 0, 16], np.uint8)
# DQT, DHT, DRI; SOF0 and SOF2
_TABLES_AND_FRAMES = np.array([0xDB, 0xC4, 0xDD, 0xC0, 0xC2], np.uint8)

Resize = Literal["bilinear", "lanczos"]

UNREADABLE = "unreadable:"  # begins the reason in TensorFlow's message
ENOUGH = 100  # images of which one may be unreadable, whatever the fraction
ALIGNMENT = 64  # bytes; TensorFlow reads memory that is not its own only if aligned


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


def decode(
    contents: tf.Tensor, grey16: Grey16 = HIGH_BYTES
) -> UInt8[tf.Tensor, "h w 3"]:
    """JPEG, PNG, BMP, GIF or WebP bytes as upright RGB: `image_file.read_rgb`'s pixels.

    A JPEG that begins as most do, without EXIF, is decoded by TensorFlow, which needs
    no Python and gives Pillow's pixels exactly (its default DCT would not). All else
    goes through Pillow. The size in the header is checked before anything is decoded.
    """
    image, reason = _decode_or_reason(contents, grey16)
    readable = tf.debugging.Assert(tf.equal(reason, b""), [UNREADABLE, reason])
    with tf.control_dependencies([readable] if readable is not None else []):
        return tf.ensure_shape(tf.identity(image), (None, None, 3))


def _decode_or_reason(
    contents: tf.Tensor, grey16: Grey16
) -> tuple[tf.Tensor, tf.Tensor]:
    """The image and "", or nothing of it and why it is unreadable.

    But for what TensorFlow decodes: of that an error is raised.
    """

    @tf.autograph.experimental.do_not_convert
    def read(contents) -> tuple[np.ndarray, bytes]:
        # Bytes from a graph, an array of them where TensorFlow runs eagerly.
        try:
            return read_rgb(np.asarray(contents, object).item(), grey16), b""
        except UnreadableImageError as error:
            # Raised in here, TensorFlow would print a traceback of each.
            return np.zeros((0, 0, 3), np.uint8), str(error).encode()

    def jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")
        return image, tf.constant(b"")

    def other() -> tuple[tf.Tensor, tf.Tensor]:
        return tuple(tf.numpy_function(read, [contents], (tf.uint8, tf.string)))

    image, reason = tf.cond(_is_plain_jpeg(contents), jpeg, other)
    return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(reason, ())


def _is_plain_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether a JPEG has no metadata but JFIF's, and not too many pixels.

    An encoder that writes no EXIF data, ICC profile or comment begins with the 20 bytes
    of SOI and APP0 and goes on with a table or a frame, before which EXIF data belong.
    """
    head = tf.io.decode_raw(
        tf.strings.substr(contents, 0, _JFIF + 2), tf.uint8, fixed_length=_JFIF + 2
    )
    begins = tf.reduce_all(head[:6] == _JFIF_START) & (head[_JFIF] == 0xFF)
    plain = begins & tf.reduce_any(head[_JFIF + 1] == _TABLES_AND_FRAMES)

    def small() -> tf.Tensor:
        shape = tf.cast(tf.image.extract_jpeg_shape(contents), tf.int64)
        return (shape[0] * shape[1] <= MAX_PIXELS) & (shape[2] <= 3)

    return tf.cond(plain, small, lambda: tf.constant(False))


def resize_image(
    image: UInt8[tf.Tensor, "h w 3"],
    size: tuple[int, int],
    resize: Resize = "bilinear",
) -> UInt8[tf.Tensor, "{size[0]} {size[1]} 3"]:
    """To height and width, as Pillow does: bilinear, or with Lanczos' window.

    Bilinear means with antialiasing where it shrinks, and is Pillow's to within one
    grey level; Lanczos is Pillow's own.
    """
    if resize == "bilinear":
        return _bilinear(image, *size)
    resized = tf.numpy_function(lambda pixels: lanczos(pixels, size), [image], tf.uint8)
    return tf.ensure_shape(resized, (*size, 3))


def _bilinear(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Pillow's bilinear.

    tf.image.resize(antialias=True) computes the same sums, but its innermost loop runs
    over three channels. Here an axis that shrinks is resized as if the other were
    channels, and one that grows, where antialiasing changes nothing, by the faster
    plain kernel: twice as fast for tall narrow photographs of people, a tenth to a
    quarter where the width shrinks too.
    """
    h, w = tf.shape(image)[0], tf.shape(image)[1]
    low = tf.cond(
        h > height,
        lambda: _shrink_rows(image, height),
        lambda: tf.cast(image, tf.float32),
    )

    def shrink_columns() -> tf.Tensor:
        columns = _shrink_rows(tf.transpose(low, (1, 0, 2)), width)
        return tf.transpose(columns, (1, 0, 2))

    small = tf.cond(w > width, shrink_columns, lambda: low)
    return tf.cast(tf.image.resize(small, (height, width)) + 0.5, tf.uint8)


def _shrink_rows(image: tf.Tensor, height: int) -> tf.Tensor:
    """Float [height w 3]: antialiased bilinear along the first axis."""
    shape = tf.shape(image)
    flat = tf.reshape(image, (1, shape[0], 1, shape[1] * 3))
    flat = tf.raw_ops.ScaleAndTranslate(
        images=flat,
        size=(height, 1),
        scale=tf.stack([height / tf.cast(shape[0], tf.float32), 1.0]),
        translation=(0.0, 0.0),
        kernel_type="triangle",
        antialias=True,
    )
    return tf.reshape(flat, (height, shape[1], 3))


def contents_of(images: Images) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function, for tf.data, from a path to what the file holds."""
    if images.read is read_file:
        return tf.io.read_file  # needs no Python

    def contents(path: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(read, [path], tf.string), ())

    def read(path: bytes) -> bytes:
        return images.read(os.fsdecode(path))

    return contents


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
        image, reason = _decode_or_reason(contents(path), grey16)
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


def aligned_empty(shape: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """An uninitialised uint8 array that TensorFlow can use without a copy."""
    size = int(np.prod(shape))
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].reshape(shape)
