"""A first convolution's kernels where images have more channels than the file's.

Those of the further channels are the mean of the others, as of RGB-D images.
"""

import numpy as np

from jreid.shapes import Float

FIRST = "stem/conv1/kernel"
"""The one array of a file whose channels are an image's."""


def further_channels(
    kernels: Float[np.ndarray, "k k c f"], shape: tuple[int, ...]
) -> int:
    """How many channels an array of this shape has beyond the kernels; else 0."""
    height, width, channels, features = kernels.shape
    if len(shape) != 4 or (*shape[:2], shape[3]) != (height, width, features):
        return 0
    return max(shape[2] - channels, 0)


def widened(
    kernels: Float[np.ndarray, "k k c f"], further: int
) -> Float[np.ndarray, "k k c2 f"]:
    """The kernels, and their mean for each further channel."""
    means = np.repeat(kernels.mean(2, keepdims=True), further, axis=2)
    return np.concatenate([kernels, means], 2)
