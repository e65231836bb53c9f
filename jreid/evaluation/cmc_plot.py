"""CMC curves as a PNG file."""

import os
import textwrap
from collections.abc import Sequence

import numpy as np

from jreid.evaluation.score import Score
from jreid.evaluation.table import row_name
from jreid.evaluation.telling_curves import APART, telling_curves

# Okabe and Ito's, told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "os^D"  # where colours begin again
_PLOT_RANKS = 20
_INSIDE = 8  # curves whose legend still leaves room in a panel
_LETTERS = 66  # that stand side by side below a panel


def save_cmc_plot(
    path: str | os.PathLike[str],
    scores: Sequence[Score],
    *,
    ranks: int = _PLOT_RANKS,
) -> None:
    """CMC curves in percent, a panel per setting, dashed where re-ranked.

    Curves that cannot be told from one that is drawn are named below the panel; the
    legend of many curves stands beside it.
    """
    # The object interface: pyplot would keep a figure and choose a backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(score.setting for score in scores))
    features = list(dict.fromkeys(score.feature for score in scores))
    told = [telling_curves([s for s in scores if s.setting == x]) for x in settings]
    most = max(len(shown) for shown, _ in told)
    width, height, legend = 6.0, 4.2, {"loc": "best"}
    if most > _INSIDE:  # it stands beside them
        width, height = 8.5, max(4.2, 1 + 0.22 * most)
        legend = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    columns = min(2, len(settings))
    rows = -(-len(settings) // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for setting, (shown, alike), panel in zip(settings, told, panels, strict=False):
        for score in shown:
            again, colour = divmod(features.index(score.feature), len(COLOURS))
            curve = 100 * np.array(score.cmc[:ranks])
            panel.plot(
                np.arange(1, len(curve) + 1),
                curve,
                color=COLOURS[colour],
                linestyle="--" if score.reranked else "-",
                marker=_MARKERS[again % len(_MARKERS)],
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
        panel.legend(title="feature (R-1 in %)", **legend)
    for panel in panels[len(settings) :]:
        panel.remove()
    canvas.print_figure(path, dpi=120, format="png")


def _left_out(alike: Sequence[Score]) -> list[str]:
    names = ", ".join(
        f"{row_name(score)} ({100 * score.mean['R-1']:.1f})" for score in alike
    )
    told = f"within {100 * APART:.0f} points of a curve above: {names}"
    return textwrap.wrap(told, _LETTERS) if names else []
