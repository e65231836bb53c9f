"""A sheet of queries and their best gallery images, as a PNG file."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from jreid.data.datasets import MODALITY_NAMES, read_file
from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.data.image_file import read_rgb
from jreid.evaluation.rank_lists import RankList
from jreid.shapes import Int, UInt8

_CELL = (96, 192)  # width and height of an image with its frame, pixels
_FRAME, _GAP, _MARGIN = 5, 10, 24
_CAPTION, _COLUMN_HEADING, _TITLE = 34, 26, 44  # heights
_STEP = (_CELL[0] + _GAP, _CELL[1] + _CAPTION + _GAP)
_RIGHT, _WRONG, _QUERY = "#1a9641", "#d7191c", "#404040"
_INK, _PALE_INK = "#202020", "#606060"


def save_rank_sheet(
    path: str | os.PathLike[str],
    lists: Sequence[RankList],
    *,
    paths: np.ndarray,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    title: str = "",
    read: Callable[[str], bytes] = read_file,
    grey16: Grey16 = HIGH_BYTES,
) -> None:
    """A sheet like the paper's figure 5: a query per row and its best gallery images.

    Right identities are framed green, wrong ones red, and marked "ok" and "x" in the
    caption, so that the sheet can be read without colours.

    Args:
        lists: queries with their nearest gallery images, as rows of the columns.
        paths: image files.
        ids, cameras, modality: columns of the images; modality 0 is visible, 1
            infrared.
        title: what was scored, printed above the sheet.
        read, grey16: the bytes of an image file, and 16-bit ones, see `Images`.
    """
    from PIL import Image, ImageDraw

    if not lists:
        raise ValueError("a rank-list sheet needs at least one query")
    ranks = max(len(ranked.nearest) for ranked in lists)
    # Twice the gap more between the query and the gallery.
    left = [_MARGIN]
    left += [_MARGIN + 2 * _GAP + _STEP[0] * rank for rank in range(1, ranks + 1)]
    top = _MARGIN + (_TITLE if title else 0) + _COLUMN_HEADING
    width = left[-1] + _CELL[0] + _MARGIN
    height = top + len(lists) * _STEP[1] - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, _INK, font=_font(20))
    for rank, x in enumerate(left):
        name = f"{rank}" if rank else "query"
        middle = (x + _CELL[0] // 2, top - 8)
        draw.text(middle, name, _INK, font=_font(15), anchor="ms")
    for number, ranked in enumerate(lists):
        y = top + number * _STEP[1]
        for rank, row in enumerate([ranked.query, *ranked.nearest.tolist()]):
            colour, mark = _QUERY, ""
            if rank:
                right = ids[row] == ids[ranked.query]
                colour, mark = (_RIGHT, " ok") if right else (_WRONG, " x")
            pixels = read_rgb(read(str(paths[row])), grey16)
            sheet.paste(_framed(pixels, colour), (left[rank], y))
            draw.multiline_text(
                (left[rank], y + _CELL[1] + 3),
                f"id {ids[row]}{mark}\n"
                f"cam {cameras[row]} {MODALITY_NAMES[modality[row]]}",
                _PALE_INK,
                font=_font(12),
                spacing=2,
            )
    sheet.save(path, format="PNG")


def _framed(pixels: UInt8[np.ndarray, "h w 3"], colour: str):
    """The image in a coloured frame, at one size: its aspect ratio is not kept."""
    from PIL import Image, ImageOps

    inner = (_CELL[0] - 2 * _FRAME, _CELL[1] - 2 * _FRAME)
    image = Image.fromarray(pixels)  # those that the network saw
    resized = image.resize(inner, Image.Resampling.BICUBIC)
    return ImageOps.expand(resized, _FRAME, colour)


def _font(size: int):
    from PIL import ImageFont

    return ImageFont.load_default(size)
