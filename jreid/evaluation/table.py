"""Scores as a readable text table, and as JSON that can be read back."""

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid.evaluation.score import METRICS, ByIdentity, Score

FORMAT = 2  # of results.json
_OURS = ("format", "unit", "scores")  # keys that `about` may not have
_GAP = "  "
_KINDS = {"embeddings": "after the neck", "features": "before the neck"}


def format_table(
    scores: Sequence[Score], about: Mapping[str, Any] | None = None
) -> str:
    """What was scored, then a block of aligned rows for each setting, in percent.

    Cells are "mean ± standard deviation" over the trials (or splits), or the value
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
        for _, row, interval in block:
            lines += [aligned(row, widths), aligned(interval, widths)]
    return "\n".join(lines[1:])


def describe(about: Mapping[str, Any]) -> list[str]:
    """Two lines: the run or features file, and what its numbers were measured with.

    `about` may hold name, step, feature ("embeddings" or "features"), flip,
    config_hash, dataset, root, trial (RegDB's split) and features_file; what is missing
    or None is said to be unknown, or left out where it would not be known.
    """
    what = [str(about.get("name") or "unnamed")]
    if about.get("features_file"):
        what.append(f"features of {about['features_file']}")
    place = [str(about[key]) for key in ("dataset", "root") if about.get(key)]
    if about.get("root") == "synvi":
        place = ["SynVI, synthetic: not SYSU-MM01 scores"]
    if place:
        what.append(f"test images of {', '.join(place)}")
    if about.get("trial") is not None:
        what.append(f"split {about['trial']}")
    return [", ".join(what), ", ".join(conditions(about))]


def conditions(about: Mapping[str, Any]) -> list[str]:
    """Model step, config, kind of feature and flip, in words."""
    step, config_hash = about.get("step"), about.get("config_hash")
    kind, flip = about.get("feature"), about.get("flip")
    flips = {"False": "not flipped", "True": "flip-averaged"}
    return [
        "step unknown" if step is None else f"step {step}",
        f"config {config_hash or 'unknown'}",
        "feature kind unknown"
        if kind is None
        else f"feature {_KINDS.get(str(kind), kind)}",
        flips.get(str(flip), "flip unknown"),
    ]


def row_name(score: Score) -> str:
    """The feature, and whether it was re-ranked."""
    return f"{score.feature}, re-ranked" if score.reranked else score.feature


def setting_name(score: Score) -> str:
    """Protocol and setting: "RegDB protocol, visible to infrared"."""
    return f"{score.protocol} protocol, {score.setting}"


def repetitions(score: Score) -> str:
    """How often was measured: "10 trials", "split 3", "10 splits"."""
    parts = []
    if len(score.splits) > 1:
        parts.append(f"{len(score.splits)} splits")
    elif score.splits:
        parts.append(f"split {score.splits[0]}")
    if score.trials > 1 or not score.splits:
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
    identities = len(score.by_identity.identities)
    spread = "± deviation, " if _repeated(score) else ""
    return (
        f"{setting_name(score)}: draw {score.draw!r}, {repetitions(score)}, percent",
        f"{score.counted} queries{skipped}, gallery of {score.gallery};"
        f" {spread}below: 95 % interval over {identities} identities",
    )


def _repeated(score: Score) -> bool:
    return score.trials > 1 or len(score.splits) > 1


def _cells(score: Score) -> list[str]:
    if not _repeated(score):
        return [percent(score.mean[name]) for name in METRICS]
    return [
        f"{percent(score.mean[name])} ± {percent(score.std[name])}" for name in METRICS
    ]


def interval_cells(score: Score) -> list[str]:
    """The 95 % interval of each metric: "44.10–50.93"."""
    return [
        f"{percent(low)}–{percent(high)}"
        for low, high in (score.interval[name] for name in METRICS)
    ]


def results_json(scores: Sequence[Score], about: Mapping[str, Any]) -> str:
    """The text of results.json: `about` (what was scored) and all scores.

    Every score is an object with the fields of `Score`; metrics are fractions in
    [0, 1]. `read_results` gives back the same `about` and scores.

    Args:
        about: JSON values; see `describe`. Lists, since tuples become lists.

    Raises:
        ValueError: `about` has a key of this format, or a number is not finite.
    """
    if taken := sorted(set(about) & set(_OURS)):
        raise ValueError(
            f"about has the keys {taken}, which results.json uses itself: rename them"
        )
    # A line for each field: lists of numbers are long, and nobody reads them downwards.
    rows = [
        ",\n".join(
            f"   {_json(name)}: {_json(value)}" for name, value in fields.items()
        )
        for fields in map(dataclasses.asdict, scores)
    ]
    head = {**about, "format": FORMAT, "unit": "fraction"}
    text = json.dumps(head, indent=1, allow_nan=False)
    listed = ",\n".join(f"  {{\n{row}\n  }}" for row in rows)
    text = text.removesuffix("\n}") + f',\n "scores": [\n{listed}\n ]\n}}\n'
    return text


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def read_results(path: str | Path) -> tuple[dict[str, Any], list[Score]]:
    """`about` and the scores of a results.json.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: the file is damaged, or of another version of this format.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): {_REMEDY}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise ValueError(
            f"{path} is of format {found}, this version reads format {FORMAT}:"
            f" {_REMEDY}"
        )
    about = {key: value for key, value in content.items() if key not in _OURS}
    try:
        return about, [_score(row) for row in content["scores"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}): {_REMEDY}"
        ) from error


_REMEDY = "restore it, or score the run or features file again"


def _score(row: Mapping[str, Any]) -> Score:
    """A score from its JSON object, every value of the type it must have."""
    names = {field.name for field in dataclasses.fields(Score)}
    if set(row) != names:
        raise ValueError(f"fields {sorted(set(row) ^ names)} are unknown or missing")
    by_identity = row["by_identity"]
    texts = ("protocol", "setting", "draw", "feature")
    counts = ("trials", "gallery", "counted", "skipped")
    return Score(
        **{name: _typed(row[name], str) for name in texts},
        **{name: _typed(row[name], int) for name in counts},
        reranked=_typed(row["reranked"], bool),
        mean={name: _typed(row["mean"][name], float) for name in METRICS},
        std={name: _typed(row["std"][name], float) for name in METRICS},
        interval={name: _pair(row["interval"][name]) for name in METRICS},
        by_identity=ByIdentity(
            identities=_all(by_identity["identities"], str),
            queries=_all(by_identity["queries"], float),
            sums={name: _all(by_identity["sums"][name], float) for name in METRICS},
        ),
        cmc=_all(row["cmc"], float),
        splits=_all(row["splits"], int),
    )


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} where {kind.__name__} is needed")
    return value


def _all(values: Any, kind: type) -> tuple[Any, ...]:
    return tuple(_typed(value, kind) for value in _typed(values, list))


def _pair(ends: Any) -> tuple[float, float]:
    low, high = _all(ends, float)
    return low, high
