"""Recognises from pixels whether a picture is visible, near-infrared or thermal.

What is looked at, in this order:

1. Grey values of 16 bits are called thermal: few other cameras write them.
2. Three (nearly) equal channels are grey saved as RGB, and called near-infrared. One
   tint for each luminance, as of a night camera's green or of sepia, is grey as well.
   Of at most `FEW_LEVELS` grey levels they are called thermal: that is what the high
   byte leaves of 16 bits.
3. Colours on a curve through the cube of colours are a pseudo-coloured picture, called
   thermal: either one of the usual colour maps, which JPEG does not hide, or any curve,
   told by how the error of k-means falls with k, which needs a file without loss.
4. All others are visible.

A grey picture of a visible camera cannot be told from a near-infrared one by these, nor
from an 8-bit thermal one: it is called near-infrared, and a warning says so.
docs/calibration.md has the numbers measured.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from jreid.data.grey16 import FEW_LEVELS, HIGH_BYTES
from jreid.search.colour_maps import COLOUR_MAPS
from jreid.search.crops import look_at_crop
from jreid.shapes import Float, UInt8, UInt16

GREY_CHROMA = 8.0  # levels between the channels: what JPEG adds to a grey picture
TINTED = 0.14  # of the chroma may differ from the tint of its luminance,
TINTED_LEVELS = 5.0  # or twice that where it is as little as JPEG adds
MAP_CHROMA = 40.0  # median levels between the channels of colour maps
MAP_DISTANCE = 16.0  # median levels from a colour map, after JPEG
CURVE_RATIO = 3.1  # of the errors with 8 and 32 colours: 4 of a curve, 2 of a surface
_PIXELS = 1000  # that are looked at
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Recognition:
    """What a picture looks to be."""

    modality: Literal["visible", "infrared"]
    """Which of the network's two stems it belongs to."""
    kind: Literal["visible", "near-infrared", "thermal"]
    numbers: dict[str, Any] = field(default_factory=dict)
    """What was measured, by name."""
    warnings: tuple[str, ...] = ()
    """What whoever gives the picture should know, a sentence each."""


def recognise(
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w"],
) -> Recognition:
    """The modality a picture looks to be of, and what is doubtful about the crop.

    Args:
        pixels: as stored, before any resizing: colour in the order red, green, blue, or
            grey values of 16 bits.
    """
    found = _of_16_bits(pixels) if pixels.ndim == 2 else _of_colours(pixels)
    crop = look_at_crop(pixels)
    return Recognition(
        found.modality,
        found.kind,
        found.numbers | crop.numbers,
        found.warnings + crop.warnings,
    )


def _of_16_bits(values: UInt16[np.ndarray, "h w"]) -> Recognition:
    high = len(np.unique(HIGH_BYTES(values.astype(np.int64))))
    numbers = {
        "bits": 16,
        "grey levels": len(np.unique(values)),
        "grey levels of the high byte": high,
    }
    warnings = ()
    if high <= FEW_LEVELS:
        warnings = (
            f"16-bit grey values from {values.min()} to {values.max()}, of which the "
            f"high byte keeps {high} of 256 levels: train with grey16.by=set or image, "
            "and the run reads them so",
        )
    return Recognition("infrared", "thermal", numbers, warnings)


def _of_colours(pixels: UInt8[np.ndarray, "h w 3"]) -> Recognition:
    colours = _some(_halved(pixels))
    chroma = np.ptp(colours, axis=1)
    numbers: dict[str, Any] = {
        "bits": 8,
        "chroma": round(float(np.median(chroma)), 1),
        "chroma of 95 %": round(float(np.percentile(chroma, 95)), 1),
    }
    if numbers["chroma of 95 %"] <= GREY_CHROMA:
        return _of_grey(pixels, numbers, "three equal channels")
    if numbers["chroma"] >= MAP_CHROMA:
        name, distance = _nearest_map(colours)
        numbers |= {"colour map": name, "from the colour map": round(distance, 1)}
        if distance <= MAP_DISTANCE:
            return _pseudo_coloured(numbers, f"those of {name}")
    off = _off_tint(colours)
    share = off / numbers["chroma of 95 %"]
    numbers["off the tint"] = round(off, 1)
    if share <= TINTED or (off <= TINTED_LEVELS and share <= 2 * TINTED):
        return _of_grey(pixels, numbers, "one tint")
    numbers["curve"] = round(_curve_ratio(_some(pixels.astype(np.float64))), 2)
    if numbers["curve"] >= CURVE_RATIO:
        return _pseudo_coloured(numbers, "of one curve")
    return Recognition("visible", "visible", numbers)


