"""Cameras, the places they watch, and things that stand between them and people."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Camera:
    """One of the six cameras; angles in degrees, lengths in metres.

    `yaw` is the side it usually sees (0 front, 180 back); `wall` is the distance
    from person to backdrop; `daylight` is the strength of directed over diffuse light.
    """

    number: int
    infrared: bool
    yaw: float
    height: float
    distance: float
    wall: float
    place: str
    daylight: float


CAMERAS = (
    Camera(1, False, 5, 2.3, 6.0, 3.0, "panels", 0.35),
    Camera(2, False, 55, 2.7, 7.0, 2.2, "tiles", 0.3),
    Camera(3, True, 25, 2.5, 6.0, 2.2, "tiles", 0.0),
    Camera(4, False, 180, 3.2, 9.0, 6.0, "bricks", 0.7),
    Camera(5, False, -55, 3.0, 8.0, 7.0, "windows", 0.7),
    Camera(6, True, -30, 2.9, 8.0, 5.0, "windows", 0.0),
)


class Place:
    """Ground and wall behind one camera, painted by world position.

    Two cameras with the same `place` differ by colours, drawn from `rng`.
    """

    def __init__(self, camera, rng):
        self.camera = camera
        self.cells = rng.random((64, 64))
        hue = rng.uniform(-0.06, 0.06, (3, 3))
        level = rng.uniform((0.3, 0.35, 0.1), (0.6, 0.75, 0.35))
        self.colours = (level[:, None] + hue).clip(0.04, 0.95)  # ground, wall, openings
        self.tile = rng.uniform(0.4, 0.9)
        self.panel = rng.uniform(1.2, 2.2)

    def _noise(self, u, v):
        """Smooth noise in [0, 1] with one bump per unit of u and v."""
        i, j = np.floor(u).astype(int), np.floor(v).astype(int)
        s, t = u - i, v - j
        s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
        c = self.cells
        i, j, i1, j1 = i % 64, j % 64, (i + 1) % 64, (j + 1) % 64
        near = c[i, j] * (1 - s) + c[i1, j] * s
        return near * (1 - t) + (c[i, j1] * (1 - s) + c[i1, j1] * s) * t

    def _mottle(self, u, v):
        return 0.6 + 0.4 * (self._noise(u * 2, v * 2) + self._noise(u * 7, v * 7))

    def ground(self, x, y):
        """Reflectance [n, 3] of the ground at world (x, y): tiles and stains."""
        seams = (x / self.tile % 1 < 0.05) | (y / self.tile % 1 < 0.05)
        shade = self._mottle(x, y) * np.where(seams, 0.7, 1.0)
        return self.colours[0] * shade[:, None]

    def wall(self, x, z):
        """Reflectance [n, 3] of the wall at world (x, z)."""
        base, opening = self.colours[1], self.colours[2]
        column = np.floor(x / self.panel).astype(int)
        u = x / self.panel % 1
        shade = self._mottle(x, z)
        if self.camera.place == "bricks":
            row = np.floor(z / 0.22).astype(int)
            along = (x / 0.55 + 0.5 * (row % 2)) % 1
            brick = self.cells[
                np.floor(x / 0.55 + 0.5 * (row % 2)).astype(int) % 64, row % 64
            ]
            joint = (along < 0.06) | (z / 0.22 % 1 < 0.12)
            shade = shade * np.where(joint, 1.25, 0.75 + 0.4 * brick)
        elif self.camera.place == "tiles":
            joint = (x / 0.6 % 1 < 0.04) | (z / 0.6 % 1 < 0.04)
            shade = shade * np.where(joint, 0.7, 1.0)
        else:
            shade = shade * np.where(u < 0.03, 0.6, 1.0)
        colour = base * shade[:, None]
        kind = self.cells[column % 64, 7]
        low = {"windows": 0.9, "bricks": 1.1}.get(self.camera.place, 0.0)
        inside = (np.abs(u - 0.5) < 0.3) & (z > low) & (z < 2.2)
        hole = inside & (kind > 0.45)
        colour = np.where(hole[:, None], opening * (0.7 + 0.5 * kind)[:, None], colour)
        frame = (np.abs(np.abs(u - 0.5) - 0.3) < 0.025) & (z > low) & (z < 2.2)
        colour = np.where((frame & (kind > 0.45))[:, None], base * 1.3, colour)
        return np.where((z < 0.12)[:, None], base * 0.45, colour)


def places(seed):
    """The six cameras' places for a seed, camera number -> Place."""
    return {
        c.number: Place(c, np.random.default_rng((seed, c.number))) for c in CAMERAS
    }


def occluder(rng, height, width):
    """Something in front of the lens: mask [h, w] in [0, 1] and radiance [h, w, 3].

    A post, a railing, a hedge, or the side of another passer; covers at most about
    a third of the picture.
    """
    v, u = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    kind, side = rng.choice(("post", "rail", "hedge", "passer")), rng.choice((-1, 1))
    reach = rng.uniform(0.18, 0.35)
    if kind == "post":
        middle = 0.5 + side * rng.uniform(0.08, 0.3)
        outside = np.abs(u - middle) - rng.uniform(0.04, 0.1)
    elif kind == "rail":
        bars = np.abs(v / 0.13 % 1 - 0.5) - 0.13
        outside = np.maximum(bars, 1 - reach - v)
    elif kind == "hedge":
        leaves = 0.02 * np.sin(u * rng.uniform(15, 40) + rng.uniform(0, 6))
        outside = 1 - 0.8 * reach + leaves - v
    else:
        inward = u if side > 0 else 1 - u
        lean = rng.uniform(-0.15, 0.15) * (v - 0.5)
        outside = np.maximum(inward - 0.9 * reach - lean, 0.1 - v)
    mask = np.clip(0.5 - outside * height / 2, 0, 1)
    colour = rng.uniform(0.08, 0.55) + rng.uniform(-0.07, 0.07, 3)
    mottle = ndimage.gaussian_filter(rng.normal(0, 0.8, (height, width)), 2)
    return mask, colour * (1 + mottle)[..., None]
