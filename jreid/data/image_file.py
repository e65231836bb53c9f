"""Image files of every kind as upright RGB, read by Pillow within bounds of memory."""

import io
from typing import TYPE_CHECKING, Literal

import numpy as np

from jreid.data.grey16 import HIGH_BYTES, Grey16, is_grey16
from jreid.shapes import Int, UInt8, UInt16

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# Filters that bring images to a size, all antialiased where they shrink.
Resize = Literal["bilinear", "bicubic", "lanczos"]

KINDS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
# Of a picture, checked before it is decoded: 200 MB as RGB.
MAX_PIXELS = 2**26
MAX_SIDE = 2**16 - 1  # pixels, which is JPEG's limit

_ORIENTATION = 0x0112  # EXIF's tag


class UnreadableImageError(ValueError):
    """The bytes are no image that can be decoded, or one that is too large."""


def read_rgb(
    contents: bytes, grey16: Grey16 = HIGH_BYTES
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture that a viewer shows: upright, 8 bits per channel, without alpha.

    The content decides, not a file's suffix. EXIF's orientation is applied. Of an
    animation the first frame is taken; grey values of 16 bits are scaled as `grey16`
    says; grey is repeated in three channels; CMYK and palettes are converted as Pillow
    does.

    Raises:
        UnreadableImageError: empty, of another kind, damaged or cut off, or of more
            than MAX_PIXELS pixels or MAX_SIDE on a side by its header: then nothing is
            decoded.
    """
    return as_rgb(read_pixels(contents), grey16)


def read_pixels(
    contents: bytes,
) -> UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"]:
    """`read_rgb` before grey values of 16 bits are scaled: those stay as they are."""
    from PIL import Image, UnidentifiedImageError

    if not contents:
        raise UnreadableImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(contents), formats=KINDS) as image:
            check_size(*image.size)
            image.load()
            return upright_pixels(image)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError(
            f"Unknown image file format, or damaged: {', '.join(KINDS)} can be read"
        ) from None
    except Image.DecompressionBombError as error:  # far above MAX_PIXELS
        raise UnreadableImageError(
            f"too many pixels: at most {MAX_PIXELS} are decoded ({error})"
        ) from None
    except Exception as error:  # Pillow's readers raise anything on damaged bytes
        raise UnreadableImageError(f"damaged: {type(error).__name__}: {error}") from (
            error
        )


def as_rgb(
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"],
    grey16: Grey16 = HIGH_BYTES,
) -> UInt8[np.ndarray, "h w 3"]:
    """Colour as it is; grey values of 16 bits scaled and in three channels."""
    if pixels.ndim == 3:
        return pixels
    return np.repeat(grey16(pixels.astype(np.int64))[..., None], 3, axis=-1)


def resized_by_pillow(
    pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], resize: Resize
) -> UInt8[np.ndarray, "{size[0]} {size[1]} 3"]:
    """By Pillow's own filter, which rounds to grey levels between its two passes."""
    from PIL import Image

    height, width = size
    resampling = Image.Resampling[resize.upper()]
    return np.asarray(Image.fromarray(pixels).resize((width, height), resampling))


def check_size(width: int, height: int) -> None:
    """Refuses, by its header, a picture that would take too much memory."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UnreadableImageError(
            f"{width} x {height} pixels are too many: at most {MAX_PIXELS} in all and "
            f"{MAX_SIDE} on a side are decoded"
        )


def grey16_values(contents: bytes) -> Int[np.ndarray, "h w"] | None:
    """The values of a 16-bit grey PNG; None of other kinds, and of damaged ones."""
    from PIL import Image

    if not is_grey16(contents):
        return None
    try:
        with Image.open(io.BytesIO(contents), formats=KINDS) as image:
            check_size(*image.size)
            return np.asarray(image).astype(np.int64)
    except Exception:  # whoever decodes it says what is wrong
        return None


def upright_pixels(
    image: "PillowImage",
) -> UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"]:
    """An image of Pillow's as `read_pixels` gives it: upright, without alpha."""
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    turn = turns.get(_orientation(image))
    if turn is not None:  # FLIP_LEFT_RIGHT is 0
        image = image.transpose(turn)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
        return _within_16_bits(np.asarray(image).astype(np.int64))
    image.info.pop("transparency", None)  # alpha is dropped, without a warning
    return np.asarray(image.convert("RGB"))


def _within_16_bits(values: Int[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w"]:
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError(
            f"grey values from {values.min()} to {values.max()}; allowed is 0 to 65535"
        )
    return values.astype(np.uint16)


def _orientation(image: "PillowImage") -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or its data are damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the picture itself is whole
        return 1
