"""Maps of locations over their images, as a PNG file."""

import io
from collections.abc import Sequence

import numpy as np

from jreid.shapes import Float, UInt8


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
