"""Grey images of 16 bits, as thermal cameras write them, brought to 8 bits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jreid.shapes import Int, UInt8

FEW_LEVELS = 32  # of the 256: below, a picture is nearly empty
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 26  # bytes: signature, length and name of the first chunk, sides, kind


@dataclass(slots=True)
class Grey16:
    """How a 16-bit grey image becomes one of 8 bits; others stay as they are."""

    by: Literal["window", "image", "set"] = "window"
    """By low to high, by each image's own range, or by that of the training images."""
    low: int = 0
    """Of the window: the value that becomes 0, as those below."""
    high: int = 65535
    """Of the window: the value that becomes 255, as those above."""

    def check(self) -> None:
        """Raises ValueError for a window that is none."""
        if not 0 <= self.low < self.high <= 65535:
            raise ValueError(
                f"low is {self.low} and high {self.high}; allowed is 0 to 65535, low "
                "below high"
            )

    def __call__(self, values: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
        """256 equal steps from low to high: of the whole range, the high byte."""
        if self.by == "set":
            raise ValueError("the range of the training images is not known here")
        low, high = self.low, self.high
        if self.by == "image":
            low, high = int(values.min()), int(values.max())
        steps = (values.astype(np.int64) - low) * 256 // (high - low + 1)
        return np.clip(steps, 0, 255).astype(np.uint8)


HIGH_BYTES = Grey16()


def is_grey16(contents: bytes) -> bool:
    """Whether this is a grey PNG of 16 bits, by its header."""
    kind = contents[_HEADER - 2 : _HEADER]
    return (
        contents.startswith(_PNG) and len(kind) == 2 and kind[0] == 16 and not kind[1]
    )


def window_of(values: Iterable[Int[np.ndarray, "h w"]]) -> Grey16:
    """The window from the lowest value of several images to their highest.

    Without images, that of the high byte: there is nothing to scale.
    """
    ranges = [(int(image.min()), int(image.max())) for image in values]
    if not ranges:
        return Grey16()
    low = min(min(low for low, _ in ranges), 65534)
    return Grey16(low=low, high=max(low + 1, *(high for _, high in ranges)))
