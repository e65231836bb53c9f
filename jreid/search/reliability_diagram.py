"""What came true of probabilities, as a PNG file."""

import os
from collections.abc import Mapping

from jreid.evaluation.cmc_plot import COLOURS
from jreid.search.reliability import Reliability


def save_reliability_diagram(
    path: str | os.PathLike[str], of_pairs: Mapping[str, Reliability]
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
    for (name, made), colour in zip(of_pairs.items(), COLOURS, strict=False):
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
