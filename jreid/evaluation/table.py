"""Scores as a readable text table and as JSON."""

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jreid.evaluation.protocols import METRICS, Score

_GAP = "  "


def format_table(scores: Sequence[Score]) -> str:
    """A block of aligned rows for each setting, in percent.

    Cells are "mean ± standard deviation" over the trials, or the value alone where
    there is one trial.
    """
    rows = [(_row_name(score), *_cells(score)) for score in scores]
    header = ("feature", *METRICS)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    blocks = itertools.groupby(
        zip(scores, rows, strict=True), key=lambda pair: _block_name(pair[0])
    )
    for name, block in blocks:
        lines += ["", name, _line(header, widths)]
        lines += [_line(row, widths) for _, row in block]
    return "\n".join(lines[1:])


def _block_name(score: Score) -> str:
    trials = "1 trial" if score.trials == 1 else f"{score.trials} trials"
    skipped = f" ({score.skipped} without a match skipped)" if score.skipped else ""
    return (
        f"{score.protocol} protocol, {score.setting}: {score.counted} queries{skipped},"
        f" gallery of {score.gallery}, draw {score.draw!r}, {trials}, percent"
    )


def _row_name(score: Score) -> str:
    return f"{score.feature}, re-ranked" if score.reranked else score.feature


def _cells(score: Score) -> list[str]:
    if score.trials == 1:
        return [f"{100 * score.mean[name]:.2f}" for name in METRICS]
    return [
        f"{100 * score.mean[name]:.2f} ± {100 * score.std[name]:.2f}"
        for name in METRICS
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *values = cells
    aligned = [name.ljust(widths[0])]
    aligned += [
        value.rjust(width) for value, width in zip(values, widths[1:], strict=True)
    ]
    return _GAP.join(aligned)


def results_json(scores: Sequence[Score], about: Mapping[str, Any]) -> str:
    """The text of results.json: `about` (what was scored) and all scores.

    Every score is an object with the fields of `Score`; metrics are fractions in
    [0, 1].
    """
    rows = [dataclasses.asdict(score) for score in scores]
    return json.dumps({**about, "unit": "fraction", "scores": rows}, indent=1) + "\n"
