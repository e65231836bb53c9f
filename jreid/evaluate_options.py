"""The options of jreid.evaluate, and which of its ways of scoring they ask for."""

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

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
OF_GALLERIES = ("trials", "draw", "permutations", "legacy")
_OF_BOTH = (
    *("rerank", "no_rerank", "split", "out", "dataset", "root"),
    *OF_GALLERIES,
)
WAYS = {
    "workdir": (
        "runs",
        "step",
        "feature",
        "flip",
        "no_flip",
        "config",
        "tfds",
        *_OF_BOTH,
    ),
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
