"""The lens: a pinhole whose picture is the detector's box around a person."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rays:
    """Unit directions [n, 3] from `origin` [3], row by row over the picture.

    `radius` [n]: distance from the picture's centre, 0.5 at its top and bottom.
    """

    origin: np.ndarray
    directions: np.ndarray
    radius: np.ndarray


class View:
    """Where the lens stands and which window it shows, both drawn from `rng`.

    The window is twice as high as wide and encloses `vertices` [v, 3] up to the
    jitter of a person detector.
    """

    def __init__(self, camera, vertices, rng):
        self.origin = np.array(
            (
                rng.normal(0, 0.3),
                -camera.distance * rng.uniform(0.85, 1.15),
                camera.height * rng.uniform(0.9, 1.1),
            )
        )
        forward = np.array((0, 0, vertices[:, 2].max() / 2)) - self.origin
        self.forward = forward / np.linalg.norm(forward)
        right = np.cross(self.forward, (0, 0, 1))
        self.right = right / np.linalg.norm(right)
        self.up = np.cross(self.right, self.forward)
        seen = vertices - self.origin
        depth = seen @ self.forward
        across, above = seen @ self.right / depth, seen @ self.up / depth
        self.size = np.ptp(above) * rng.uniform(1.02, 1.16)
        middle = across.max() + across.min(), above.max() + above.min()
        self.middle = np.array(middle) / 2 + self.size * rng.normal(0, (0.015, 0.02))

    def rays(self, height, width):
        """One ray through the middle of each cell of a height x width grid."""
        up = (0.5 - (np.arange(height) + 0.5) / height) * self.size
        aside = ((np.arange(width) + 0.5) / width - 0.5) * self.size / 2
        up, aside = (part.ravel() for part in np.meshgrid(up, aside, indexing="ij"))
        directions = (
            self.forward
            + (aside + self.middle[0])[:, None] * self.right
            + (up + self.middle[1])[:, None] * self.up
        )
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return Rays(self.origin, directions, np.hypot(up, aside) / self.size)
