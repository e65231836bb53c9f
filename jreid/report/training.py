"""The curves of the training, of metrics.jsonl."""

import math
import re
from collections.abc import Sequence

from jreid.report.charts import COLOURS, Line, line_chart, spanning
from jreid.report.html import Markup, element, figure, note, section
from jreid.report.run_folder import ReportedRun

_MOST_PANELS = 12
_FIRST = ("loss", "validation", "lr")


def training_section(runs: Sequence[ReportedRun]) -> Markup:
    """A panel for each scalar, and one for all of "loss/...", of "validation/...".

    Of more than two runs there are panels of one scalar alone.
    """
    told = [run for run in runs if run.scalars]
    if not told:
        return Markup("")
    panels = _panels(told)
    shown = list(panels.items())[:_MOST_PANELS]
    drawn = [_panel(told, title, names) for title, names in shown]
    left = [name for _, names in list(panels.items())[_MOST_PANELS:] for name in names]
    more = [note(f"{len(left)} more scalars are in metrics.jsonl.")] if left else []
    return section(
        "training", "Training", element("div", *drawn, class_="grid2"), *more
    )


def _panels(runs: Sequence[ReportedRun]) -> dict[str, list[str]]:
    """Names of scalars by panel, the telling ones first; at most as many as colours."""
    names = dict.fromkeys(
        name for run in runs for line in run.scalars for name in line if name != "step"
    )
    if len(runs) > 2:  # more than a curve and a dashed one of each colour
        return {name: [name] for name in sorted(names, key=_rank)}
    panels: dict[str, list[str]] = {}
    for name in names:
        group = name.split("/")[0]
        title = f"{group}: its terms" if name.startswith("loss/") else group
        number = 1
        while len(panels.get(title, ())) == COLOURS:
            number += 1
            title = f"{title.split(' (')[0]} ({number})"
        panels.setdefault(title, []).append(name)
    return dict(sorted(panels.items(), key=lambda item: _rank(item[0])))


def _rank(title: str) -> tuple[int, str]:
    """Of a panel's title, or of a scalar with a panel of its own."""
    group = re.split("[:/ ]", title)[0]
    first = group in _FIRST and not title.startswith("loss/")
    return _FIRST.index(group) if first else len(_FIRST), title


def _panel(runs: Sequence[ReportedRun], title: str, names: Sequence[str]) -> Markup:
    """Colours tell the scalars apart where there are several, else the runs."""
    lines = []
    several = len(runs) > 1
    for place, run in enumerate(runs):
        for number, name in enumerate(names):
            steps, values = _series(run, name)
            if not steps:
                continue
            parts = [run.name] if several else []
            parts += [name.split("/", 1)[-1]] if len(names) > 1 else []
            own = number if len(names) > 1 else place
            dashed = len(names) > 1 and place > 0
            lines.append(Line(", ".join(parts), steps, values, own, dashed))
    ends = [line.y for line in lines]
    x = spanning("step", *(line.x for line in lines), zero=True)
    return figure(title, line_chart(lines, x, spanning("", *ends), f"{title} by step"))


def _series(run: ReportedRun, name: str) -> tuple[list[float], list[float]]:
    """Steps and values; a value that was not finite is NaN, and a gap."""
    found = [(line["step"], line[name]) for line in run.scalars if name in line]
    values = [
        float(value) if isinstance(value, int | float) else math.nan
        for _, value in found
    ]
    return [float(step) for step, _ in found], values
