"""Colour maps that thermal pictures are often saved in, as curves of colours.

Values of matplotlib's maps of these names at 17 even steps; between them they are
straight here, which is at most 18 levels off (jet's corners), in the median 2.
"""

import numpy as np

from jreid.shapes import Float

_STEPS = 256  # of a curve

_CORNERS = {
    "gnuplot2": (
        "000000 000040 000080 0000c0 0100ff 3300ff 6500ff 970af5 c92ad5 "
        "fb4ab5 ff6a95 ff8a75 ffaa55 ffca35 ffea15 ffff43 ffffff"
    ),
    "hot": (
        "0b0000 350000 5f0000 890000 b30000 dd0000 ff0800 ff3200 ff5c00 "
        "ff8600 ffb000 ffda00 ffff07 ffff46 ffff85 ffffc4 ffffff"
    ),
    "inferno": (
        "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 "
        "d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4"
    ),
    "jet": (
        "000080 0000c8 0000ff 0040ff 0080ff 00c0ff 16ffe1 49ffad 7dff7a "
        "b1ff46 e4ff13 ffd000 ff9400 ff5900 ff1e00 c40000 800000"
    ),
    "magma": (
        "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 "
        "d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf"
    ),
    "plasma": (
        "0d0887 310597 4c02a1 6600a7 7e03a8 9511a1 aa2395 bc3587 cc4778 "
        "da5a6a e66c5c f0804e f89540 fdac33 fdc527 f8df25 f0f921"
    ),
    "rainbow": (
        "8000ff 6032fe 4062fa 208ef4 00b5eb 20d5e1 40ecd4 60fac5 80ffb4 "
        "a0faa1 c0eb8d e0d377 ffb360 ff8c49 ff5f30 ff2f18 ff0000"
    ),
    "turbo": (
        "30123b 4040a2 466be3 4294ff 28bceb 18ddc2 32f298 6dfe62 a4fc3c "
        "cdec34 eecf3a fdac34 fb7e21 eb500e d02f05 a91601 7a0403"
    ),
    "viridis": (
        "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c "
        "1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725"
    ),
}


def _curve(corners: str) -> Float[np.ndarray, "256 3"]:
    colours = np.array([[*bytes.fromhex(word)] for word in corners.split()])
    places = np.linspace(0, len(colours) - 1, _STEPS)
    known = np.arange(len(colours))
    return np.stack([np.interp(places, known, own) for own in colours.T], axis=1)


COLOUR_MAPS = {name: _curve(corners) for name, corners in _CORNERS.items()}
