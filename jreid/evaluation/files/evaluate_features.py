"""`jreid.evaluate --features`: features from elsewhere, as tables and files."""

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jreid.evaluation import table
from jreid.evaluation.files.embeddings_folder import Labels, read_embeddings
from jreid.evaluation.files.feature_table import FeatureTable
from jreid.evaluation.files.features_file import named, read_features
from jreid.evaluation.files.results_file import (
    about_scores,
    make_folder,
    write_results,
)
from jreid.evaluation.mean_of_scores import mean_over_splits
from jreid.evaluation.protocols.by_key import make_protocol
from jreid.evaluation.protocols.regdb import SPLITS, mean_title
from jreid.evaluation.score import Score
from jreid.evaluation.score_features import score_settings
from jreid.progress import counted_tables

Scored = tuple[list[Score], dict[str, Any]]
_ALIKE = ("step", "feature", "flip", "measure", "config_hash", "dataset", "root")


@dataclass(frozen=True)
class FeatureOptions:
    """How features are scored."""

    protocol: str  # of `PROTOCOLS`
    options: Mapping[str, Any] = field(default_factory=dict)  # see `make_protocol`
    kinds: Sequence[str] = ()  # of the features; (): all
    reranking: bool = True
    # Of a folder that `jreid.embed` has written, for a split of RegDB if it is known.
    labels: Callable[[Path, int | None], Labels] | None = None


def evaluate_features(
    sources: Sequence[Path], given: FeatureOptions, out: Path | None = None
) -> None:
    """Scores features, prints the tables, and writes into a folder if one is given.

    Args:
        sources: files, or folders of embeddings; several are splits of RegDB.
        given: how they are scored.
        out: a folder for results.json and cmc.png.

    Raises:
        ValueError: what is given does not go together, or cannot be scored.
        OSError: a file cannot be read or written.
    """
    make_protocol(given.protocol, given.options)
    several = len(sources) > 1
    splits = _splits_of(sources, given) if several else []
    if out is not None:
        make_folder(out)
    if several:
        shown, scores, about = _score_splits(sources, splits, given)
    else:
        scores, about = _score_source(sources[0], given, given.options)
        shown = [table.format_table(scores, about)]
    # Written before it is printed: a terminal may have gone.
    lines = [] if out is None else write_results(out, scores, about)
    print("\n".join([*shown, *lines]))


def _splits_of(sources: Sequence[Path], given: FeatureOptions) -> list[int]:
    """The split of RegDB that each of several files is of."""
    if (
        given.protocol != "regdb"
        or "split" in given.options
        or len(sources) > len(SPLITS)
    ):
        raise ValueError(
            f"{len(sources)} features files: several are up to ten splits of RegDB, "
            "with --protocol regdb and without --split"
        )
    places = [source.resolve() for source in sources]
    for place, source in enumerate(places):
        if source in places[:place]:
            raise ValueError(
                f"{sources[place]} is given twice: the mean takes one file of each "
                "split"
            )
    # A shell sorts split10.npz before split2.npz: the last number of the name counts.
    shared = os.path.commonpath([place.parent for place in places])
    names = [str(place.relative_to(shared).with_suffix("")) for place in places]
    found = [re.findall(r"\d+", name) for name in names]
    numbers = [int(digits[-1]) if digits else 0 for digits in found]
    if len(set(numbers)) == len(sources) and set(numbers) <= set(SPLITS):
        return numbers
    if any(found):
        raise ValueError(
            f"which splits of RegDB are {', '.join(map(str, sources))}? The last "
            "number of a name tells, 1 to 10, each once: rename the files, or give one "
            "at a time with --split"
        )
    return list(SPLITS[: len(sources)])


def _score_splits(
    sources: Sequence[Path], splits: Sequence[int], given: FeatureOptions
) -> tuple[list[str], list[Score], dict[str, Any]]:
    """Tables of each of RegDB's splits and of their mean, then that mean."""
    shown, scored, abouts = [], [], []
    for split, source in sorted(zip(splits, sources, strict=True)):
        scores, about = _score_source(source, given, {"split": split})
        shown.append(f"{table.format_table(scores, about)}\n")
        scored.append(scores)
        abouts.append(about)
    means = mean_over_splits(scored)
    names = ", ".join(source.name for source in sources)
    about = about_scores(
        "mean", features_file=names, **_shared(abouts), **_left_out(abouts)
    )
    shown.append(f"{mean_title(sorted(splits))}\n")
    shown.append(table.format_table(means, about))
    return shown, means, about


def _shared(abouts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the head says of all of them alike, and a fingerprint of all their paths."""
    first = abouts[0]
    shared = {x: first[x] for x in _ALIKE if all(y[x] == first[x] for y in abouts)}
    paths = [about.get("test_paths") for about in abouts]
    if all(paths):
        digest = hashlib.sha256(" ".join(map(str, paths)).encode()).hexdigest()
        shared["test_paths"] = digest[:12]
    return shared


def _left_out(abouts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = [about["left_out"] for about in abouts if about.get("left_out")]
    return {"left_out": "; ".join(found)} if found else {}


def _score_source(
    source: Path, given: FeatureOptions, options: Mapping[str, Any]
) -> Scored:
    labels = _labels_of(source, given, options.get("split"))
    if labels is not None and labels.about.get("split"):
        options = {**options, "split": labels.about["split"]}
    contents = read_embeddings(source, labels) if labels else read_features(source)
    for note in _notes(source, given, contents):
        print(f"note: {note}", file=sys.stderr)
    protocol, gallery = make_protocol(given.protocol, options)
    with named(source):
        features = contents.kinds(given.kinds)
        settings = protocol.settings(contents, gallery)
        with counted_tables(len(settings) * len(features)) as progress:
            scores = score_settings(
                features,
                contents.ids,
                settings,
                protocol,
                reranking=given.reranking,
                measure=contents.measure,
                progress=progress,
            )
    about = about_scores(
        source.stem,
        features_file=source.name,
        measure=contents.measure,
        **{"split": options.get("split"), **contents.model},
        **contents.test_paths(),
        **contents.left_out(),
    )
    return scores, about


def _labels_of(source: Path, given: FeatureOptions, split: int | None) -> Labels | None:
    """Those of a folder; None for a file, which has its own."""
    if source.is_dir() and given.labels is not None:
        return given.labels(source, split)
    if source.is_dir():
        raise ValueError(
            f"{source} is a folder, as jreid.embed writes it: give --labels with a CSV "
            "file of path,id,camera, or --dataset and --root with the data set whose "
            "test images it holds"
        )
    if given.labels is not None:
        raise ValueError(
            f"{source} is no folder of jreid.embed, and its images have ids in the "
            "file: --labels, or --dataset and --root, would not be used; leave them out"
        )
    return None


def _notes(
    source: Path, given: FeatureOptions, contents: FeatureTable
) -> Iterator[str]:
    """What a reader of the table should know of the file."""
    if contents.unused:
        yield f"{source}: not used: {', '.join(contents.unused)}"
    if contents.paths is None and given.protocol in ("sysu", "llcm"):
        yield (
            f"{source} has no paths: the images of an identity and camera are taken to "
            "be in the order of their sorted file names"
        )
    options = given.options
    if options.get("draw") == "official" and not (
        options.get("permutations") or options.get("shots")
    ):
        yield "multi-shot is left out: its official draw needs --permutations"
