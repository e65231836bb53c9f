"""What a run's folder holds for its report; what is missing is told, not refused."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jreid.config_json import from_json
from jreid.data.datasets import read_file
from jreid.data.grey16 import Grey16
from jreid.evaluation.differences import Entry
from jreid.evaluation.files.feature_table import FeatureTable
from jreid.evaluation.files.features_file import read_features
from jreid.evaluation.files.results_file import read_results
from jreid.evaluation.protocols.custom import CustomProtocol
from jreid.evaluation.protocols.protocol import GalleryOptions, Options, Protocol
from jreid.evaluation.score import Score
from jreid.run.training_set import grey16_of_run
from jreid.run.workdir import CONFIG, METRICS, read_config
from jreid.shapes import Float

RESULTS, FEATURES, CALIBRATION = "results.json", "features.npz", "calibration.json"


@dataclass(frozen=True)
class ReportedRun:
    """A run as its report shows it.

    Attributes:
        name: of its folder; see `named`.
        folder: where its files are.
        scores, about: its scores and what they are of; none without results.json.
        table: features and columns of its test images, all columns there; or None.
        scalars: step and values of each line of metrics.jsonl.
        protocol, options: how its test images are ranked.
        missing: what the folder lacks, and what the report lacks for it.
        has_paths: whether the table's paths are files', not made up of row numbers.
        read, grey16: the bytes of an image file, and 16-bit ones, see `Images`.
    """

    name: str
    folder: Path
    scores: Sequence[Score] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    table: FeatureTable | None = None
    scalars: Sequence[dict[str, Any]] = ()
    protocol: Protocol = field(default_factory=CustomProtocol)
    options: Options = field(default_factory=GalleryOptions)
    missing: tuple[str, ...] = ()
    has_paths: bool = True
    read: Callable[[str], bytes] = read_file
    grey16: Grey16 = field(default_factory=Grey16)

    @property
    def entry(self) -> Entry:
        """Its scores for a comparison, under its name."""
        return Entry(self.name, self.about, self.scores)

    @property
    def headline(self) -> Float[np.ndarray, "n d"]:
        """The first kind of features, by which the images are ranked."""
        assert self.table is not None
        return next(iter(self.table.features.values()))


def open_run(
    folder: str | os.PathLike[str], read: Callable[[str], bytes] = read_file
) -> ReportedRun:
    """Reads a run's folder.

    Args:
        folder: with any of results.json, features.npz, metrics.jsonl, config.json.
        read: of the test images.

    Raises:
        FileNotFoundError: there is no such folder, or nothing to report in it.
    """
    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is no folder: give the folder of a run")
    run = ReportedRun(path.absolute().name, path, read=read)
    for with_file in (_with_results, _with_config, _with_features, _with_scalars):
        run = with_file(run)
    if not run.scores and run.table is None and not run.scalars:
        raise FileNotFoundError(
            f"nothing to report in {path}: give the folder of a run, with {RESULTS}, "
            f"{FEATURES} or {METRICS}"
        )
    return run


def named(runs: Sequence[ReportedRun]) -> list[ReportedRun]:
    """Runs whose folders have the same name are called by the whole path."""
    names = [run.name for run in runs]
    return [
        replace(run, name=str(run.folder)) if names.count(run.name) > 1 else run
        for run in runs
    ]


def _lacking(run: ReportedRun, why: object, lacks: str) -> ReportedRun:
    return replace(run, missing=(*run.missing, f"{why}: {lacks}"))


def _with_results(run: ReportedRun) -> ReportedRun:
    try:
        about, scores = read_results(run.folder / RESULTS)
    except FileNotFoundError:
        return _lacking(run, f"no {RESULTS}", "no table of scores and no CMC curves")
    except (OSError, ValueError) as error:
        return _lacking(run, error, "no table of scores and no CMC curves")
    return replace(run, about=about, scores=scores)


def _with_config(run: ReportedRun) -> ReportedRun:
    try:
        config = from_json(read_config(run.folder))
        run = replace(run, protocol=config.data.protocol, options=config.evaluation)
        return replace(run, grey16=grey16_of_run(config, run.folder))
    except FileNotFoundError:
        why: object = f"no {CONFIG}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = error
    return _lacking(run, why, "all test images are ranked, in both directions")


def _with_features(run: ReportedRun) -> ReportedRun:
    lacks = "no verification, distances, cameras, map and rank lists"
    try:
        table = read_features(run.folder / FEATURES)
    except FileNotFoundError:
        return _lacking(run, f"no {FEATURES}", lacks)
    except (OSError, ValueError) as error:
        return _lacking(run, error, lacks)
    if table.modality is None:
        return _lacking(run, f"{FEATURES} has no modality", lacks)
    count = len(table.ids)
    if table.cameras is None:
        run = _lacking(run, f"{FEATURES} has no cameras", "a camera of each modality")
        table = replace(table, cameras=table.modality + 1)
    if table.paths is None:
        run = _lacking(run, f"{FEATURES} has no paths", "no pictures")
        table = replace(table, paths=np.array([f"row {i}" for i in range(count)]))
        run = replace(run, has_paths=False)
    return replace(run, table=table)


def _with_scalars(run: ReportedRun) -> ReportedRun:
    try:
        text = (run.folder / METRICS).read_text(errors="replace")
    except OSError:
        return _lacking(run, f"no {METRICS}", "no curves of the training")
    lines = [line for line in map(_scalars, text.splitlines()) if line]
    return replace(run, scalars=lines)


def _scalars(line: str) -> dict[str, Any]:
    """A line's values; none of one that a killed run has left half."""
    try:
        values = json.loads(line)
        return values if isinstance(values["step"], int) else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
