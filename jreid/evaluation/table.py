"""Scores as a readable text table."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from jreid.evaluation.score import METRICS, Score
from jreid.evaluation.statistics import by_person

_GAP = "  "
TIED = 0.01  # share of the queries above which ties are told
_KINDS = {"embeddings": "after the neck", "features": "before the neck"}


def format_table(
    scores: Sequence[Score], about: Mapping[str, Any] | None = None
) -> str:
    """What was scored, then a block of aligned rows for each setting, in percent.

    Cells are "mean ± standard deviation" over trials, splits or seeds, or the value
    alone where there is one. Below each is its 95 % interval over identities.

    Args:
        about: as in results.json; see `describe`. Without it, the blocks alone.
    """
    header = ("feature", *METRICS)
    rows = [(row_name(score), *_cells(score)) for score in scores]
    intervals = [("", *interval_cells(score)) for score in scores]
    widths = [
        max(map(len, column)) for column in zip(header, *rows, *intervals, strict=True)
    ]
    lines = [] if about is None else ["", *describe(about)]
    blocks = itertools.groupby(
        zip(scores, rows, intervals, strict=True), key=lambda row: _heading(row[0])
    )
    for heading, block in blocks:
        lines += ["", *heading, aligned(header, widths)]
        for score, row, interval in block:
            lines += [aligned(row, widths), aligned(interval, widths)]
            lines += warnings(score)
    return "\n".join(lines[1:])


def describe(about: Mapping[str, Any]) -> list[str]:
    """The run or features file, and what its numbers were measured with: two lines.

    One more says which images were left out, if any were.

    `about` is the head of results.json, see `results_file.about_scores`; what is
    missing or None is said to be unknown, or left out where it would not be known.
    """
    what = [str(about.get("name") or "unnamed")]
    if about.get("trained_on"):
        what.append(f"trained on {about['trained_on']}")
    if about.get("features_file"):
        what.append(f"features of {about['features_file']}")
    place = [str(about[key]) for key in ("dataset", "root") if about.get(key)]
    if about.get("root") == "synvi":
        place = ["SynVI, synthetic: not SYSU-MM01 scores"]
    if place:
        what.append(f"test images of {', '.join(place)}")
    if about.get("split") is not None:
        what.append(f"split {about['split']}")
    how = conditions(about)
    if about.get("test_content"):
        how.append(f"test images {about['test_content']}")
    left_out = [f"left out: {about['left_out']}"] if about.get("left_out") else []
    return [", ".join(what), ", ".join(how), *left_out]


def conditions(about: Mapping[str, Any]) -> list[str]:
    """Model step, config, kind of feature, flip and measure, in words."""
    step, config_hash = about.get("step"), about.get("config_hash")
    kind, flip = about.get("feature"), about.get("flip")
    measure = about.get("measure")
    flips = {"False": "not flipped", "True": "flip-averaged"}
    return [
        "step unknown" if step is None else f"step {step}",
        f"config {config_hash or 'unknown'}",
        "feature kind unknown"
        if kind is None
        else f"feature {_KINDS.get(str(kind), kind)}",
        flips.get(str(flip), "flip unknown"),
        *([] if measure in (None, "cosine") else [f"measured by {measure}"]),
    ]


def row_name(score: Score) -> str:
    """The feature, and whether it was re-ranked."""
    return f"{score.feature}, re-ranked" if score.reranked else score.feature


def setting_name(score: Score) -> str:
    """Protocol and setting: "RegDB protocol, visible to infrared"."""
    return f"{score.protocol} protocol, {score.setting}"


def repetitions(score: Score) -> str:
    """How often was measured: "10 trials", "split 3", "3 seeds of 10 trials"."""
    parts = [f"{len(score.seeds)} seeds"] if score.seeds else []
    if len(score.splits) > 1:
        parts.append(f"{len(score.splits)} splits")
    elif score.splits:
        parts.append(f"split {score.splits[0]}")
    if score.trials > 1 or not parts:
        parts.append("1 trial" if score.trials == 1 else f"{score.trials} trials")
    return " of ".join(parts)


def percent(value: float) -> str:
    """Two decimals: 0.4567 as "45.67"."""
    return f"{100 * value:.2f}"


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, all others to the right, no blanks at the end."""
    name, *values = cells
    padded = [name.ljust(widths[0])]
    padded += [
        value.rjust(width) for value, width in zip(values, widths[1:], strict=True)
    ]
    return _GAP.join(padded).rstrip()


def _heading(score: Score) -> tuple[str, str]:
    skipped = f" ({score.skipped} without a match skipped)" if score.skipped else ""
    spread = "± deviation, " if _repeated(score) else ""
    return (
        f"{setting_name(score)}: draw {score.draw!r}, {repetitions(score)}, percent",
        f"{score.counted} queries{skipped}, gallery of {score.gallery};"
        f" {spread}below: 95 % interval over {units(score)}",
    )


def units(score: Score) -> str:
    """What an interval is over."""
    what = "pairs of split and identity" if _in_pairs(score) else "identities"
    return f"{len(by_person(score.by_identity).identities)} {what}"


def _in_pairs(score: Score) -> bool:
    """Whether a person counts once for each split."""
    return len(score.splits) > 1 and not score.by_identity.people


def warnings(score: Score) -> list[str]:
    """Lines on what makes a number, or its interval, mean less than it seems to."""
    found = []
    if score.tied > TIED:
        found.append(
            f"  warning: ties decide {100 * score.tied:.1f} % of the queries, by the "
            "order of the images"
        )
    if _in_pairs(score):
        found.append(
            "  warning: who is in several splits counts as several, so that intervals "
            "and p values are too small; paths in Visible/PERSON/ would tell"
        )
    return found


def _repeated(score: Score) -> bool:
    return max(score.trials, len(score.splits), len(score.seeds)) > 1


def _cells(score: Score) -> list[str]:
    if not _repeated(score):
        return [percent(score.mean[name]) for name in METRICS]
    return [
        f"{percent(score.mean[name])} ± {percent(score.std[name])}" for name in METRICS
    ]


def interval_cells(score: Score) -> list[str]:
    """The 95 % interval of each metric, "44.10–50.93"; none over one identity."""
    if len(score.by_identity.identities) < 2:
        return ["-" for _ in METRICS]
    return [
        f"{percent(low)}–{percent(high)}"
        for low, high in (score.interval[name] for name in METRICS)
    ]
