"""CMC plots, reliability diagrams, rank-list sheets and heat maps as PNG files."""

import io
import os
import pathlib
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from jreid.data.grey16 import HIGH_BYTES, Grey16
from jreid.data.image_file import read_rgb
from jreid.evaluation.rank_lists import RankList
from jreid.evaluation.score import Score
from jreid.evaluation.table import row_name
from jreid.evaluation.telling_curves import APART, telling_curves
from jreid.shapes import Float, Int, UInt8

# Okabe and Ito's colours, told apart with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_PLOT_RANKS = 20
_LETTERS = 66  # that stand side by side below a panel

_CELL = (96, 192)  # width and height of an image with its frame, pixels
_FRAME, _GAP, _MARGIN = 5, 10, 24
_CAPTION, _COLUMN_HEADING, _TITLE = 34, 26, 44  # heights
_STEP = (_CELL[0] + _GAP, _CELL[1] + _CAPTION + _GAP)
_RIGHT, _WRONG, _QUERY = "#1a9641", "#d7191c", "#404040"
_INK, _PALE_INK = "#202020", "#606060"


def save_cmc_plot(
    path: str | os.PathLike[str],
    scores: Sequence[Score],
    *,
    ranks: int = _PLOT_RANKS,
) -> None:
    """CMC curves in percent, a panel per setting, dashed where re-ranked.

    Curves that cannot be told from one that is drawn are named below the panel.
    """
    # The object interface: pyplot would keep a figure and choose a backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(score.setting for score in scores))
    features = list(dict.fromkeys(score.feature for score in scores))
    columns = min(2, len(settings))
    rows = -(-len(settings) // columns)
    figure = Figure(figsize=(6.0 * columns, 4.2 * rows), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for setting, panel in zip(settings, panels, strict=False):
        shown, alike = telling_curves([s for s in scores if s.setting == setting])
        for score in shown:
            curve = 100 * np.array(score.cmc[:ranks])
            panel.plot(
                np.arange(1, len(curve) + 1),
                curve,
                color=_COLOURS[features.index(score.feature) % len(_COLOURS)],
                linestyle="--" if score.reranked else "-",
                marker="o",
                markersize=3,
                label=f"{row_name(score)}  ({100 * score.mean['R-1']:.1f})",
            )
        panel.set_title(f"{shown[0].protocol} protocol, {setting}")
        panel.set_xlabel("\n".join(["rank", *_left_out(alike)]))
        panel.set_ylabel("queries matched within rank (%)")
        panel.set_xlim(0.5, ranks + 0.5)
        panel.set_xticks([1, *range(5, ranks + 1, 5)])
        panel.set_ylim(top=101)
        panel.grid(color="#dddddd")
        panel.legend(title="feature (R-1 in %)", loc="best")
    for panel in panels[len(settings) :]:
        panel.remove()
    canvas.print_figure(path, dpi=120, format="png")


@runtime_checkable
class Reliable(Protocol):
    """Probabilities in bins, see `jreid.search.reliability.Reliability`."""

    @property
    def probability(self) -> Float[np.ndarray, " bins"]:
        """The mean of each bin."""
        ...

    @property
    def share(self) -> Float[np.ndarray, " bins"]:
        """How many of the bin's pairs are of the same person."""
        ...

    @property
    def weight(self) -> Float[np.ndarray, " bins"]:
        """How many of all pairs are in the bin."""
        ...

    @property
    def error(self) -> float:
        """The expected calibration error."""
        ...


def save_reliability_diagram(
    path: str | os.PathLike[str], of_pairs: Mapping[str, Reliable]
) -> None:
    """What came true of each probability, a line for each pair of modalities.

    The area of a point is the share of pairs in its bin.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not of_pairs:
        raise ValueError("a reliability diagram needs probabilities")
    figure = Figure(figsize=(5.4, 5.2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color="#808080", linewidth=1, linestyle=":")
    for (name, made), colour in zip(of_pairs.items(), _COLOURS, strict=False):
        label = f"{name}  (ECE {made.error:.3f})"
        panel.plot(made.probability, made.share, color=colour, label=label)
        sizes = 12 + 300 * made.weight
        panel.scatter(made.probability, made.share, sizes, color=colour, alpha=0.6)
    panel.set_xlabel("predicted probability of the same person")
    panel.set_ylabel("share of pairs of the same person")
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(-0.02, 1.02)
    panel.set_aspect("equal")
    panel.grid(color="#dddddd")
    panel.legend(loc="upper left")
    canvas.print_figure(path, dpi=120, format="png")


def heat_map_picture(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    maps: Sequence[Float[np.ndarray, "_ _"]],
    title: str,
) -> bytes:
    """Each image beside its map over its grey values, as a PNG file.

    One scale for all maps: red is above 0, blue below, white 0.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Two columns an image, and one of the scale.
    figure = Figure(figsize=(1.5 * (2 * len(images)) + 0.9, 3.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 * len(images))
    limit = max(float(np.abs(of_image).max()) for of_image in maps) or 1.0
    names = ("query", "gallery image")
    for number, (pixels, of_image) in enumerate(zip(images, maps, strict=True)):
        plain, heat = panels[2 * number : 2 * number + 2]
        height, width = pixels.shape[:2]
        extent = (0, width, height, 0)
        plain.imshow(pixels, extent=extent)
        plain.set_title(names[number], fontsize=9)
        heat.imshow(pixels.mean(axis=-1), cmap="gray", vmin=0, vmax=255, extent=extent)
        drawn = heat.imshow(
            of_image,
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            # Where nothing speaks for the match, the image is seen.
            alpha=0.85 * (np.abs(of_image) / limit) ** 0.7,
            interpolation="bilinear",
            extent=extent,
        )
    for panel in panels:
        panel.set_axis_off()
    figure.suptitle(title, fontsize=10)
    scale = figure.colorbar(drawn, ax=list(panels), fraction=0.04)
    scale.set_label("share of the similarity, per location", fontsize=8)
    scale.ax.tick_params(labelsize=7)
    file = io.BytesIO()
    canvas.print_figure(file, dpi=110, format="png")
    return file.getvalue()


def _left_out(alike: Sequence[Score]) -> list[str]:
    names = ", ".join(
        f"{row_name(score)} ({100 * score.mean['R-1']:.1f})" for score in alike
    )
    told = f"within {100 * APART:.0f} points of a curve above: {names}"
    return textwrap.wrap(told, _LETTERS) if names else []


def _read_file(path: str) -> bytes:
    return pathlib.Path(path).read_bytes()


def save_rank_sheet(
    path: str | os.PathLike[str],
    lists: Sequence[RankList],
    *,
    paths: np.ndarray,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    title: str = "",
    read: Callable[[str], bytes] = _read_file,
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

    from jreid.data.datasets import MODALITY_NAMES  # of no use to a CMC plot

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
