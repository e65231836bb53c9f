"""The tables of scores, with the published rows beside them, and the CMC curves."""

from collections.abc import Sequence

from jreid.evaluation.compare import of_paper_images, shared_conditions
from jreid.evaluation.differences import RunRow
from jreid.evaluation.published import SOURCE, PublishedRow, published_rows
from jreid.evaluation.score import METRICS, Score
from jreid.evaluation.table import (
    describe,
    interval_cells,
    percent,
    row_name,
    units,
    warnings,
)
from jreid.evaluation.telling_curves import APART, telling_curves
from jreid.evaluation.verdict import verdict
from jreid.report.charts import Axis, Line, line_chart
from jreid.report.html import Markup, element, figure, note, section, table
from jreid.report.run_folder import ReportedRun

_RERANKED = Markup('<span class="tag">re-ranked</span>')


def score_section(runs: Sequence[ReportedRun]) -> Markup:
    """What was scored, whether a later run is better, and a table for each setting."""
    rows = _rows(runs)
    if not rows:
        return Markup("")
    told = [
        note(
            element("b", f"{run.name}: "),
            "; ".join(describe(run.about)),
            f" ({run.folder})",
        )
        for run in runs
        if run.scores
    ]
    answer = [line.strip() for line in verdict(rows)]
    if answer:
        told.append(element("p", element("b", answer[0])))
        told.append(element("ul", *(element("li", line) for line in answer[1:])))
    blocks = [_setting(rows, key) for key in _settings(rows)]
    return section("scores", "Scores", *told, *blocks)


def curve_section(runs: Sequence[ReportedRun]) -> Markup:
    """A panel of CMC curves for each setting."""
    rows = _rows(runs)
    if not rows:
        return Markup("")
    panels = [_panel(rows, key) for key in _settings(rows)]
    return section(
        "cmc",
        "CMC curves",
        note("Share of the queries whose person is among the first images."),
        element("div", *panels, class_="grid2"),
    )


def _rows(runs: Sequence[ReportedRun]) -> list[RunRow]:
    return [
        RunRow(run.entry, score)
        for run in runs
        if run.entry
        for score in run.entry.scores
    ]


def _settings(rows: Sequence[RunRow]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r.score.protocol, r.score.setting) for r in rows))


def _setting(rows: Sequence[RunRow], key: tuple[str, str]) -> Markup:
    here = [r for r in rows if (r.score.protocol, r.score.setting) == key]
    several = len({r.entry.name for r in rows}) > 1
    found = [_conditions(row) for row in here]
    shared, differing = shared_conditions(found)
    all_rows = f"All rows: {', '.join(shared)}. " if shared else ""
    lines, marks = [], []
    for row, conditions in zip(here, found, strict=True):
        name = row.entry.name if several else ""
        own = ", ".join(conditions[key] for key in differing)
        lines.append([_name(row.score, name, own), *_cells(row.score)])
        marks.append("reranked" if row.score.reranked else "")
    notes = [note(line.strip()) for row in here for line in warnings(row.score)]
    return Markup(
        element("h3", f"{key[0]} protocol, {key[1]}")
        + note(f"{all_rows}Small: 95 % intervals.")
        + table(["percent", *METRICS], lines, marks)
        + "".join(notes)
        + _published(here, key)
    )


def _name(score: Score, run: str, conditions: str = "") -> Markup:
    name = f"{run}: {score.feature}" if run else score.feature
    tag = _RERANKED if score.reranked else ""
    own = element("small", conditions) if conditions else ""
    return Markup(element("span", name) + tag + own)


def _conditions(row: RunRow) -> dict[str, str]:
    """Those of a comparison, and what the row's numbers and intervals are over."""
    found = row.conditions()
    if row.score.skipped:
        found["images"] += f" ({row.score.skipped} queries without a match skipped)"
    return {**found, "units": f"intervals over {units(row.score)}"}


def _cells(score: Score) -> list[Markup]:
    return [
        Markup(percent(score.mean[name]) + element("small", interval))
        for name, interval in zip(METRICS, interval_cells(score), strict=True)
    ]


def _published(here: Sequence[RunRow], key: tuple[str, str]) -> Markup:
    """The paper's rows; behind a click where they are of other images."""
    rows = [row for row in published_rows() if (row.protocol, row.setting) == key]
    if not rows:
        return Markup("")
    comparable = all(of_paper_images(row) for row in here)
    title = "Published rows" if comparable else "Published rows: not comparable"
    why = (
        "Means of ten trials or splits; which draw they are of is not stated."
        if comparable
        else f"They are of {key[0]}'s own images; the rows above are of other ones."
    )
    lines = [[_published_name(row), *_published_cells(row)] for row in rows]
    marks = ["reranked" if row.reranked else "" for row in rows]
    return element(
        "details",
        element("summary", title),
        note(f"{why} Source: {SOURCE}"),
        table(["percent", *METRICS], lines, marks),
        **({"open": ""} if comparable else {}),
    )


def _published_name(row: PublishedRow) -> Markup:
    name = element("span", f"Table {row.table}: {row.name}")
    return Markup(name + (_RERANKED if row.reranked else ""))


def _published_cells(row: PublishedRow) -> list[str]:
    return [percent(row.values[m]) if m in row.values else "–" for m in METRICS]


def _panel(rows: Sequence[RunRow], key: tuple[str, str]) -> Markup:
    lines, left_out = [], []
    entries = list(dict.fromkeys(row.entry.name for row in rows))
    for entry in entries:
        here = [r.score for r in rows if r.entry.name == entry and _key(r) == key]
        drawn, alike = telling_curves(here)
        before = f"{entry}: " if len(entries) > 1 else ""
        for score in drawn:
            first = percent(score.mean["R-1"])
            lines.append(
                _line(score, f"{before}{row_name(score)} ({first})", len(lines))
            )
        left_out += [f"{before}{row_name(score)}" for score in alike]
    low = min(min(line.y) for line in lines)
    ranks = max(len(line.x) for line in lines)
    text = f"CMC curves, {key[0]}, {key[1]}"
    lowest = min(90, 10 * (low // 10))  # 100 where all curves are at 100 %
    x, y = Axis("rank", 1, ranks), Axis("matched (%)", lowest, 100)
    also = f"Within {100 * APART:.0f} points of a curve drawn: {', '.join(left_out)}."
    return figure(
        key[1], line_chart(lines, x, y, text), *([note(also)] if left_out else [])
    )


def _key(row: RunRow) -> tuple[str, str]:
    return row.score.protocol, row.score.setting


def _line(score: Score, name: str, number: int) -> Line:
    curve = [100 * value for value in score.cmc]
    ranks = [float(rank) for rank in range(1, len(curve) + 1)]
    return Line(name, ranks, curve, number, dashed=score.reranked)
