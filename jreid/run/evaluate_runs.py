"""`jreid.evaluate RUN ...`: the options of a command line put into runs' configs."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jreid.config import Config
from jreid.config_json import from_json
from jreid.data.data_sets import DATA_SETS
from jreid.evaluate_options import OF_GALLERIES, Options
from jreid.evaluation.protocols.protocol import GalleryOptions
from jreid.parts import check
from jreid.run.about import kind_of_feature
from jreid.run.mean_of_runs import score_runs
from jreid.run.run_folders import RunFolder, find_runs
from jreid.run.workdir import read_config
from jreid.user_files import load_file


def evaluate_runs(options: Options) -> None:
    """Scores one run, or several and their mean; prints tables, writes files.

    Raises:
        ValueError: an option that does not apply to a run, or runs that make no mean.
        OSError: a file is missing, or cannot be written.
    """
    if options.config is not None:
        load_file(options.config)
    folders = find_runs((*options.runs, *options.workdir))
    found = [scored_run(folder, options) for folder in folders]
    runs, tested_on = [run for run, _ in found], found[0][1]
    step, out = options.step, options.out
    if len(runs) > 1:
        score_runs(runs, step=step, out=out, tested_on=tested_on)
        return
    from jreid.run import results, trained  # import JAX

    run = runs[0]
    scores, about = trained.evaluate_run(
        run.config, run.folder, step, out, tested_on, run.variant(step)
    )
    results.print_report(scores, about, out or run.folder, tested_on)


def scored_run(folder: Path, options: Options) -> tuple[RunFolder, Any]:
    """A run with the config to score it by, and the data set, if it is another one.

    Raises:
        ValueError: the run's config cannot be read, or an option does not apply to it.
        OSError: there is no run.
    """
    config = from_json(read_config(folder))
    words = tuple(_other_words(config, options))
    tested_on = _other_data_set(config, options)
    if tested_on is None:
        _place(config, folder, options)
    protocol = (tested_on or config.data).protocol
    for name in options.given(*OF_GALLERIES):
        if name not in protocol.options:
            raise ValueError(
                f"--{name} does not apply to {folder}, "
                f"tested on {(tested_on or config.data).key!r}"
            )
    _apply(config, options, keep=protocol.options)
    if tested_on is None:
        check(config)
    else:
        check(config.evaluation, "config.evaluation")
        check(config.embedding, "config.embedding")
        protocol.check(config.evaluation)
    return RunFolder(folder, config, words), tested_on


def _other_words(config: Config, options: Options) -> Iterator[str]:
    """A word for each option by which the run is scored otherwise than by itself."""
    for name, value in options.given(*OF_GALLERIES).items():
        if getattr(config.evaluation, name) != value:
            yield name if name in ("legacy", "permutations") else f"{name}-{value}"
    if options.switch("rerank") not in (None, config.evaluation.rerank):
        yield "rerank" if options.rerank else "no-rerank"
    if options.feature is not None and options.feature != kind_of_feature(config):
        yield options.feature
    if options.switch("flip") not in (None, config.embedding.flip):
        yield "flip" if options.flip else "no-flip"


def _other_data_set(config: Config, options: Options) -> Any:
    """The data set of --dataset, unless it is the run's own."""
    if options.dataset is None or options.dataset == config.data.key:
        return None
    kind = DATA_SETS[options.dataset]
    values = options.given("root", "tfds", "split")
    if unknown := values.keys() - {field.name for field in dataclasses.fields(kind)}:
        raise ValueError(
            f"--{unknown.pop()} does not apply to --dataset {options.dataset}"
        )
    if not values.keys() & {"root", "tfds"}:
        raise ValueError(f"--dataset {options.dataset} needs --root, its folder")
    data = kind(**values)
    check(data, "data")
    if getattr(data, "split", None) == 0:
        raise ValueError("split is 0; RegDB has the splits 1 to 10")
    return data


def _place(config: Config, folder: Path, options: Options) -> None:
    """Where the run's own data set is read from, and which split."""
    data = config.data
    if options.split is not None:
        if not hasattr(data, "split"):
            raise ValueError(
                f"--split does not apply to {folder}, a run on {data.key!r}"
            )
        if options.split != data.split:
            raise ValueError(
                f"{folder} was trained for split {data.split} of RegDB: among the test "
                f"images of split {options.split} are images it was trained on. Give "
                f"the run of split {options.split}"
            )
    if options.root is not None and options.tfds is not None:
        raise ValueError("give --root or --tfds: images are read from one of them")
    if options.root is not None:
        data.root = options.root
        if hasattr(data, "tfds"):
            data.tfds = ""
    if options.tfds is not None:
        if not hasattr(data, "tfds"):
            raise ValueError(
                f"--tfds does not apply to {folder}, a run on {data.key!r}"
            )
        data.tfds = options.tfds
        data.root = data.root if data.root == "synvi" else ""


def _apply(config: Config, options: Options, keep: Sequence[str]) -> None:
    """Options of the evaluation and of the embedding.

    Args:
        config: is changed.
        options: of the command line.
        keep: options of galleries that the protocol has; others are as published.
    """
    evaluation, embedding = config.evaluation, config.embedding
    galleries = options.given(*OF_GALLERIES)
    for option in dataclasses.fields(GalleryOptions):
        if option.name in galleries:
            setattr(evaluation, option.name, galleries[option.name])
        elif option.name not in keep:
            setattr(evaluation, option.name, option.default)
    if (rerank := options.switch("rerank")) is not None:
        evaluation.rerank = rerank
    if options.feature is not None:
        embedding.features = float(options.feature == "features")
        embedding.embeddings = float(options.feature == "embeddings")
    if (flip := options.switch("flip")) is not None:
        embedding.flip = flip
