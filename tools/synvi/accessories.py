"""Rigid things a person wears: shoes, hair, hats, bags; built at rest, bone by bone."""

import numpy as np
import trimesh  # pyright: ignore[reportMissingImports]

from synvi.body import FIELDS, W_ARM, W_HEAD, Z
from synvi.fabric import MIDDLE_Y
from synvi.surface import HAIRPIECE, HEADGEAR, HOOD, LUGGAGE, SHOES, Surface


def accessories(body, person, rest):
    """All of them as a list of Surface in the person's rest pose."""
    return [
        *_shoes(body, rest),
        *_hair(body, person.head, rest),
        *_hat(body, person.head, rest),
        *_bag(body, person.carried, rest),
    ]


def _shoes(body, rest):
    """A shoe is the convex hull of the foot, a little larger, on a sole."""
    for side in "LR":
        foot = body.weight((f"foot.{side}",)) + sum(
            body.weight((f"toe{i}-",)) for i in range(1, 6)
        )
        sided = np.sign(rest.vertices[:, 0]) == (1 if side == "L" else -1)
        points = rest.vertices[(foot > 0.5) & sided]
        hull = trimesh.convex.convex_hull(points).subdivide()
        centre = hull.vertices.mean(0)
        vertices = centre + (hull.vertices - centre) * (1.12, 1.06, 1.1)
        height = vertices[:, 2] - vertices[:, 2].min()
        vertices[:, 2] -= 0.012 * (height < 0.03)
        yield _worn(SHOES, f"foot.{side}", vertices, hull.faces, height)


def _worn(kind, bone, vertices, faces, height):
    """A rigid surface; its one field is a height of its own, [v] or a number."""
    fields = np.zeros((len(vertices), FIELDS))
    fields[:, Z] = height
    return Surface(kind, np.asarray(vertices), np.asarray(faces), fields, bone)


def _on_head(body, rest, centre, radii, squareness=1.0):
    """An ellipsoid given in the average head's frame, placed on this head."""
    average = body.joint(body.average, "head")
    ball = trimesh.creation.icosphere(3)
    unit = np.sign(ball.vertices) * np.abs(ball.vertices) ** squareness
    vertices = unit * radii + centre - average + body.joint(rest, "head")
    return vertices, np.asarray(ball.faces)


def _hair(body, head, rest):
    """What hangs from the head; the hair on the scalp is part of the body."""
    long = head.length
    pieces = {
        "bob": [((0, -0.05, 0.66), (0.102, 0.085, 0.125))],
        "long": [
            ((0, -0.045, 0.66), (0.1, 0.08, 0.125)),
            ((0, -0.015, 0.64 - long / 2), (0.115, 0.055, long / 2 + 0.06)),
        ],
        "tail": [((0, 0.03, 0.68 - long / 2), (0.034, 0.04, long / 2 + 0.03))],
        "bun": [((0, -0.03, 0.785), (0.05, 0.05, 0.045))],
    }
    tucked = head.hat == "hood"
    for centre, radii in [] if tucked else pieces.get(head.hair, []):
        vertices, faces = _on_head(body, rest, centre, radii, 0.85)
        yield _worn(HAIRPIECE, "head", vertices, faces, 0)


def _hat(body, head, rest):
    """Cap, beanie or brimmed hat, whose field is the height over the rim; or a hood."""
    hat = head.hat
    if hat == "none":
        return
    if hat == "hood":
        vertices, faces = _on_head(body, rest, (0, -0.085, 0.66), (0.118, 0.135, 0.15))
        centre = vertices.mean(0)
        out = (vertices[faces].mean(1) - centre) / (0.118, 0.135, 0.15)
        faces = faces[out[:, 1] > -0.62]
        yield _worn(HOOD, "head", vertices, faces, 0)
        return
    puff = 0.6 * head.volume
    crown = {"cap": 0.1, "beanie": 0.135, "brim": 0.115}[hat]
    radii = np.array((0.096, 0.124, crown)) + puff
    vertices, faces = _on_head(body, rest, (0, -0.105, 0.69), radii)
    height = vertices[:, 2] - vertices[:, 2].mean()
    vertices[:, 2] -= np.minimum(height + 0.012, 0)  # flat rim, so a smooth border
    yield _worn(HEADGEAR, "head", vertices, faces, height)
    if hat in ("cap", "brim"):
        shape = (0.08, 0.095, 0.009) if hat == "cap" else (0.2, 0.21, 0.01)
        centre = (0, -0.225, 0.7) if hat == "cap" else (0, -0.105, 0.7)
        vertices, faces = _on_head(body, rest, centre, shape)
        yield _worn(HEADGEAR, "head", vertices, faces, 0.1)


def _bag(body, carried, rest):
    """A rounded box on the back, at the hip or in a hand; its field runs -1 to 1."""
    if carried.bag == "none":
        return
    size, side = carried.size, carried.side
    torso = rest.vertices[
        (body.fields[:, W_ARM] < 0.2) & (body.fields[:, W_HEAD] < 0.2)
    ]
    chest = body.joint(rest, "spine02")
    back = torso[np.abs(torso[:, 2] - chest[2]) < 0.1][:, 1].max()
    hips = np.abs(torso[np.abs(torso[:, 2]) < 0.05][:, 0]).max()
    bone = "spine02"
    if carried.bag == "backpack":
        radii = np.array((0.155, 0.085, 0.22)) * size
        centre = np.array((0, back + 0.8 * radii[1], chest[2] + 0.05))
    elif carried.bag == "sling":
        bone, radii = "spine05", np.array((0.06, 0.15, 0.12)) * size
        centre = np.array((side * (hips + 0.05), MIDDLE_Y + 0.03, -0.02))
    else:
        bone = "wrist.L" if side > 0 else "wrist.R"
        radii = np.array((0.07, 0.17, 0.14)) * size
        if carried.bag == "case":
            radii = np.array((0.08, 0.17, 0.19)) * (0.8 + 0.2 * size)
        hand = body.joint(rest, bone)
        centre = hand - (0, 0, 0.13 + radii[2] * 1.1)
        rod = trimesh.creation.torus(radii[2] * 0.9, 0.012, 24, 8)
        rod.apply_transform(
            trimesh.transformations.rotation_matrix(np.pi / 2, (0, 1, 0))
        )
        handle = rod.vertices + hand - (0, 0, 0.13 + radii[2] * 0.75)
        yield _worn(LUGGAGE, bone, handle, rod.faces, 1)
    ball = trimesh.creation.icosphere(3)
    unit = np.sign(ball.vertices) * np.abs(ball.vertices) ** 0.5
    yield _worn(LUGGAGE, bone, unit * radii + centre, ball.faces, unit[:, 2])
