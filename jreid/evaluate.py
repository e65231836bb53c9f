"""Scores trained runs, or any model's features: `python -m jreid.evaluate`.

    --workdir runs/sysu                     a run, on its test identities
    --workdir 'runs/regdb-*'                RegDB's splits, a run each, and their mean
    --features features.npz --protocol sysu     features from elsewhere
    --compare runs/a runs/b paper           scores side by side

Scoring features and comparing need NumPy and SciPy only; JAX is imported for runs.
"""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from jreid import __version__, splits
from jreid.config import DRAWS, Config, config_from_dict, validate
from jreid.evaluation import compare, features_file, protocols, table
from jreid.evaluation.trials import SYSU_GALLERY_CAMERAS
from jreid.progress import Progress
from jreid.score_files import make_folder, write_scores
from jreid.workdir import read_config

# Each way of scoring, and the options that it takes besides --traceback. An option
# left out is None.
WAYS = {
    "workdir": (
        *(
            "root",
            "tfds",
            "step",
            "trial",
            "trials",
            "feature",
            "flip",
            "rerank",
            "draw",
        ),
        *("permutations", "legacy", "out"),
    ),
    "features": (
        *("protocol", "kinds", "modes", "shots", "trials", "trial", "draw"),
        *("permutations", "legacy", "rerank", "out"),
    ),
    "compare": (),
}
EVALUATION_FIELDS = (
    *("trials", "feature", "flip", "rerank", "draw", "permutations", "legacy"),
)
# The protocol of each data set that a run can be on.
PROTOCOLS = {
    "sysu_mm01": "sysu",
    "regdb": "regdb",
    "llcm": "llcm",
    "folder": "custom",
}


class Parser(argparse.ArgumentParser):
    """Raises ValueError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        """An error becomes one line, as everywhere in this program."""
        raise ValueError(f"{message} (see --help)")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line; options left out are None."""
    parser = Parser(
        prog="python -m jreid.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    ways = parser.add_argument_group(
        "what to score, one of"
    ).add_mutually_exclusive_group(required=True)
    ways.add_argument(
        "--workdir",
        nargs="+",
        metavar="RUN",
        help="folders of runs, or a quoted pattern; several are splits of RegDB",
    )
    ways.add_argument(
        "--features",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=".npz or .mat, see the README; several are splits of RegDB",
    )
    ways.add_argument(
        "--compare",
        nargs="+",
        metavar="RUN",
        help="runs, their results.json, or `paper` for the published rows",
    )
    add = parser.add_argument_group("of features").add_argument
    add("--protocol", choices=tuple(features_file.OPTIONS))
    add("--kinds", nargs="+", metavar="NAME", help="score only these arrays")
    add("--modes", nargs="+", choices=tuple(SYSU_GALLERY_CAMERAS), help="SYSU-MM01")
    add("--shots", nargs="+", type=int, help="SYSU-MM01: images per id and camera")
    add = parser.add_argument_group("of runs").add_argument
    add("--root", help="the data set's folder, where it is not the run's")
    add("--tfds", help="where it was built for TFDS, where that is not the run's")
    add("--step", type=int, help="score this checkpoint instead of the newest")
    add(
        "--feature", choices=("embeddings", "features"), help="after or before the neck"
    )
    add("--flip", action=argparse.BooleanOptionalAction, help="average mirror images")
    add = parser.add_argument_group("of both").add_argument
    add("--rerank", action=argparse.BooleanOptionalAction, help="also re-rank")
    add("--trials", type=int, help="galleries to draw (10 in the protocols)")
    add("--trial", type=int, help="RegDB: the split, 1 to 10")
    add("--draw", choices=DRAWS, help="SYSU-MM01's galleries")
    add("--permutations", help="SYSU-MM01's rand_perm_cam.mat, for --draw official")
    add("--legacy", action="store_true", default=None, help="LLCM as released code")
    add("--out", type=Path, help="the folder for results.json and cmc.png")
    add = parser.add_argument
    add("--traceback", action="store_true", help="show where an error was raised")
    given = parser.parse_args(arguments)
    _refuse_foreign_options(given)
    return given


def _refuse_foreign_options(given: argparse.Namespace) -> None:
    """An option that this way of scoring does not take is refused, never ignored."""
    way = next(way for way in WAYS if getattr(given, way) is not None)
    for name in sorted({name for names in WAYS.values() for name in names}):
        if getattr(given, name) is not None and name not in WAYS[way]:
            takers = " or ".join(f"--{w}" for w in WAYS if name in WAYS[w])
            raise ValueError(f"--{name} goes with {takers}, not with --{way}")


