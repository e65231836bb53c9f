"""`jreid.evaluate RUN ...`: the options of a command line put into runs' configs."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jreid.config import Config
from jreid.config_json import from_json
from jreid.data.data_sets import DATA_SETS
from jreid.evaluation.protocols.protocol import GalleryOptions
from jreid.parts import check
from jreid.run.about import kind_of_feature
from jreid.run.mean_of_runs import score_runs
from jreid.run.run_folders import Run, find_runs
from jreid.run.workdir import read_config


@dataclass(frozen=True)
class RunOptions:
    """How runs are scored; None: as their configs say."""

    galleries: Mapping[str, Any] = field(default_factory=dict)  # of `GalleryOptions`
    rerank: bool | None = None
    feature: Literal["embeddings", "features"] | None = None
    flip: bool | None = None
    dataset: str | None = None  # another than the run's; a key of `DATA_SETS`
    split: int | None = None  # of RegDB
    root: str | None = None
    tfds: str | None = None


def evaluate_runs(
    names: Sequence[str],
    given: RunOptions,
    *,
    step: int | None = None,
    out: Path | None = None,
) -> None:
    """Scores one run, or several and their mean; prints tables, writes files.

    Args:
        names: folders of runs, or patterns of their names.
        given: how they are scored.
        step: of the checkpoint; None for the newest.
        out: a folder for the files instead of the runs'.

    Raises:
        ValueError: an option that does not apply to a run, or runs that make no mean.
        OSError: a file is missing, or cannot be written.
    """
    found = [scored_run(folder, given) for folder in find_runs(names)]
    runs, tested_on = [run for run, _ in found], found[0][1]
    if len(runs) > 1:
        score_runs(runs, step=step, out=out, tested_on=tested_on)
        return
    from jreid.run import results, trained  # import JAX

    run = runs[0]
    scores, about = trained.evaluate_run(
        run.config, run.folder, step, out, tested_on, run.variant(step)
    )
    results.print_report(scores, about, out or run.folder, tested_on)


def scored_run(folder: Path, given: RunOptions) -> tuple[Run, Any]:
    """A run with the config to score it by, and the data set, if it is another one.

    Raises:
        ValueError: the run's config cannot be read, or an option does not apply to it.
        OSError: there is no run.
    """
    config = from_json(read_config(folder))
    words = tuple(_other_words(config, given))
    tested_on = _other_data_set(config, given)
    if tested_on is None:
        _place(config, folder, given)
    protocol = (tested_on or config.data).protocol
    for name in given.galleries:
        if name not in protocol.options:
            raise ValueError(
                f"--{name} does not apply to {folder}, "
                f"tested on {(tested_on or config.data).key!r}"
            )
    _apply(config, given, keep=protocol.options)
    if tested_on is None:
        check(config)
    else:
        check(config.evaluation, "config.evaluation")
        check(config.embedding, "config.embedding")
        protocol.check(config.evaluation)
    return Run(folder, config, words), tested_on


def _other_words(config: Config, given: RunOptions) -> Iterator[str]:
    """A word for each option by which the run is scored otherwise than by itself."""
    for name, value in given.galleries.items():
        if getattr(config.evaluation, name) != value:
            yield name if name in ("legacy", "permutations") else f"{name}-{value}"
    if given.rerank not in (None, config.evaluation.rerank):
        yield "rerank" if given.rerank else "no-rerank"
    if given.feature is not None and given.feature != kind_of_feature(config):
        yield given.feature
    if given.flip not in (None, config.embedding.flip):
        yield "flip" if given.flip else "no-flip"


def _other_data_set(config: Config, given: RunOptions) -> Any:
    """The data set of --dataset, unless it is the run's own."""
    if given.dataset is None or given.dataset == config.data.key:
        return None
    kind = DATA_SETS[given.dataset]
    values = {"root": given.root, "tfds": given.tfds, "split": given.split}
    values = {name: value for name, value in values.items() if value is not None}
    if unknown := values.keys() - {field.name for field in dataclasses.fields(kind)}:
        raise ValueError(
            f"--{unknown.pop()} does not apply to --dataset {given.dataset}"
        )
    if not values.keys() & {"root", "tfds"}:
        raise ValueError(f"--dataset {given.dataset} needs --root, its folder")
    data = kind(**values)
    check(data, "data")
    if getattr(data, "split", None) == 0:
        raise ValueError("split is 0; RegDB has the splits 1 to 10")
    return data


def _place(config: Config, folder: Path, given: RunOptions) -> None:
    """Where the run's own data set is read from, and which split."""
    data = config.data
    if given.split is not None:
        if not hasattr(data, "split"):
            raise ValueError(
                f"--split does not apply to {folder}, a run on {data.key!r}"
            )
        if given.split != data.split:
            raise ValueError(
                f"{folder} was trained for split {data.split} of RegDB: among the test "
                f"images of split {given.split} are images it was trained on. Give the "
                f"run of split {given.split}"
            )
    if given.root is not None and given.tfds is not None:
        raise ValueError("give --root or --tfds: images are read from one of them")
    if given.root is not None:
        data.root = given.root
        if hasattr(data, "tfds"):
            data.tfds = ""
    if given.tfds is not None:
        if not hasattr(data, "tfds"):
            raise ValueError(
                f"--tfds does not apply to {folder}, a run on {data.key!r}"
            )
        data.tfds = given.tfds
        data.root = data.root if data.root == "synvi" else ""


def _apply(config: Config, given: RunOptions, keep: Sequence[str]) -> None:
    """Options of the evaluation and of the embedding.

    Args:
        config: is changed.
        given: what is not None.
        keep: options of galleries that the protocol has; others are as published.
    """
    evaluation, embedding = config.evaluation, config.embedding
    for option in dataclasses.fields(GalleryOptions):
        if option.name in given.galleries:
            setattr(evaluation, option.name, given.galleries[option.name])
        elif option.name not in keep:
            setattr(evaluation, option.name, option.default)
    if given.rerank is not None:
        evaluation.rerank = given.rerank
    if given.feature is not None:
        embedding.features = float(given.feature == "features")
        embedding.embeddings = float(given.feature == "embeddings")
    if given.flip is not None:
        embedding.flip = given.flip
