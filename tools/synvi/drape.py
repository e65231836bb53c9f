"""Cloth that hangs around trunk and legs: skirts, and tops from the chest down."""

import numpy as np

from synvi.body import FIELDS, LEG, X, Y, Z
from synvi.fabric import MIDDLE_Y
from synvi.surface import Surface

AROUND, ROWS = 48, 18  # vertices of a drape, around and down


def drape(kind, points, legs, average_legs, span, ease, flare):
    """Cloth around `points` [n, 3], the posed vertices of trunk and legs.

    Each row is as wide as what it must enclose (the support of the points near its
    height) plus `ease`, never narrower than the row above.

    Args:
        legs, average_legs: (height of the hip, length of the leg) of this person at
            rest and of the average body, metres; the second gives the fields.
        span: (top, bottom) in leg lengths below the hip; above it is negative.
        ease: room between body and cloth per row [ROWS], metres.
        flare: least widening, metres per metre.
    """
    fractions = np.linspace(span[0], span[1], ROWS)
    heights = legs[0] - fractions * legs[1]
    angles = np.linspace(-np.pi, np.pi, AROUND, endpoint=False)
    ways = np.stack([np.sin(angles), -np.cos(angles)], 1)
    centre = np.array((0.0, np.median(points[:, 1])))
    radii = np.zeros((ROWS, AROUND))
    for i, height in enumerate(heights):
        near = points[np.abs(points[:, 2] - height) < 0.035, :2]
        reach = ((near - centre) @ ways.T).max(0) + ease[i]
        if i:
            reach = np.maximum(reach, radii[i - 1] + flare * (heights[0] - heights[1]))
        for _ in range(2):
            reach = (np.roll(reach, 1) + 2 * reach + np.roll(reach, -1)) / 4
        radii[i] = reach
    vertices = np.zeros((ROWS, AROUND, 3))
    vertices[..., :2] = centre + radii[..., None] * ways
    vertices[..., 2] = heights[:, None]
    fields = np.zeros((ROWS, AROUND, FIELDS))
    fields[..., X] = 0.16 * ways[:, 0]
    fields[..., Y] = MIDDLE_Y + 0.13 * ways[:, 1]
    fields[..., Z] = (average_legs[0] - fractions * average_legs[1])[:, None]
    fields[..., LEG] = fractions[:, None]
    return Surface(kind, vertices.reshape(-1, 3), _tube(), fields.reshape(-1, FIELDS))


def _tube():
    """Triangles of a tube of ROWS rings of AROUND vertices."""
    i, j = np.meshgrid(np.arange(ROWS - 1), np.arange(AROUND), indexing="ij")
    here, right = i * AROUND + j, i * AROUND + (j + 1) % AROUND
    below, across = here + AROUND, right + AROUND
    first = np.stack([here, right, below], -1).reshape(-1, 3)
    return np.concatenate([first, np.stack([right, across, below], -1).reshape(-1, 3)])
