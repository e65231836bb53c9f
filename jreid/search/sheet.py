"""A picture of what a search has found: the query, and the best images beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.data.image_file import UnreadableImageError, as_rgb
from jreid.data.single_image import AnyImage, pixels_of
from jreid.search.records import Hit

_CELL = (96, 192)  # width and height of an image with its frame, pixels
_FRAME, _GAP, _MARGIN, _CAPTION = 5, 10, 24, 50
_COLUMNS = 10  # images in a row
_RIGHT, _WRONG, _PLAIN = "#1a9641", "#d7191c", "#404040"
_INK = "#202020"


def save_sheet(
    path: Path,
    queries: Sequence[AnyImage],
    hits: Sequence[Hit],
    files: Sequence[Path],
    *,
    identity: str | None = None,
    grey16: Grey16 = HIGH_BYTES,
) -> None:
    """Writes a PNG: query images in the first row, then what was found, in order.

    Args:
        queries: the images that were searched with.
        hits, files: what was found, and where these images are.
        identity: of the query, where it is known: frames are then green or red, and
            captions say "ok" or "x".
        grey16: how grey values of 16 bits are shown.
    """
    from PIL import Image, ImageDraw

    cells = [(query, _PLAIN, f"query {n}") for n, query in enumerate(queries, 1)]
    rows = [cells[i : i + _COLUMNS] for i in range(0, len(cells), _COLUMNS)]
    found = [
        (file, *_of_hit(rank, hit, identity))
        for rank, (hit, file) in enumerate(zip(hits, files, strict=True), 1)
    ]
    rows += [found[i : i + _COLUMNS] for i in range(0, len(found), _COLUMNS)]
    step = (_CELL[0] + _GAP, _CELL[1] + _CAPTION + _GAP)
    width = 2 * _MARGIN + max(map(len, rows)) * step[0] - _GAP
    sheet = Image.new("RGB", (width, 2 * _MARGIN + len(rows) * step[1]), "white")
    draw = ImageDraw.Draw(sheet)
    for y, row in enumerate(rows):
        for x, (image, colour, caption) in enumerate(row):
            corner = (_MARGIN + x * step[0], _MARGIN + y * step[1])
            sheet.paste(_framed(image, colour, grey16), corner)
            below = (corner[0], corner[1] + _CELL[1] + 3)
            draw.multiline_text(below, caption, _INK, font=_font(), spacing=2)
    sheet.save(path, format="PNG")


def _of_hit(rank: int, hit: Hit, identity: str | None) -> tuple[str, str]:
    """Colour of the frame, and what is written below."""
    colour, mark = _PLAIN, ""
    if identity is not None and hit.identity is not None:
        right = hit.identity == identity
        colour, mark = (_RIGHT, " ok") if right else (_WRONG, " x")
    known = f"d {hit.distance:.3f}"
    if hit.probability is not None:
        known = f"P {hit.probability:.3f}"
    camera = "" if hit.camera is None else f"cam {hit.camera} "
    return colour, f"{rank}{mark}\n{known}\n{camera}{hit.modality}"


def _framed(image: AnyImage, colour: str, grey16: Grey16):
    """The image in a coloured frame; its aspect ratio is not kept."""
    from PIL import Image, ImageOps

    inner = (_CELL[0] - 2 * _FRAME, _CELL[1] - 2 * _FRAME)
    try:
        pixels = as_rgb(pixels_of(image), grey16)
    except UnreadableImageError:  # its file has gone since it was indexed
        pixels = np.full((2, 1, 3), 221, np.uint8)
    resized = Image.fromarray(pixels).resize(inner, Image.Resampling.BICUBIC)
    return ImageOps.expand(resized, _FRAME, colour)


def _font():
    from PIL import ImageFont

    return ImageFont.load_default(12)
