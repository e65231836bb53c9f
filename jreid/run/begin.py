"""A run's first lines, before JAX is imported: what it is, on which data, for how long.

Written to standard error, as the progress is.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from jreid import __version__
from jreid.command_line import Given
from jreid.config import Config
from jreid.config_hash import config_hash
from jreid.data.datasets import INFRARED, VISIBLE, Dataset, Images
from jreid.machine_memory import available_memory
from jreid.run.workdir import saved_steps
from jreid.streams import say
from jreid.training.optimizers import SGD
from jreid.training.plan import PlannedPhase, plan, steps_before, stop_of
from jreid.training.training_images import training_images

GIGABYTE = 1e9
NEEDED = ("jax", "flax", "optax", "orbax")  # by what is imported next
LONG_WARMUP, STOOD_EARLY = 650, 0.03  # steps; the highest that did well after 50
AUTO = "auto"  # a coordinator that tells each process its number, later


@dataclass(frozen=True)
class Begun:
    """A training of which the first lines are said."""

    given: Given
    dataset: Dataset | None = None
    """Its images, listed; None if others list them, or something is wrong."""


def begin(parse: Callable[[list[str]], Given], arguments: list[str]) -> Begun:
    """Says the first lines of the run of a command line, and returns what it gives.

    What is wrong with the data set is left to whoever needs it. Raises ValueError,
    OSError or SystemExit for a command line that is refused, ImportError where a
    training cannot be done.
    """
    given = parse(arguments)
    for name in NEEDED:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    config, workdir = given.config, given.options.workdir
    is_one_run = not given.options.splits and getattr(config.data, "split", None) != 0
    is_first = (
        config.distributed.process == 0 and config.distributed.coordinator != AUTO
    )
    if not (is_one_run and is_first):
        return Begun(given)
    for line in lines_of_run(config, workdir or Path("runs") / config.name):
        say(line)
    if getattr(config.data, "tfds", ""):
        say(f"data: {config.data.key}, built in {config.data.tfds}")
        return Begun(given)
    with contextlib.suppress(ValueError, OSError):
        dataset = config.data.read()
        for line in lines_of_data(config, dataset):
            say(line)
        return Begun(given, dataset)
    return Begun(given)


def lines_of_run(config: Config, workdir: Path) -> Iterator[str]:
    """What is known of a run from its config and its folder."""
    done = max(saved_steps(workdir / "checkpoints"), default=0)
    state = f"continues after step {done}" if done else "new"
    yield f"jreid {__version__}: {config.name}, config {config_hash(config)}"
    yield f"work directory: {workdir}, {state}"
    if not done:
        yield f"weights: {config.pretrained or 'random'}"


def lines_of_data(config: Config, dataset: Dataset) -> Iterator[str]:
    """People and images, and how long they are trained with."""
    logging.disable(logging.WARNING)  # who is left out is said by whoever leaves out
    try:
        train = training_images(config, dataset)
    finally:
        logging.disable(logging.NOTSET)
    yield f"data: {config.data.key}, {config.data.root}: {_parts(dataset)}"
    with contextlib.suppress(ValueError):  # no batch can be drawn
        phases = plan(config, train)
        yield _length(config, phases)
        if told := _short_warmup(config, phases):
            yield told
    if config.loading.cache:
        yield _memory(config, train)


def _parts(dataset: Dataset) -> str:
    """People and images of each part that is there."""
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return "; ".join(
        f"{name} {_count(images)}" for name, images in parts.items() if len(images)
    )


def _count(images: Images) -> str:
    visible, infrared = (
        int((images.modality == modality).sum()) for modality in (VISIBLE, INFRARED)
    )
    people = len(np.unique(images.ids))
    return f"{people} people, {visible} visible and {infrared} infrared images"


def _length(config: Config, phases: Sequence[PlannedPhase]) -> str:
    steps = stop_of(config, phases)
    epochs = config.schedule.epochs
    return f"{steps} steps, of {phases[-1].last} in {epochs} epochs"


def _short_warmup(config: Config, phases: Sequence[PlannedPhase]) -> str:
    """What is known of a high rate that comes early, from docs/ablation; else ""."""
    optimizer, first = config.optimizer, phases[0]
    if not (isinstance(optimizer, SGD) and config.pretrained) or config.players:
        return ""
    steps = steps_before(phases, config.schedule.warmup)
    if optimizer.lr <= STOOD_EARLY or steps >= LONG_WARMUP or first.schedule:
        return ""
    return (
        f"rate: {optimizer.lr:g} after {steps} steps of warm-up. From ImageNet "
        "weights, with batches of 64, the paper's system stood 0.1 after "
        f"{LONG_WARMUP}; after 50 --config.optimizer.lr=0.01 to {STOOD_EARLY} trained "
        "better (docs/ablation)"
    )


def _memory(config: Config, train: Images) -> str:
    height, width = config.size
    needed = len(train) * height * width * 3 / GIGABYTE
    told = f"cache: {needed:.2f} GB of memory for decoded training images"
    free = available_memory()
    return f"{told}, {free / GIGABYTE:.1f} GB are free" if free else told
