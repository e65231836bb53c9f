"""What one identity looks like: body, garments, carried things, and their fabrics."""

import colorsys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

# Materials: rows of a person's palettes.
(SKIN, HAIR, EYE, TOP, TOP2, BOTTOM, BOTTOM2, LEGWEAR) = range(8)
(SHOE, SOLE, BAG, BAG2, HAT, HAT2) = range(8, 14)
MATERIALS = 14
PAIRS = ((TOP, TOP2), (BOTTOM, BOTTOM2), (BAG, BAG2), (HAT, HAT2))

TOP_PATTERNS = {
    "plain": 0.14,
    "bands": 0.16,
    "columns": 0.09,
    "checks": 0.12,
    "chest": 0.10,
    "halves": 0.08,
    "diagonal": 0.09,
    "raglan": 0.08,
    "sides": 0.05,
    "logo": 0.09,
}
BOTTOM_PATTERNS = {
    "plain": 0.48,
    "seam": 0.12,
    "knee": 0.12,
    "bands": 0.10,
    "checks": 0.09,
    "halves": 0.09,
}
# Patterns whose two fabrics cover like areas keep their light-dark order in infrared,
# so that the order can be learned while the mean brightness still says nothing.
BALANCED = ("bands", "columns", "checks", "halves", "diagonal", "sides")
HAIR_STYLES = ("cropped", "short", "short", "bob", "long", "long", "tail", "bun")
HAIR_COLOURS = np.array(
    [(0.06, 0.05, 0.05), (0.16, 0.1, 0.06), (0.3, 0.17, 0.08), (0.6, 0.6, 0.62)]
)
HATS = ("none", "none", "none", "none", "cap", "beanie", "brim", "hood")
BAGS = ("none", "none", "backpack", "backpack", "sling", "sling", "handbag", "case")
FALLS = {"hip": (-0.05, 0.04), "long": (0.1, 0.2), "coat": (0.36, 0.68)}
LENGTHS = {"trousers": (0.97, 1.0), "cropped": (0.68, 0.78), "shorts": (0.3, 0.46)}


@dataclass(frozen=True)
class Person:
    """One identity, as drawn by `draw_person`.

    `shape` [6] anny's phenotypes; `visible` [m, 3] and `infrared` [m] reflectances
    in [0, 1] per material; `top`, `bottom`, `head`, `carried`, `gait` hold the cuts,
    patterns and sizes. Lengths of sleeves and legs are fractions of the limb, other
    sizes metres.
    """

    shape: np.ndarray
    visible: np.ndarray
    infrared: np.ndarray
    top: SimpleNamespace
    bottom: SimpleNamespace
    head: SimpleNamespace
    carried: SimpleNamespace
    gait: SimpleNamespace


def draw_person(rng):
    """Draw an identity from a NumPy generator; everybody is fully clothed."""
    top, bottom = _draw_top(rng), _draw_bottom(rng)
    if bottom.kind == "skirt" and rng.random() < 0.3:
        bottom.dress = True
    visible = _visible_palette(rng, bottom.dress)
    return Person(
        shape=rng.uniform(
            (0, 0.42, 0.1, 0.05, 0.1, 0.2), (1, 0.9, 0.9, 0.95, 0.95, 0.9)
        ),
        visible=visible,
        infrared=_infrared_palette(rng, visible, top, bottom),
        top=top,
        bottom=bottom,
        head=SimpleNamespace(
            hair=rng.choice(HAIR_STYLES),
            length=rng.uniform(0.14, 0.36),
            volume=rng.uniform(0.008, 0.03),
            hat=rng.choice(HATS),
            glasses=bool(rng.random() < 0.2),
        ),
        carried=SimpleNamespace(
            bag=rng.choice(BAGS),
            side=int(rng.choice((-1, 1))),
            size=rng.uniform(0.75, 1.35),
            pocket=bool(rng.random() < 0.6),
        ),
        gait=SimpleNamespace(
            stride=rng.uniform(0.22, 0.48),
            swing=rng.uniform(0.2, 0.6),
            stoop=rng.uniform(-0.02, 0.12),
            elbow=rng.uniform(-0.6, -0.1),
        ),
    )


def _pick(rng, weights):
    names = list(weights)
    shares = np.array([weights[name] for name in names])
    return str(rng.choice(names, p=shares / shares.sum()))


