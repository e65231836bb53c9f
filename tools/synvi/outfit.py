"""A dressed person: cloth over the skin, drapes, and the things that are worn."""

import numpy as np

from synvi.accessories import accessories
from synvi.body import ARM, LEG, W_ARM, W_HAND, W_HEAD, W_LEG
from synvi.drape import ROWS, drape
from synvi.fabric import hair_field
from synvi.surface import BODY, DRAPE_BOTTOM, DRAPE_TOP, Surface

CHEST = -0.42  # where tops begin to hang, in leg lengths below the hip


def ramp(values, start, width):
    """0 below `start`, 1 above `start + width`, smooth between."""
    t = np.clip((values - start) / width, 0, 1)
    return t * t * (3 - 2 * t)


class Outfit:
    """All that one person wears, built once in the person's own rest pose."""

    def __init__(self, body, person, rest):
        self.body, self.person, self.rest = body, person, rest
        self.worn = accessories(body, person, rest)
        self.legs, self.average_legs = body.legs(rest), body.legs(body.average)

    def surfaces(self, posed):
        """Every surface of the person, list of Surface.

        `posed` is a `Posed` body of the identity that `clothe` returned.
        """
        body, person, skin = self.body, self.person, posed.vertices
        surfaces = [Surface(BODY, skin, body.faces, body.fields)]
        trunk = (body.fields[:, W_ARM] < 0.3) & (body.fields[:, W_HEAD] < 0.3)
        around = skin[trunk], self.legs, self.average_legs
        top, bottom = person.top, person.bottom
        if bottom.kind == "skirt":
            span, ease = (-0.14, bottom.length), np.full(ROWS, 0.008)
            surfaces.append(drape(DRAPE_BOTTOM, *around, span, ease, bottom.flare))
        ease = np.minimum(np.linspace(-0.006, 0.05, ROWS), 0.01 + 0.3 * top.loose)
        surfaces.append(drape(DRAPE_TOP, *around, (CHEST, top.fall), ease, 0.06))
        for worn in self.worn:
            turn = posed.bones[worn.bone]
            moved = worn.vertices @ turn[:3, :3].T + turn[:3, 3]
            if worn.bone in ("wrist.L", "wrist.R"):  # a held bag hangs upright
                hand = body.joint(self.rest, worn.bone)
                moved = worn.vertices - hand + turn[:3, :3] @ hand + turn[:3, 3]
            surfaces.append(Surface(worn.kind, moved, worn.faces, worn.fields))
        return surfaces

    def clothe(self, identity):
        """The same anny identity with cloth over its skin.

        Cloth bridges what is below it: the covered skin is relaxed first, most on the
        trunk, then moved outwards by the thickness of cloth or hair.
        """
        f, person = self.body.fields, self.person
        top, bottom = person.top, person.bottom
        torso = (1 - f[:, W_ARM] - f[:, W_LEG] - f[:, W_HEAD]).clip(0, 1)
        sleeves = f[:, W_ARM] * (1 - f[:, W_HAND]) * ramp(-f[:, ARM], -top.sleeve, 0.06)
        length = 0.2 if bottom.kind == "skirt" else bottom.length
        legs = f[:, W_LEG] * ramp(-f[:, LEG], -length, 0.04)
        hips = f[:, W_LEG] * ramp(-f[:, LEG], -0.25, 0.2)
        relaxed = 0.95 * torso + 0.8 * hips + 0.08 * sleeves + 0.06 * legs
        widen = 1 + 0.6 * f[:, LEG].clip(0, 1)
        scalp = ramp(hair_field(f), 0, 0.03) * f[:, W_HEAD]
        hair = 0.004 if person.head.hair == "cropped" else person.head.volume
        thickness = (
            torso * (0.008 + top.loose)
            + sleeves * (0.005 + 0.8 * top.loose)
            + legs * (0.006 + bottom.loose * widen)
            + scalp * hair
        )
        skin = np.asarray(identity["rest_vertices"])[0]
        skin = self.body.smooth(skin, relaxed.clip(0, 0.95), 30)
        skin = skin + self.body.normals(skin) * thickness[:, None]
        return identity | {"rest_vertices": skin[None].astype(np.float32)}
