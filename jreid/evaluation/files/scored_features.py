"""`jreid.evaluate --features`: features from elsewhere, as tables and files."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jreid.evaluation import protocols, table
from jreid.evaluation.files import features_file
from jreid.evaluation.files.score_files import make_folder, write_scores
from jreid.progress import counted_tables
from jreid.run.about import about_features
from jreid.run.splits import SPLITS, Scored, mean_title

_OPTIONS = ("modes", "shots", "trials", "trial", "draw", "permutations", "legacy")


def score_features(given: argparse.Namespace) -> None:
    """Scores features files, prints the tables, and writes into --out if given."""
    if given.protocol is None:
        raise ValueError(
            f"--features needs --protocol, one of {', '.join(features_file.OPTIONS)}"
        )
    options = {
        name: getattr(given, name)
        for name in _OPTIONS
        if getattr(given, name) is not None
    }
    features_file.check_options(given.protocol, options)
    several = len(given.features) > 1
    trials = _splits_of(given.features, given.protocol, options) if several else []
    if given.out is not None:
        make_folder(given.out)
    if several:
        scores, about = _score_splits(given, trials)
    else:
        scores, about = _score_file(given, given.features[0], options)
        print(table.format_table(scores, about))
    if given.out is not None:
        print("\n".join(write_scores(given.out, scores, about)))


def _splits_of(
    files: Sequence[Path], protocol: str, options: dict[str, Any]
) -> list[int]:
    """The split of RegDB that each of several files is of."""
    if protocol != "regdb" or "trial" in options or len(files) > len(SPLITS):
        raise ValueError(
            f"{len(files)} features files: several are up to ten splits of RegDB, with "
            "--protocol regdb and without --trial"
        )
    places = [file.resolve() for file in files]
    for place, file in enumerate(places):
        if file in places[:place]:
            raise ValueError(
                f"{files[place]} is given twice: the mean takes one file of each split"
            )
    # A shell sorts split10.npz before split2.npz: the last number of the name counts.
    found = [re.findall(r"\d+", str(file.with_suffix(""))) for file in files]
    numbers = [int(digits[-1]) for digits in found if digits]
    if len(set(numbers)) == len(files) and set(numbers) <= set(SPLITS):
        return numbers
    return list(SPLITS[: len(files)])


def _score_splits(given: argparse.Namespace, trials: Sequence[int]) -> Scored:
    """Prints the scores of each of RegDB's splits; returns their mean."""
    scored = []
    for trial, file in sorted(zip(trials, given.features, strict=True)):
        scores, about = _score_file(given, file, {"trial": trial})
        print(f"{table.format_table(scores, about)}\n")
        scored.append(scores)
    means = protocols.mean_over_splits(scored)
    about = about_features("mean", ", ".join(file.name for file in given.features))
    print(f"{mean_title(sorted(trials))}\n")
    print(table.format_table(means, about))
    return means, about


def _score_file(
    given: argparse.Namespace, file: Path, options: dict[str, Any]
) -> Scored:
    contents = features_file.read_features(file)
    for note in _notes(given, file, contents):
        print(f"note: {note}", file=sys.stderr)
    settings = features_file.count_settings(contents, given.protocol, **options)
    with counted_tables(settings * len(given.kinds or contents.features)) as progress:
        scores = features_file.score_features(
            contents,
            given.protocol,
            source=file,
            kinds=given.kinds,
            reranking=given.rerank is not False,
            progress=progress,
            **options,
        )
    return scores, about_features(file.stem, file.name, options.get("trial"))


def _notes(
    given: argparse.Namespace, file: Path, contents: features_file.FeaturesFile
) -> Iterator[str]:
    """What a reader of the table should know of the file."""
    if contents.unused:
        yield f"{file}: not used: {', '.join(contents.unused)}"
    if contents.paths is None and given.protocol in ("sysu", "llcm"):
        yield (
            f"{file} has no paths: the images of an identity and camera are taken to "
            "be in the order of their sorted file names"
        )
    if given.draw == "official" and not given.permutations and given.shots is None:
        yield "multi-shot is left out: its official draw needs --permutations"