def score_features(given: argparse.Namespace) -> None:
    """Scores features files, prints the tables, and writes into --out if given."""
    if given.protocol is None:
        raise ValueError(
            f"--features needs --protocol, one of {', '.join(features_file.OPTIONS)}"
        )
    names = ("modes", "shots", "trials", "trial", "draw", "permutations", "legacy")
    options = {
        name: getattr(given, name) for name in names if getattr(given, name) is not None
    }
    features_file.check_options(given.protocol, options)
    if given.out is not None:
        make_folder(given.out)
    if len(given.features) == 1:
        scores, about = _score_file(given, given.features[0], options)
        print(table.format_table(scores, about))
    else:
        scores, about = _score_split_files(given, options)
    if given.out is not None:
        print("\n".join(write_scores(given.out, scores, about)))


def _score_split_files(
    given: argparse.Namespace, options: dict[str, Any]
) -> splits.Scored:
    """Prints the scores of each of RegDB's splits; returns their mean."""
    files = given.features
    if given.protocol != "regdb" or "trial" in options or len(files) > 10:
        raise ValueError(
            f"{len(files)} features files: several are up to ten splits of RegDB, in "
            "their order, with --protocol regdb and without --trial"
        )
    scored = []
    for trial, file in enumerate(files, start=1):
        scores, about = _score_file(given, file, {"trial": trial})
        print(f"{table.format_table(scores, about)}\n")
        scored.append(scores)
    about = _about_features(" ".join(file.name for file in files), None)
    means = protocols.mean_over_splits(scored)
    print(f"mean of {len(files)} splits (RegDB's protocol takes ten)\n")
    print(table.format_table(means, about))
    return means, about


def _score_file(
    given: argparse.Namespace, file: Path, options: dict[str, Any]
) -> splits.Scored:
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
    return scores, _about_features(file.name, options.get("trial"))


def _about_features(name: str, trial: int | None) -> dict[str, Any]:
    """The keys of `results.about`, of which a features file tells few."""
    return {
        "name": Path(name).stem,
        "step": None,
        "feature": None,
        "flip": None,
        "config_hash": None,
        "dataset": None,
        "root": None,
        "trial": trial,
        "features_file": name,
        "version": __version__,
        "config": None,
    }


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


@contextlib.contextmanager
def counted_tables(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar over the tables that the protocols announce before each."""
    begun = itertools.count()
    with Progress(total, "score", unit="tables") as bar:
        yield lambda name: bar.update(next(begun), name)
        bar.update(total, "done")


def score_runs(given: argparse.Namespace) -> None:
    """Scores one run, or one run for each of RegDB's splits and their mean."""
    folders = splits.find_runs(given.workdir)
    runs = [splits.SplitRun(folder, run_config(given, folder)) for folder in folders]
    if len(runs) > 1:
        splits.score_splits(runs, step=given.step, out=given.out)
        return
    from jreid import results, system, trained  # import JAX

    system.quieten_tensorflow()
    config, folder = runs[0].config, runs[0].folder
    scores, about = trained.evaluate_run(config, folder, given.step, given.out)
    results.print_report(scores, about, given.out or folder)


def run_config(given: argparse.Namespace, folder: Path) -> Config:
    """A run's config with the options of the command line applied."""
    config = config_from_dict(read_config(folder))
    data = config.data
    taken = features_file.OPTIONS[PROTOCOLS[data.dataset]]
    for name in ("trial", "trials", "draw", "permutations", "legacy"):
        if getattr(given, name) is not None and name not in taken:
            raise ValueError(
                f"--{name} does not apply to {folder}, a run on {data.dataset!r}"
            )
    if given.trial is not None and given.trial != data.trial:
        raise ValueError(
            f"{folder} was trained for split {data.trial} of RegDB: among the test "
            f"images of split {given.trial} are images it was trained on. Give the run "
            f"of split {given.trial}"
        )
    if given.root is not None and given.tfds is not None:
        raise ValueError("give --root or --tfds: images are read from one of them")
    if given.root is not None:
        data.root, data.tfds = given.root, ""
    if given.tfds is not None:
        data.tfds = given.tfds
        data.root = data.root if data.root == "synvi" else ""
    for name in EVALUATION_FIELDS:
        if getattr(given, name) is not None:
            setattr(config.evaluation, name, getattr(given, name))
    validate(config)
    return config


def main(arguments: list[str]) -> int:
    """Scores in the way asked for; an error becomes one line and exit code 2."""
    try:
        given = parse_arguments(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        if given.compare is not None:
            entries = [compare.load_entry(name) for name in given.compare]
            print(compare.compare(entries))
        elif given.features is not None:
            score_features(given)
        else:
            score_runs(given)
    except ModuleNotFoundError as error:
        if given.traceback or given.workdir is None:
            raise
        reason = f"scoring a run needs the whole of jreid, pip install jreid: {error}"
        print(f"error: {reason}", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        if given.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
