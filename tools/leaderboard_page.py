"""The table of systems as HTML, CSV and Markdown, and two pictures of it."""

import base64
import csv
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jreid.evaluation.files.results_file import make_folder
from jreid.evaluation.score import Score
from jreid.evaluation.statistics import paired_tests
from jreid.whole_files import replacing, write_text
from tools import step_costs
from tools.system_cost import Cost

Setting = tuple[str, str]  # protocol and setting
HEADER = (
    *("system", "seeds", "R-1", "R-1 95 %", "mAP", "mINP", "p to next"),
    *("published R-1", "published mAP", "M parameters", "GFLOPs", "width", "M images"),
    "images/s",
)
NOTE = (
    "Percent, means over seeds, not re-ranked; intervals are bootstraps over test "
    "identities. p: paired sign-flip test of R-1 against the next row, two-sided, not "
    "corrected for the number of rows. GFLOPs: of the embedding of one image. M images:"
    " millions of images seen in training. images/s: of training, where it ran, the "
    "median of what was logged."
)
SYNTHETIC = (
    "These are scores on SynVI, a small synthetic set, of small networks trained from "
    "scratch: they are not SYSU-MM01, and published numbers are of other images."
)
COLOUR = "#0072B2"
RATE = "rank-1 rate (%)"
STYLE = (
    "body{font:15px sans-serif;margin:2em;max-width:75em}"
    "table{border-collapse:collapse}td,th{padding:.3em .7em;text-align:right;"
    "border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}"
    "img{max-width:100%}"
)


@dataclass(frozen=True)
class Row:
    """One system."""

    system: str
    seeds: int
    scores: Mapping[Setting, Score]
    published: Mapping[Setting, tuple[float, float]]  # R-1 and mAP, percent
    cost: Cost
    speed: float | None  # images a second of its training, where they were logged
    step: Mapping[str, Any] | None = None  # compile_report.py's, of its config