def _pseudo_coloured(numbers: dict[str, Any], what: str) -> Recognition:
    return Recognition(
        "infrared",
        "thermal",
        numbers,
        (
            f"pseudo-coloured: its colours are {what}; a network takes them for "
            "clothes: export grey values",
        ),
    )


def _of_grey(
    pixels: UInt8[np.ndarray, "h w 3"], numbers: dict[str, Any], why: str
) -> Recognition:
    levels = len(np.unique(pixels[..., 1]))
    numbers = numbers | {"grey levels": levels}
    if levels <= FEW_LEVELS:
        return Recognition(
            "infrared",
            "thermal",
            numbers,
            (
                f"only {levels} of 256 grey levels, as of 16-bit thermal values of "
                "which only the high byte is left: export all 16 bits",
            ),
        )
    return Recognition(
        "infrared",
        "near-infrared",
        numbers,
        (
            f"grey ({why}): taken for near-infrared; a visible camera's grey picture, "
            "or an 8-bit thermal one, looks the same: give the modality if it is one",
        ),
    )


def _halved(pixels: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "_ _ 3"]:
    """Means of 2 x 2 pixels, for which JPEG keeps one colour."""
    height, width = (max(1, side // 2) for side in pixels.shape[:2])
    whole = pixels[: 2 * height, : 2 * width].astype(np.float64)
    down, across = (2 if side > 1 else 1 for side in pixels.shape[:2])
    return whole.reshape(height, down, width, across, 3).mean(axis=(1, 3))


def _some(pixels: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "n 3"]:
    """Colours of at most `_PIXELS` pixels, the same ones of the same picture."""
    colours = pixels.reshape(-1, 3)
    if len(colours) <= _PIXELS:
        return colours
    return colours[np.random.default_rng(0).choice(len(colours), _PIXELS, False)]


def _off_tint(colours: Float[np.ndarray, "n 3"]) -> float:
    """How far 95 % of colours are at most from the tint of their luminance, in levels.

    The tint is a parabola of the luminance, for each channel.
    """
    luma = colours @ _LUMA
    powers = np.stack([np.ones_like(luma), luma, luma * luma], axis=1)
    tints, *_ = np.linalg.lstsq(powers, colours - luma[:, None], rcond=None)
    gaps = np.abs(colours - luma[:, None] - powers @ tints).max(axis=1)
    return float(np.percentile(gaps, 95))


def _nearest_map(colours: Float[np.ndarray, "n 3"]) -> tuple[str, float]:
    """The colour map that the colours are nearest to, and their median distance."""
    from scipy.spatial import KDTree

    distances = {
        name: float(np.median(KDTree(curve).query(colours)[0]))
        for name, curve in COLOUR_MAPS.items()
    }
    return min(distances.items(), key=lambda one: one[1])


def _curve_ratio(colours: Float[np.ndarray, "n 3"]) -> float:
    """How k-means' error falls from 8 to 32 colours: by 32/8 on a curve.

    On a surface it falls by the root of that. 0 of a picture of so few colours that it
    tells nothing.
    """
    from scipy.cluster.vq import kmeans2

    if len(np.unique(colours @ [65536, 256, 1])) < 128:
        return 0.0
    errors = []
    for count in (8, 32):
        centres, nearest = kmeans2(
            colours, count, iter=5, minit="++", missing="warn", rng=1
        )
        gaps = colours - centres[nearest]
        errors.append(np.sqrt(np.vecdot(gaps, gaps).mean()))
    return float(errors[0] / errors[1]) if errors[1] else 0.0
