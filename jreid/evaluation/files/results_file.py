"""results.json: all scores, under a head that says what they are of."""

import dataclasses
import importlib.util
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid import __version__
from jreid.evaluation.score import METRICS, Score
from jreid.evaluation.statistics import ByIdentity
from jreid.whole_files import replacing, write_text

FORMAT = 2  # of results.json
_OURS = ("format", "unit", "scores")  # keys that the head may not have
_LATER = {"seeds": [], "tied": 0.0}  # fields that files of earlier versions lack
_REMEDY = "restore it, or score the run or features file again"


def about_scores(
    name: str,
    *,
    step: int | None = None,
    feature: str | None = None,
    flip: bool | None = None,
    measure: str | None = None,
    config_hash: str | None = None,
    dataset: str | None = None,
    root: str | None = None,
    split: int | None = None,
    trained_on: str | None = None,
    features_file: str | None = None,
    config: Any = None,
    **more: Any,
) -> dict[str, Any]:
    """The head: every one has the same keys, None where unknown or of no use.

    Args:
        name: of the run, or of the file without its suffix.
        step: of the checkpoint; None for several.
        feature: "embeddings" (after the neck), "features" (before it), or both.
        flip: each vector is averaged with that of the mirrored image.
        measure: what vectors are compared by; see `measures`.
        config_hash: of the run.
        dataset, root: which test images.
        split: of RegDB.
        trained_on: the data set of the run's training, where it is another one.
        features_file: the file of a model from elsewhere.
        config: the run's, as JSON values.
        more: what only some have; see `table.describe`.
    """
    return {
        "name": name,
        "step": step,
        "feature": feature,
        "flip": flip,
        "measure": measure,
        "config_hash": config_hash,
        "dataset": dataset,
        "root": root,
        "split": split,
        "trained_on": trained_on,
        "features_file": features_file,
        "version": __version__,
        "config": config,
        **more,
    }


def feature_in_words(features: float, embeddings: float) -> str:
    """The kind of feature for the head, of the weights before and after the neck."""
    weights = {"features": features, "embeddings": embeddings}
    used = {name: weight for name, weight in weights.items() if weight}
    if len(used) == 1:
        return next(iter(used))
    return " + ".join(f"{weight:g} {name}" for name, weight in used.items())


def make_folder(folder: Path) -> None:
    """Makes a folder for results before the work; OSError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write to {folder}: {error}. Give another --out"
        ) from error


def write_results(
    folder: Path, scores: Sequence[Score], about: Mapping[str, Any]
) -> list[str]:
    """Writes results.json and, with matplotlib, cmc.png; returns a line about each.

    The folder is made if it is missing.
    """
    make_folder(folder)
    write_text(folder / "results.json", results_json(scores, about))
    lines = [str(folder / "results.json")]
    if importlib.util.find_spec("matplotlib") is None:
        return [*lines, "no cmc.png, which needs matplotlib"]
    from jreid.evaluation.cmc_plot import save_cmc_plot

    with replacing(folder / "cmc.png") as temporary:
        save_cmc_plot(temporary, scores)
    return [*lines, str(folder / "cmc.png")]


def results_json(scores: Sequence[Score], about: Mapping[str, Any]) -> str:
    """The text of results.json: `about` (what was scored) and all scores.

    Every score is an object with the fields of `Score`; metrics are fractions in
    [0, 1]. `read_results` gives back the same `about` and scores.

    Args:
        about: JSON values; see `about_scores`. Lists, since tuples become lists.

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


def _score(row: Mapping[str, Any]) -> Score:
    """A score from its JSON object, every value of the type it must have."""
    fields = dataclasses.fields(Score)
    row = _LATER | dict(row)
    if wrong := sorted(set(row) ^ {field.name for field in fields}):
        raise ValueError(f"fields {wrong} are unknown or missing")
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
            people=_all(by_identity.get("people", []), str),  # new in 0.3
        ),
        cmc=_all(row["cmc"], float),
        splits=_all(row["splits"], int),
        seeds=_all(row["seeds"], int),
        tied=_typed(row["tied"], float),
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
