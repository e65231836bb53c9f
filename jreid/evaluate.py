"""Scores trained runs, or any model's features: `python -m jreid.evaluate`.

    --workdir runs/sysu                     a run, on its test identities
    --workdir 'runs/regdb-*'                RegDB's splits, a run each, and their mean
    --features features.npz --protocol sysu     features from elsewhere
    --compare runs/a runs/b paper           scores side by side

Scoring features and comparing need NumPy and SciPy only; JAX is imported for runs.
"""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from jreid.config import DRAWS, Config, config_from_dict, validate
from jreid.evaluation import compare
from jreid.evaluation.files import features_file
from jreid.evaluation.files import scored_features as features
from jreid.evaluation.trials import SYSU_GALLERY_CAMERAS
from jreid.run import splits
from jreid.run.workdir import read_config

# Each way of scoring, and the options that it takes besides --traceback. An option
# left out is None.
_OF_BOTH = ("rerank", "trials", "trial", "draw", "permutations", "legacy", "out")
WAYS = {
    "workdir": ("root", "tfds", "step", "feature", "flip", *_OF_BOTH),
    "features": ("protocol", "kinds", "modes", "shots", *_OF_BOTH),
    "compare": (),
}
# Options that change a field of a run's config.evaluation.
_EVALUATION = ("feature", "flip", *(n for n in _OF_BOTH if n not in ("trial", "out")))
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


def score_runs(given: argparse.Namespace) -> None:
    """Scores one run, or one run for each of RegDB's splits and their mean."""
    folders = splits.find_runs(given.workdir)
    runs = [splits.SplitRun(folder, run_config(given, folder)) for folder in folders]
    if len(runs) > 1:
        splits.score_splits(runs, step=given.step, out=given.out)
        return
    from jreid import system
    from jreid.run import results, trained  # import JAX

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
    for name in _EVALUATION:
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
            features.score_features(given)
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