def write(folder: Path, rows: Sequence[Row], *, synthetic: bool) -> list[Path]:
    """Writes leaderboard.html, .csv, .md and .png; returns their paths."""
    make_folder(folder)
    found = settings(rows)
    tables = {title(x, synthetic=synthetic): cells(rows, x) for x in found}
    steps = any(row.step for row in rows)
    notes = [NOTE, *[step_costs.NOTE] * steps, *[SYNTHETIC] * synthetic]
    header = (*HEADER, *[f"step: {name}" for name in step_costs.HEADER] * steps)
    picture = folder / "leaderboard.png"
    with replacing(picture) as temporary:
        draw(temporary, rows, found[0], next(iter(tables)))
    texts = {
        "html": _html(header, tables, notes, picture.read_bytes()),
        "csv": _csv(header, dict(zip(found, tables.values(), strict=True))),
        "md": _markdown(header, tables, notes),
    }
    paths = [folder / f"leaderboard.{suffix}" for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return [*paths, picture]


def title(setting: Setting, *, synthetic: bool) -> str:
    """What is above a table: a data set's protocol is not the data set."""
    return ("SynVI by the protocol of " if synthetic else "") + ", ".join(setting)


def settings(rows: Sequence[Row]) -> list[Setting]:
    """All settings, in the order in which they are scored."""
    return list(dict.fromkeys(setting for row in rows for setting in row.scores))


def cells(rows: Sequence[Row], setting: Setting) -> list[tuple[str, ...]]:
    """A line for each system that has the setting, the best rank-1 rate first."""
    ranked = sorted(
        (row for row in rows if setting in row.scores),
        key=lambda row: -row.scores[setting].mean["R-1"],
    )
    scores = [row.scores[setting] for row in ranked]
    pairs = [(b.by_identity, a.by_identity) for a, b in _neighbours(scores)]
    p_values = [found["R-1"].p_text for found in paired_tests(pairs)]
    with_steps = any(row.step for row in rows)
    without = [""] * (len(step_costs.HEADER) * with_steps)
    lines = []
    for row, score, p in zip(ranked, scores, [*p_values, ""], strict=True):
        low, high = score.interval["R-1"]
        published = row.published.get(setting)
        lines.append(
            (
                row.system,
                str(row.seeds),
                _percent(score.mean["R-1"]),
                f"{_percent(low)} to {_percent(high)}",
                _percent(score.mean["mAP"]),
                _percent(score.mean["mINP"]),
                p,
                *(f"{x:.1f}" for x in published or ()),
                *([""] * (0 if published else 2)),
                f"{row.cost.parameters / 1e6:.1f}",
                f"{row.cost.gflops:.2f}",
                str(row.cost.width),
                f"{row.cost.images / 1e6:.2f}",
                "" if row.speed is None else f"{row.speed:.0f}",
                *(step_costs.cells(row.step) if row.step else without),
            )
        )
    return lines


def draw(path: Path, rows: Sequence[Row], setting: Setting, heading: str) -> None:
    """Rank-1 rates with their intervals, and against operations and width."""
    # The object interface: pyplot would keep a figure and choose a backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if setting in row.scores]
    shown.sort(key=lambda row: row.scores[setting].mean["R-1"])
    rates = [100 * row.scores[setting].mean["R-1"] for row in shown]
    size = (14, max(4.5, 1.5 + 0.22 * len(shown)))
    figure = Figure(figsize=size, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    ranked, *panels = figure.subplots(1, 3)
    intervals = [row.scores[setting].interval["R-1"] for row in shown]
    errors = [
        [max(y - 100 * low, 0) for y, (low, _) in zip(rates, intervals, strict=True)],
        [max(100 * high - y, 0) for y, (_, high) in zip(rates, intervals, strict=True)],
    ]
    places = range(len(shown))
    ranked.errorbar(rates, places, xerr=errors, fmt="o", capsize=3, color=COLOUR)
    ranked.set_yticks(places, [row.system for row in shown])
    ranked.set_ylim(-0.7, len(shown) - 0.3)
    ranked.set_xlabel(f"{RATE}, 95 % interval")
    ranked.grid(axis="x", alpha=0.3)
    axes = {
        "GFLOPs of the embedding of one image": [row.cost.gflops for row in shown],
        "numbers of an embedding": [float(row.cost.width) for row in shown],
    }
    names = [row.system for row in shown]
    for panel, (label, xs) in zip(panels, axes.items(), strict=True):
        _draw_against(panel, label, list(zip(xs, rates, strict=True)), names)
    figure.suptitle(heading)
    canvas.print_figure(str(path), dpi=120, format="png")


def _draw_against(panel, label, points, names):
    """All points, with the names of those that no cheaper one reaches."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    panel.plot(*zip(*points, strict=True), "o", color=COLOUR)
    best = unreached(points)
    heights = label_heights([points[place] for place in best])
    for place, height in zip(best, heights, strict=True):
        spot = (points[place][0], height)
        panel.annotate(names[place], spot, (6, -4), textcoords="offset points")
    panel.set_xscale("log")
    panel.margins(x=0.15)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel(f"{label}\n(named: no cheaper system has as high a rate)")
    panel.set_ylabel(RATE)


def unreached(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points (cost, rate) whose rate none of at most their cost has."""
    best: list[int] = []
    for _, y, place in sorted((x, -y, n) for n, (x, y) in enumerate(points)):
        if not best or -y > points[best[-1]][1]:
            best.append(place)
    return best


def label_heights(
    points: Sequence[tuple[float, float]], *, apart: float = 3.0, near: float = 1.15
) -> list[float]:
    """Where names stand beside points (x, y), in order: those of near x do not overlap.

    From the lowest one on each is `apart` above those whose x differs by less than the
    factor `near`, or at its own y.
    """
    heights = [0.0] * len(points)
    placed: list[tuple[float, float]] = []
    for y, x, place in sorted((y, x, n) for n, (x, y) in enumerate(points)):
        beside = [h for other, h in placed if max(x, other) < near * min(x, other)]
        heights[place] = max([y, *(h + apart for h in beside)])
        placed.append((x, heights[place]))
    return heights


def _neighbours(scores):
    return list(zip(scores, scores[1:], strict=False))


def _html(header, tables, notes, picture):
    data = base64.b64encode(picture).decode()
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Systems</title>"
        f"<style>{STYLE}</style>"
    ]
    parts += [f"<p>{html.escape(note)}</p>" for note in notes]
    for heading, lines in tables.items():
        parts.append(f"<h2>{html.escape(heading)}</h2><table>")
        for tag, line in [("th", header), *(("td", line) for line in lines)]:
            row = "".join(f"<{tag}>{html.escape(x)}</{tag}>" for x in line)
            parts.append(f"<tr>{row}</tr>")
        parts.append("</table>")
    parts.append(f'<p><img alt="accuracy and cost" src="data:image/png;base64,{data}">')
    return "\n".join(parts) + "\n"


def _csv(header, tables):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("protocol", "setting", *header))
    for setting, lines in tables.items():
        writer.writerows((*setting, *line) for line in lines)
    return text.getvalue()


def _markdown(header, tables, notes):
    parts = []
    for heading, lines in tables.items():
        table = [header, tuple("---" for _ in header), *lines]
        parts.append(f"**{heading}**")
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in table))
    return "\n\n".join([*parts, *notes]) + "\n"


def _percent(value):
    return f"{100 * value:.1f}"
