"""Scores trained runs, or any model's features: `python -m jreid.evaluate`.

    runs/sysu                               a run, on its test identities
    'runs/regdb-*'                          RegDB's splits, a run each, and their mean
    runs/sysu-seed*                         one config from several seeds: their mean
    runs/sysu --dataset regdb --root RegDB  a run on another data set
    --features features.npz --protocol sysu     features from elsewhere
    --compare runs/a runs/b paper           scores side by side

Scoring features and comparing need NumPy, SciPy and tyro only; JAX is imported for
runs.
"""

import dataclasses
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

import tyro  # noqa: E402

from jreid.command_line import exit_code, parse  # noqa: E402

if TYPE_CHECKING:
    from jreid.evaluation.files.embeddings_folder import Labels

PROGRAM = "python -m jreid.evaluate"

_shown = functools.partial(tyro.conf.arg, help_behavior_hint="")
Flag = Annotated[tyro.conf.FlagCreatePairsOff[bool], _shown()]
Number = Annotated[int | None, _shown(metavar="N")]
Text = Annotated[str | None, _shown(metavar="STR")]
File = Annotated[Path | None, _shown(metavar="PATH")]
Names = Annotated[tuple[str, ...], _shown(metavar="NAME ...")]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; an option left out is None, empty or False."""

    runs: tyro.conf.Positional[Names] = ()
    """Folders of runs, or a quoted pattern; several are splits of RegDB or seeds."""
    workdir: Names = ()
    """The same."""
    features: Annotated[tuple[Path, ...], _shown(metavar="PATH ...")] = ()
    """Files (.npz, .mat) or a folder of jreid.embed; several are splits of RegDB."""
    compare: Names = ()
    """Runs, their results.json, or `paper` for the published rows."""

    protocol: Annotated[
        Literal["sysu", "regdb", "llcm", "custom"] | None,
        _shown(metavar="{sysu,regdb,llcm,custom}"),
    ] = None
    """Of features."""
    kinds: Names = ()
    """Of features: score only these arrays."""
    modes: Annotated[
        tuple[Literal["all", "indoor"], ...], _shown(metavar="{all,indoor} ...")
    ] = ()
    """Of features, SYSU-MM01's."""
    shots: Annotated[tuple[int, ...], _shown(metavar="N ...")] = ()
    """Of features, SYSU-MM01's: images per id and camera."""
    labels: File = None
    """Of a folder of jreid.embed: a CSV file of path,id,camera."""

    step: Number = None
    """Of runs: score this checkpoint instead of the newest."""
    feature: Annotated[
        Literal["embeddings", "features"] | None,
        _shown(metavar="{embeddings,features}"),
    ] = None
    """Of runs: after or before the neck."""
    flip: Flag = False
    """Of runs: average mirror images."""
    no_flip: Flag = False
    """Of runs: do not."""

    dataset: Annotated[
        Literal["sysu_mm01", "regdb", "llcm", "folder"] | None,
        _shown(metavar="{sysu_mm01,regdb,llcm,folder}"),
    ] = None
    """Test images of another data set than the run's, or of a folder of jreid.embed."""
    root: Text = None
    """The data set's folder, where it is not the run's."""
    tfds: Text = None
    """Where the data set was built for TFDS, where that is not the run's."""

    rerank: Flag = False
    """Also re-rank."""
    no_rerank: Flag = False
    """Do not."""
    trials: Number = None
    """Galleries to draw (10 in the protocols)."""
    split: Number = None
    """RegDB's, 1 to 10."""
    draw: Annotated[
        Literal["agw", "official"] | None, _shown(metavar="{agw,official}")
    ] = None
    """Of SYSU-MM01's galleries."""
    permutations: Text = None
    """SYSU-MM01's rand_perm_cam.mat, for --draw official."""
    legacy: Flag = False
    """LLCM as released code."""
    out: File = None
    """The folder for results.json and cmc.png."""
    config: File = None
    """Of runs: a file of your own whose parts they use."""
    traceback: Flag = False
    """Show where an error was raised."""

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the options of these names that the command line has."""
        found = {name: getattr(self, name) for name in names}
        return {
            name: value
            for name, value in found.items()
            if value is not None and value is not False and value != ()
        }

    def switch(self, name: str) -> bool | None:
        """Of --NAME and --no-NAME what is given; None for neither."""
        if getattr(self, f"no_{name}"):
            return False
        return getattr(self, name) or None


# Each way of scoring, and the options that it takes besides --traceback.
_OF_GALLERIES = ("trials", "draw", "permutations", "legacy")
_OF_BOTH = (
    *("rerank", "no_rerank", "split", "out", "dataset", "root", "tfds"),
    *_OF_GALLERIES,
)
WAYS = {
    "workdir": ("runs", "step", "feature", "flip", "no_flip", "config", *_OF_BOTH),
    "features": ("protocol", "kinds", "modes", "shots", "labels", *_OF_BOTH),
    "compare": (),
}


def way_of(options: Options) -> str:
    """Which way of scoring is asked for.

    Raises ValueError for none or several, or an option that the way does not take.
    """
    ways = list(options.given("features", "compare"))
    if options.runs or options.workdir:
        ways.insert(0, "workdir")
    if len(ways) != 1:
        found = (
            f": {' and '.join(f'--{way}' for way in ways)} are given" if ways else ""
        )
        raise ValueError(
            f"one of the arguments --workdir --features --compare is required{found} "
            "(see --help)"
        )
    (way,) = ways
    names = {field.name for field in dataclasses.fields(Options)} - {"traceback"}
    for name in sorted(options.given(*names).keys() - {way, *WAYS[way]}):
        takers = " or ".join(f"--{w}" for w in WAYS if name in WAYS[w])
        word = name.replace("_", "-")
        raise ValueError(f"--{word} goes with {takers}, not with --{way}")
    for name in ("rerank", "flip"):
        if getattr(options, name) and getattr(options, f"no_{name}"):
            raise ValueError(f"--{name} and --no-{name} are given: leave one out")
    return way


def score_features(options: Options) -> None:
    """Scores features from elsewhere, or a folder of embeddings."""
    from jreid.evaluation.files import evaluate_features as features  # imports SciPy
    from jreid.evaluation.files.embeddings_folder import read_labels
    from jreid.evaluation.protocols.by_key import PROTOCOLS

    if options.labels is not None and options.dataset is not None:
        raise ValueError("--labels and --dataset are given: leave one out")
    if options.dataset is None and (lost := options.given("root", "tfds")):
        raise ValueError(f"--{next(iter(lost))} of features goes with --dataset")
    protocol, labels = options.protocol, None
    if options.labels is not None:
        labels = read_labels(options.labels)
    elif options.dataset is not None:
        labels, own = labels_of_data_set(options.dataset, options)
        protocol = protocol or own
    if protocol is None:
        raise ValueError(f"--features needs --protocol, one of {', '.join(PROTOCOLS)}")
    given = features.FeatureOptions(
        protocol,
        options.given("modes", "shots", "split", *_OF_GALLERIES),
        kinds=options.kinds,
        reranking=not options.no_rerank,
        labels=labels,
    )
    features.evaluate_features(options.features, given, options.out)


def labels_of_data_set(key: str, options: Options) -> "tuple[Labels, str]":
    """The labels of a data set's test images, and the word for its protocol."""
    from jreid.data.data_sets import DATA_SETS
    from jreid.data.synvi import synvi_root
    from jreid.evaluation.files.embeddings_folder import Labels

    if options.root is None:
        raise ValueError(
            f"--dataset {key} of features needs --root, the folder whose images were "
            "embedded"
        )
    kind = DATA_SETS[key]
    data = kind(root=options.root, **options.given(*{"split"} & set(kind.__slots__)))
    test = data.read().test
    paths = test.paths.tolist()
    labels = Labels(
        f"the test images of {options.root}",
        dict(zip(paths, test.ids.tolist(), strict=True)),
        dict(zip(paths, test.cameras.tolist(), strict=True)),
        synvi_root() if options.root == "synvi" else Path(options.root).expanduser(),
    )
    return labels, data.protocol.key


def score_runs(options: Options) -> None:
    """Scores runs, for which the whole of jreid is needed."""
    try:
        from jreid.run.evaluate_runs import RunOptions, evaluate_runs
        from jreid.user_files import load_file

        if options.config is not None:
            load_file(options.config)
        given = RunOptions(
            galleries=options.given(*_OF_GALLERIES),
            rerank=options.switch("rerank"),
            feature=options.feature,
            flip=options.switch("flip"),
            dataset=options.dataset,
            split=options.split,
            root=options.root,
            tfds=options.tfds,
        )
        names = (*options.runs, *options.workdir)
        evaluate_runs(names, given, step=options.step, out=options.out)
    except ModuleNotFoundError as error:
        if options.traceback:
            raise
        raise ValueError(
            f"scoring a run needs the whole of jreid, pip install jreid: {error}"
        ) from error


def score(arguments: list[str]) -> None:
    """Scores in the way asked for."""
    options = parse(Options, PROGRAM, arguments, __doc__ or "")
    way = way_of(options)
    if way == "compare":
        from jreid.evaluation import compare

        print(compare.compare([compare.load_entry(name) for name in options.compare]))
    elif way == "features":
        score_features(options)
    else:
        score_runs(options)


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return exit_code(score, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
