"""Whether a crop is tiny or blurred, and which crops show the same picture."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jreid.shapes import Float, UInt8, UInt16

SMALLEST = (48, 24)  # height and width in pixels of a crop that is not tiny
SHARPNESS_SIZE = (128, 64)  # at which blur is measured
BLURRED = 40.0  # variance of the Laplacian below which a crop is blurred
_HASH_SIDE = 32
_HASH_WAVES = 8


@dataclass(frozen=True)
class CropLook:
    """What was measured of a crop, and what is doubtful about it."""

    numbers: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def look_at_crop(
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"],
) -> CropLook:
    """The crop's size and sharpness, and a sentence of what is wrong with them."""
    height, width = pixels.shape[:2]
    sharp = round(sharpness(pixels), 1)
    warnings = []
    if height < SMALLEST[0] or width < SMALLEST[1]:
        warnings.append(
            f"tiny: {height} x {width} pixels (height x width), less than "
            f"{SMALLEST[0]} x {SMALLEST[1]}"
        )
    if sharp < BLURRED:
        warnings.append(
            f"blurred: the variance of its Laplacian is {sharp} at {SHARPNESS_SIZE[0]} "
            f"x {SHARPNESS_SIZE[1]} pixels, less than {BLURRED:g}"
        )
    numbers = {"height": height, "width": width, "sharpness": sharp}
    return CropLook(numbers, tuple(warnings))


def sharpness(
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"],
) -> float:
    """Variance of the Laplacian of the grey picture at `SHARPNESS_SIZE`.

    Its contrast is first brought to a standard deviation of 50 levels, so that a dark
    picture is not a blurred one. 0 of a picture of one grey value.
    """
    from scipy.ndimage import laplace

    grey = _grey(pixels, SHARPNESS_SIZE)
    spread = grey.std()
    return float(laplace(grey * (50 / spread)).var()) if spread > 0 else 0.0


def perceptual_hash(
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"],
) -> int:
    """64 bits that differ little between copies of a picture that was saved anew.

    The signs of the lowest 8 x 8 cosine waves of the grey picture at 32 x 32 pixels,
    against their median ("pHash": Zauner, "Implementation and Benchmarking of
    Perceptual Image Hash Functions", 2010).
    """
    from scipy.fft import dctn

    waves = dctn(_grey(pixels, (_HASH_SIDE, _HASH_SIDE)), norm="ortho")
    low = waves[:_HASH_WAVES, :_HASH_WAVES].ravel()
    bits = low > np.median(low[1:])  # the first is the mean
    return int.from_bytes(np.packbits(bits).tobytes())


def _grey(pixels: np.ndarray, size: tuple[int, int]) -> Float[np.ndarray, "_ _"]:
    """Luminance at a size, with the antialiasing of Pillow where it shrinks."""
    from PIL import Image

    wide = pixels.astype(np.float32)
    if wide.ndim == 3:
        wide = wide @ np.array([0.299, 0.587, 0.114], np.float32)
    height, width = size
    resized = Image.fromarray(wide).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized).astype(np.float64)
