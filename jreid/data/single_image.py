"""One image at a time, in whatever form, as the network takes it: without TensorFlow.

The rules of reading are those of `image_file`, which training follows as well. Bilinear
resizing is Pillow's arithmetic in floating point, rounded once: training's to within
one grey level (of halves that are rounded the other way).
"""

import os
import pathlib
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.data.image_file import (
    Resize,
    UnreadableImageError,
    as_rgb,
    check_size,
    read_pixels,
    resized_by_pillow,
    upright_pixels,
)
from jreid.shapes import UInt8, UInt16

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# A file's path, its bytes, an image of Pillow's, or an array: uint8 [h w 3] in the
# order red, green, blue, or grey, uint8 or uint16 [h w].
AnyImage: TypeAlias = Union[str, "os.PathLike[str]", bytes, np.ndarray, "PillowImage"]
Pixels: TypeAlias = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"]


def read_image(
    image: AnyImage,
    size: tuple[int, int],
    resize: Resize = "bilinear",
    grey16: Grey16 = HIGH_BYTES,
) -> UInt8[np.ndarray, "{size[0]} {size[1]} 3"]:
    """The image at height and width `size`, read as a run reads its own.

    Args:
        image: see `AnyImage`. Whether an array's channels are in the order blue, green,
            red, as OpenCV reads them, cannot be told: turn them, `array[..., ::-1]`.
        size: height and width in pixels.
        resize: the run's filter.
        grey16: how the run reads grey values of 16 bits.

    Raises:
        UnreadableImageError: names the file, and says what is wrong with it.
        TypeError: an array of another type or shape.
    """
    return to_size(pixels_of(image), size, resize, grey16)


def pixels_of(image: AnyImage) -> Pixels:
    """The image as it is stored, upright: colour of 8 bits, or grey values of 16."""
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, bytes):
        return read_pixels(image)
    if isinstance(image, str | os.PathLike):
        return _from_file(pathlib.Path(image))
    check_size(*image.size)
    return upright_pixels(image.copy())  # which forgets what is said of transparency


def to_size(
    pixels: Pixels,
    size: tuple[int, int],
    resize: Resize = "bilinear",
    grey16: Grey16 = HIGH_BYTES,
) -> UInt8[np.ndarray, "{size[0]} {size[1]} 3"]:
    """What `pixels_of` gives, in 8 bits and at height and width `size`."""
    rgb = as_rgb(pixels, grey16)
    if resize == "bilinear":
        return _bilinear(rgb, size)
    return resized_by_pillow(rgb, size, resize)


def _from_file(path: pathlib.Path) -> Pixels:
    try:
        return read_pixels(path.read_bytes())
    except OSError as error:
        raise UnreadableImageError(
            f"{path} cannot be read: {error.strerror or error}"
        ) from error
    except UnreadableImageError as error:
        raise UnreadableImageError(f"{path}: {error}") from error


def _from_array(array: np.ndarray) -> Pixels:
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[-1] == 3
    if not array.size or not (
        (array.dtype == np.uint8 and (grey or colour))
        or (array.dtype == np.uint16 and grey)
    ):
        raise TypeError(
            f"an array of {array.dtype}{list(array.shape)} is no image; allowed is "
            "uint8 [h, w, 3] in the order red, green, blue, or grey, uint8 or uint16 "
            "[h, w]"
        )
    check_size(array.shape[1], array.shape[0])
    if array.dtype == np.uint16 or colour:
        return array
    return np.repeat(array[..., None], 3, axis=-1)


def _bilinear(
    rgb: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> UInt8[np.ndarray, "{size[0]} {size[1]} 3"]:
    """With antialiasing where it shrinks; Pillow's own on bytes rounds twice."""
    from PIL import Image

    height, width = size
    channels = [
        np.asarray(
            Image.fromarray(rgb[..., channel].astype(np.float32)).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        for channel in range(3)
    ]
    return (np.stack(channels, axis=-1) + 0.5).astype(np.uint8)
