"""The config of a run: what it is made of, as parts, and what refers to each other.

A config file defines `get_config(variant) -> Config`; see jreid/parts.py for what a
config may hold, and jreid/config_files.py for where it comes from.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from jreid.bounds import at_least, between
from jreid.config_checks import check_whole
from jreid.config_json import to_json
from jreid.data.grey16 import Grey16
from jreid.data.image_file import Resize
from jreid.data.views import View
from jreid.models.embedding import Embedding
from jreid.training.phases import Phase
from jreid.training.players import Player
from jreid.training.writers import TensorBoard

MAY_DIFFER = {"may_differ": True}


@dataclass(slots=True)
class Loading:
    """How images get into memory."""

    cache: bool = False
    """Keep decoded images in memory."""
    workers: int = 0
    """Threads that decode and augment; 0: one per core."""
    max_unreadable: float = 0.001
    """Fraction of the images that may be skipped."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("workers", self.workers, 0)
        between("max_unreadable", self.max_unreadable, 0, 1)


@dataclass(slots=True)
class Evaluation:
    """Evaluation, at the end of a run and on validation identities during it."""

    every_epochs: int = 0
    """On the validation identities, after so many of the run; 0: never."""
    batch_size: int = 64
    """Images embedded at once."""
    trials: int = 10
    """Random galleries of a setting."""
    draw: Literal["agw", "official"] = "agw"
    """Of SYSU-MM01's galleries."""
    permutations: str = ""
    """rand_perm_cam.mat, which the official draw of multi-shot galleries needs."""
    legacy: bool = False
    """LLCM's query and gallery as in the released code."""
    rerank: bool = True
    """Also score re-ranked lists."""
    sheet_rows: int = 8
    """Queries on the sheet of ranked lists."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("every_epochs", self.every_epochs, 0)
        for name in ("batch_size", "trials", "sheet_rows"):
            at_least(name, getattr(self, name), 1)


@dataclass(slots=True)
class Checkpoint:
    """Checkpoints, written asynchronously."""

    every_epochs: int = 1
    """One after so many."""
    keep: int = 2
    """How many are kept."""
    step: int = -1
    """Resume from this one, deleting later ones; -1: the newest; 0: begin again."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("every_epochs", self.every_epochs, 1)
        at_least("keep", self.keep, 1)
        at_least("step", self.step, -1)


@dataclass(slots=True)
class Log:
    """What the run reports."""

    every_steps: int = 20
    """A line of metrics after so many."""
    by_part: bool = False
    """Also gradients, updates and activations of each part of the network; not with
    players."""
    writers: tuple[Any, ...] = (TensorBoard(),)
    """Where metrics go besides metrics.jsonl."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("every_steps", self.every_steps, 1)


@dataclass(slots=True)
class Distributed:
    """The processes of one run; see docs/scaling.md."""

    coordinator: str = ""
    """HOST:PORT of process 0; auto: from the cluster."""
    processes: int = 1
    """How many there are."""
    process: int = 0
    """The number of this one, 0 to processes - 1."""
    timeout: float = 30.0
    """Seconds of silence after which a process is lost."""

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit the others."""
        at_least("processes", self.processes, 1)
        between("process", self.process, 0, self.processes - 1)
        between("timeout", self.timeout, 3, 60)
        if not re.fullmatch(r"|auto|.+:\d{1,5}", self.coordinator):
            raise ValueError(
                f"coordinator is {self.coordinator!r}; allowed is HOST:PORT of process "
                "0, auto or empty"
            )
        if self.processes > 1 and ":" not in self.coordinator:
            raise ValueError(
                f"coordinator is {self.coordinator!r}; allowed is HOST:PORT of process "
                f"0, as there are {self.processes} processes, or leave processes at 1 "
                "and set coordinator to auto"
            )


@dataclass(kw_only=True, slots=True)
class Config:
    """A run."""

    name: str
    """The run's folder is runs/NAME."""
    data: Any
    """The data set: what reads it, and how it is tested on."""
    size: tuple[int, int] = (288, 144)
    """Height and width in pixels."""
    resize: Resize = "bilinear"
    """How images get that size."""
    grey16: Grey16 = field(default_factory=Grey16)
    """How 16-bit grey images, as of thermal cameras, get 8 bits."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of activations; parameters and losses stay float32."""
    loading: Loading = field(default_factory=Loading, metadata=MAY_DIFFER)
    views: dict[str, View]
    """Columns of a batch."""
    sampling: Any
    """Which images make a batch."""
    steps_per_epoch: int = 0
    """0: as the sampling says, by the number of images."""
    network: Any
    pretrained: str = ""
    """Weights to begin with: a file, or another run's folder; empty: random ones."""
    objective: dict[str, Any]
    """Weighted terms, summed in this order."""
    optimizer: Any
    schedule: Any
    embedding: Embedding = field(default_factory=Embedding, metadata=MAY_DIFFER)
    phases: tuple[Phase, ...] = ()
    """Stretches of the run, one after the other."""
    players: dict[str, Player] = field(default_factory=dict)
    """Several optimisations within a step, in this order, instead of one objective."""
    between_epochs: Any = None
    """Called on the host before every epoch, as for labels by clustering."""
    after_training: Any = None
    """Called on the host after the last step, as for a metric of features."""
    memory: Any = None
    """What is carried from step to step besides parameters, as a bank of features."""
    seed: int = 0
    """Of everything random."""
    steps: int = field(default=0, metadata=MAY_DIFFER)
    """Stop after this many; 0: at the schedule's end."""
    evaluation: Evaluation = field(default_factory=Evaluation, metadata=MAY_DIFFER)
    checkpoint: Checkpoint = field(default_factory=Checkpoint, metadata=MAY_DIFFER)
    log: Log = field(default_factory=Log, metadata=MAY_DIFFER)
    distributed: Distributed = field(default_factory=Distributed, metadata=MAY_DIFFER)

    def shared(self) -> dict[str, Any]:
        """What several processes of one run must have in common: JSON values.

        Where a host keeps the images, and how it reads them, may differ.
        """
        stored = to_json(self)
        del stored["distributed"], stored["loading"]
        for name in ("root", "tfds"):
            stored["data"].pop(name, None)
        return {f"config.{name}": value for name, value in stored.items()}

    def check(self) -> None:
        """Raises ValueError for what no part can see alone."""
        check_whole(self)
