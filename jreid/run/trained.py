"""A trained run at work: its network restored, its test images scored."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from jreid.config import Config
from jreid.data.datasets import Dataset
from jreid.data.quiet import quieten_tensorflow
from jreid.evaluation.files.results_file import make_folder
from jreid.evaluation.score import Score
from jreid.processes.compilation_cache import keep_compiled_programs
from jreid.processes.heap import trim_after_compiling
from jreid.processes.sharding import data_mesh
from jreid.run import results
from jreid.run.about import about_run
from jreid.run.checkpoint import Checkpoints
from jreid.run.embedder import Embedder
from jreid.run.fingerprints import contents_of, crc32_of_names, fingerprint
from jreid.run.images import readable
from jreid.run.trained_people import is_moved, require_untrained
from jreid.run.training_set import grey16_of_run, read_training_set
from jreid.training.build import build_embed, classes_of, network_maker
from jreid.training.state import Tree, abstract_params_and_stats
from jreid.training.training_images import training_images


class TrainedNetwork(NamedTuple):
    """A network restored from a checkpoint."""

    step: int
    classes: int  # of its classifiers
    params: Tree
    stats: Tree
    embedder: Embedder
    checksum: int  # of parameters and statistics


def restore_network(
    config: Config, workdir: Path, step: int | None = None
) -> TrainedNetwork:
    """Restores a checkpoint of a run (None: the newest) onto all devices."""
    trim_after_compiling()
    keep_compiled_programs()
    mesh = data_mesh()
    identities = read_training_set(workdir)["identities"]
    classes = classes_of(config, len(identities))
    make_network = network_maker(config, classes)
    params, stats = abstract_params_and_stats(make_network, mesh)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.latest_step() if step is None else step
        wanted = {"params": params, "stats": stats}
        state = checkpoints.restore(wanted, step)
        assert step is not None  # restore has refused a run without checkpoints
        checksum = checkpoints.checksum(step, tuple(wanted))
    embedder = Embedder(config, build_embed(config, classes), mesh)
    params, stats = state["params"], state["stats"]
    return TrainedNetwork(step, classes, params, stats, embedder, checksum)


def evaluate_run(
    config: Config,
    workdir: Path,
    step: int | None = None,
    out: Path | None = None,
    tested_on: Any = None,
    variant: str = "",
) -> tuple[list[Score], dict[str, Any]]:
    """Restores a checkpoint of a run (None: the newest) and scores it.

    Writes tables and pictures into `out`, the work directory by default, and returns
    the scores and what they are of. A run on RegDB is scored on the split it was
    trained on, whatever its config says: ValueError if that is another one, or if
    people are to be tested whom it was trained on. With `tested_on`, another data set,
    its test images are scored by its protocol. In the work directory, files of a
    `variant`, another way of scoring than the run's own, have its name.
    """
    quieten_tensorflow()
    make_folder(out or workdir)
    try:
        dataset = (tested_on or config.data).read()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}\nIf the data set was moved, give its folder with --root"
        ) from error
    if not len(dataset.test):
        raise ValueError(
            f"{workdir} tests nobody, as its config says (data.test_fraction is 0): "
            "give --dataset and --root of other people, or embed images (jreid.embed)"
        )
    if tested_on is None:
        _check_split(config, workdir, dataset)
    grey16 = grey16_of_run(config, workdir)
    unread = dataclasses.replace(dataset.test, grey16=grey16)
    test = readable(config, unread, "test").images
    contents = contents_of(test)
    require_untrained(config, workdir, dataset, test, contents, tested_on)
    content = fingerprint(test, contents)
    if out is not None:
        variant = ""
    elif tested_on is None and content != _tested_content(config, workdir, content):
        variant = "-".join(filter(None, (variant, f"images-{content}")))
    network = restore_network(config, workdir, step)
    about = about_run(config, network.step, tested_on, content, variant)
    features = network.embedder(
        network.params, network.stats, test, "embed test images"
    )
    scores = results.write_report(
        config, out or workdir, network.step, features, test, tested_on, about
    )
    return scores, about


def _tested_content(config: Config, workdir: Path, content: str) -> str:
    """The fingerprint of the test images that the run was begun with.

    Runs of earlier versions do not know it: then the place of the data set tells.
    """
    known = read_training_set(workdir).get("test_content")
    return known or ("" if is_moved(config, workdir) else content)


def _check_split(config: Config, workdir: Path, dataset: Dataset) -> None:
    """On RegDB an image is a test image of one split and a training image of another.

    Raises ValueError unless the configured split has the images of the training.
    """
    split = getattr(config.data, "split", None)
    if split is None:
        return
    before = read_training_set(workdir)
    images = training_images(config, dataset)
    if len(images) != before["images"]:
        # A file that could not be read was left out when the training began.
        images = readable(config, images, "training").images
    if crc32_of_names(images) != before["crc32_of_names"]:
        raise ValueError(
            f"{workdir} was not trained on the training images of RegDB's split "
            f"{split} in {config.data.root or config.data.tfds}, so that its test "
            "images may have been trained on: score it on its own split, with the "
            "lists it was trained with"
        )
