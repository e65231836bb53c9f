"""Bytes of image files to uint8 arrays, in TensorFlow."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from jreid.data.datasets import Images, read_file
from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.data.image_file import MAX_PIXELS, UnreadableImageError, read_rgb
from jreid.shapes import UInt8

# TensorFlow would take all memory of a GPU that JAX needs; before the first op.
tf.config.set_visible_devices([], "GPU")

_JFIF = 20  # bytes of SOI and a JFIF segment without a thumbnail
_JFIF_START = np.array([0xFF, 0xD8, 0xFF, 0xE0, 0, 16], np.uint8)
# DQT, DHT, DRI; SOF0 and SOF2
_TABLES_AND_FRAMES = np.array([0xDB, 0xC4, 0xDD, 0xC0, 0xC2], np.uint8)

UNREADABLE = "unreadable:"  # begins the reason in TensorFlow's message


def decode(
    contents: tf.Tensor, grey16: Grey16 = HIGH_BYTES
) -> UInt8[tf.Tensor, "h w 3"]:
    """JPEG, PNG, BMP, GIF or WebP bytes as upright RGB: `image_file.read_rgb`'s pixels.

    A JPEG that begins as most do, without EXIF, is decoded by TensorFlow, which needs
    no Python and gives Pillow's pixels exactly (its default DCT would not). All else
    goes through Pillow. The size in the header is checked before anything is decoded.
    """
    image, reason = decode_or_reason(contents, grey16)
    readable = tf.debugging.Assert(tf.equal(reason, b""), [UNREADABLE, reason])
    with tf.control_dependencies([readable] if readable is not None else []):
        return tf.ensure_shape(tf.identity(image), (None, None, 3))


def decode_or_reason(
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


def contents_of(images: Images) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function, for tf.data, from a path to what the file holds."""
    if images.read is read_file:
        return tf.io.read_file  # needs no Python

    def contents(path: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(read, [path], tf.string), ())

    def read(path: bytes) -> bytes:
        return images.read(os.fsdecode(path))

    return contents