def _draw_top(rng):
    hem = rng.choice(("hip", "hip", "hip", "long", "coat"))
    return SimpleNamespace(
        pattern=_pick(rng, TOP_PATTERNS),
        repeats=float(rng.choice((2, 3, 5))),
        offset=rng.uniform(0.35, 0.65),
        slant=float(rng.choice((-1, 1))),
        sleeve=1.0 if hem == "coat" else float(rng.choice((0.0, 0.38, 0.66, 1.0, 1.0))),
        hem=hem,
        fall=rng.uniform(*FALLS[hem]),
        open=bool(rng.random() < 0.22),
        neck=float(rng.choice((0.0, 0.04, 0.07))),
        loose=rng.uniform(0.012, 0.04),
    )


def _draw_bottom(rng):
    kind = rng.choice(
        ("trousers",) * 6 + ("cropped", "shorts", "shorts", "skirt", "skirt")
    )
    low, high = LENGTHS.get(kind, (0.3, 0.85))
    return SimpleNamespace(
        kind=kind,
        pattern=_pick(rng, BOTTOM_PATTERNS),
        length=rng.uniform(low, high),
        repeats=float(rng.choice((3, 5))),
        loose=rng.choice((0.008, rng.uniform(0.015, 0.05))),
        flare=rng.uniform(0.02, 0.22),
        legwear=bool(rng.random() < 0.4),
        dress=False,
        boots=float(rng.choice((0.93, 0.93, 0.93, 0.78, 0.6))),
        sole=bool(rng.random() < 0.5),
    )


def _garment_colour(rng, skin, value_range):
    """A fabric colour [3] that cannot be mistaken for anyone's skin.

    Skin lies around hue 0.07 (of 1) at middle saturation; in the wide band from pink
    to yellow only greys and vivid reds and yellows are allowed.
    """
    while True:
        hue, value = rng.random(), rng.uniform(*value_range)
        saturation = rng.choice((rng.uniform(0, 0.08), rng.uniform(0.35, 0.95)))
        colour = np.array(colorsys.hsv_to_rgb(hue, saturation, value))
        warm, orange = hue < 0.23 or hue > 0.87, 0.015 < hue < 0.13
        skinlike = warm and saturation > 0.1 and (saturation < 0.8 or orange)
        if not skinlike and np.abs(colour - skin).max() > 0.25:
            return colour


def _visible_palette(rng, dress):
    """Visible reflectances [m, 3]; the two fabrics of a pattern differ in lightness."""
    skin = np.array((0.82, 0.62, 0.5)) * rng.uniform(0.35, 1.08)
    palette = np.tile(skin, (MATERIALS, 1))
    palette[HAIR] = HAIR_COLOURS[rng.integers(len(HAIR_COLOURS))]
    palette[EYE] = skin * 0.35
    for pair in PAIRS:
        dark = _garment_colour(rng, skin, (0.06, 0.32))
        light = _garment_colour(rng, skin, (0.75, 1.0))
        order = (dark, light) if rng.random() < 0.5 else (light, dark)
        palette[list(pair)] = order
    palette[LEGWEAR] = _garment_colour(rng, skin, (0.05, 0.25))
    palette[SHOE] = _garment_colour(rng, skin, rng.choice(((0.05, 0.25), (0.7, 1.0))))
    palette[SOLE] = 0.9 if palette[SHOE].max() < 0.5 else 0.15
    if dress:
        palette[[BOTTOM, BOTTOM2]] = palette[[TOP, TOP2]]
    return palette


def _infrared_palette(rng, visible, top, bottom):
    """Near-infrared reflectances [m], drawn without looking at the visible colours.

    Skin is mid-grey; every fabric is clearly darker or clearly brighter.
    """
    palette = np.full(MATERIALS, rng.uniform(0.46, 0.54))
    palette[HAIR] = rng.uniform(0.12, 0.34)
    palette[EYE] = 0.2
    for pair, pattern in zip(PAIRS, (top.pattern, bottom.pattern, "", ""), strict=True):
        levels = rng.uniform(0.05, 0.25), rng.uniform(0.85, 1.05)
        rising = rng.random() < 0.5
        if pattern in BALANCED:
            rising = visible[pair[0]].mean() < visible[pair[1]].mean()
        palette[list(pair)] = levels if rising else levels[::-1]
    palette[LEGWEAR] = rng.uniform(0.08, 0.22)
    palette[SHOE] = rng.choice((rng.uniform(0.06, 0.22), rng.uniform(0.8, 1.0)))
    palette[SOLE] = 0.95 if palette[SHOE] < 0.5 else 0.12
    if bottom.dress:
        palette[[BOTTOM, BOTTOM2]] = palette[[TOP, TOP2]]
    return palette
