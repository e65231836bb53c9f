"""The config of a run: what it is made of, as parts, and what refers to each other.

A config file defines `get_config(variant) -> Config`; see jreid/parts.py for what a
config may hold, and jreid/config_files.py for where it comes from.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jreid.bounds import at_least, between
from jreid.data.views import View, modality_of
from jreid.losses.standing import names_of
from jreid.models.embedding import Embedding
from jreid.training.phases import Phase
from jreid.training.players import Player
from jreid.training.writers import TensorBoard

MAY_DIFFER = {"may_differ": True}
SMALLEST = 16  # pixels of a side


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
    """On the validation identities; 0: never."""
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
    """Resume from this one, deleting later ones; -1: the newest."""

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
    resize: Literal["bilinear", "lanczos"] = "bilinear"
    """How images get that size."""
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
    embedding: Embedding = field(default_factory=Embedding)
    phases: tuple[Phase, ...] = ()
    """Stretches of the run, one after the other."""
    players: dict[str, Player] = field(default_factory=dict)
    """Several optimisations within a step, in this order, instead of one objective."""
    between_epochs: Any = None
    """Called on the host after every epoch, as for labels by clustering."""
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

    def check(self) -> None:
        """What no part can see alone: slots, and names that refer to each other."""
        if not re.fullmatch(r"[^\s/\\.-][^\s/\\]*", self.name):
            raise ValueError(
                f"name is {self.name!r}; allowed is the name of a folder: no slash, no "
                "space, and no point or dash in front"
            )
        if min(self.size) < SMALLEST:
            raise ValueError(f"size is {self.size}; allowed is {SMALLEST} and more")
        between("seed", self.seed, 0, 2**32 - 1)
        at_least("steps", self.steps, 0)
        at_least("steps_per_epoch", self.steps_per_epoch, 0)
        self._check_slots()
        _check_views("views", self.views, self.network)
        self._check_objectives()
        self._check_embedding()
        self._check_epochs()
        self._check_pretrained()
        self._check_evaluation()
        if self.distributed.coordinator and getattr(self.data, "split", None) == 0:
            raise ValueError(
                f"distributed.coordinator is {self.distributed.coordinator!r}; allowed "
                "is '' with data.split=0, as RegDB's ten splits are processes of their "
                "own: train one at a time, --config.data.split=1 to 10"
            )

    def _check_slots(self) -> None:
        _has("data", self.data, "read()", "protocol")
        _has("network", self.network, "make(classes, rngs)", "names()")
        _has_sampling("sampling", self.sampling)
        _has_optimizer("optimizer", self.optimizer)
        _has_schedule("schedule", self.schedule)
        if self.memory is not None:
            _has("memory", self.memory, "init(params)", "update(extra, outputs, batch)")
        if self.between_epochs is not None and not callable(self.between_epochs):
            raise ValueError(
                f"between_epochs is {self.between_epochs!r}; allowed is what is called "
                "with (state, embed_train, epoch, seed)"
            )

    def _check_objectives(self) -> None:
        """The config's own, the phases', or the players'."""
        if self.players and (self.objective or self.phases):
            own = "phases" if self.phases else "objective"
            raise ValueError(
                f"players is {', '.join(self.players)}, which have their objectives: "
                f"allowed with {own} empty"
            )
        for name, player in self.players.items():
            _check_terms(f"players.{name}.objective", player.objective, self.network)
            _has_optional(f"players.{name}", player)
        for index, phase in enumerate(self.phases):
            where = f"phases.{index}"
            if phase.objective:
                _check_terms(f"{where}.objective", phase.objective, self.network)
            if phase.views:
                _check_views(f"{where}.views", phase.views, self.network)
            _has_optional(where, phase)
        own = [phase for phase in self.phases if phase.objective]
        if self.objective or not (
            self.players or (own and len(own) == len(self.phases))
        ):
            _check_terms("objective", self.objective, self.network)

    def _check_embedding(self) -> None:
        there = set(self.network.names())
        weights = {
            "features": self.embedding.features,
            "embeddings": self.embedding.embeddings,
        }
        for kind in [kind for kind, weight in weights.items() if weight]:
            names = [name.partition(".")[2] for name in self.network.names()]
            allowed = [n for n in dict.fromkeys(names) if f"{kind}.{n}" in there]
            for name in self.embedding.names:
                if name not in allowed:
                    raise ValueError(
                        f"embedding.names has {name!r}; allowed are "
                        f"{', '.join(allowed)}"
                    )

    def _check_epochs(self) -> None:
        epochs = sum(phase.epochs for phase in self.phases)
        if self.phases and epochs != self.schedule.epochs:
            raise ValueError(
                f"phases have {epochs} epochs in all; allowed is schedule.epochs, "
                f"{self.schedule.epochs}"
            )
        for name, player in self.players.items():
            schedule = player.schedule or self.schedule
            if schedule.epochs != self.schedule.epochs:
                raise ValueError(
                    f"players.{name}.schedule.epochs is {schedule.epochs}; allowed is "
                    f"schedule.epochs, {self.schedule.epochs}"
                )

    def _check_pretrained(self) -> None:
        width = getattr(getattr(self.network, "trunk", None), "width", 1)
        if self.pretrained.endswith(".npz") and width != 1:
            raise ValueError(
                f"pretrained is {self.pretrained!r}, whose weights are of full width, "
                f"and network.trunk.width is {width}: set the width to 1, or train "
                "from scratch with --config.pretrained="
            )

    def _check_evaluation(self) -> None:
        has_validation = getattr(self.data, "has_validation", None)
        every = self.evaluation.every_epochs
        if every and has_validation is not None and not has_validation():
            raise ValueError(
                f"evaluation.every_epochs is {every}; allowed is 0 without validation "
                "identities: use SYSU-MM01 with --config.data.train_on_val=False, or a "
                "folder with the part val"
            )
        try:
            self.data.protocol.check(self.evaluation)
        except ValueError as error:
            raise ValueError(f"evaluation.{error}") from error


def _has(where: str, part: Any, *methods: str) -> None:
    """Raises ValueError unless the part has these methods or attributes."""
    for method in methods:
        if not hasattr(part, method.partition("(")[0]):
            raise ValueError(f"{where} is {part!r}; it needs {method}")


def _has_sampling(where: str, part: Any) -> None:
    _has(where, part, "make(images, views, seed)", "steps_per_epoch(images)")


def _has_optimizer(where: str, part: Any) -> None:
    _has(where, part, "make(schedule)", "lr")


def _has_schedule(where: str, part: Any) -> None:
    _has(where, part, "make(steps_per_epoch, peak)", "epochs")


def _has_optional(where: str, part: Phase | Player) -> None:
    """The slots of a phase or player that are not left empty."""
    slots: dict[str, Callable[[str, Any], None]] = {
        "sampling": _has_sampling,
        "optimizer": _has_optimizer,
        "schedule": _has_schedule,
    }
    for name, has in slots.items():
        if getattr(part, name, None) is not None:
            has(f"{where}.{name}", getattr(part, name))


def _check_views(where: str, views: Mapping[str, View], network: Any) -> None:
    if not views:
        raise ValueError(f"{where} is {{}}; allowed is one view and more")
    stems = network.stem_names() if hasattr(network, "stem_names") else None
    earlier: dict[str, str] = {}  # names to modalities
    for name, view in views.items():
        if stems is not None and view.stem not in stems:
            raise ValueError(
                f"{where}.{name}.stem is {view.stem!r}; allowed are {', '.join(stems)}"
            )
        modality = modality_of(view)
        alike = [other for other in earlier if earlier[other] == modality]
        if view.same_image_as and view.same_image_as not in alike:
            raise ValueError(
                f"{where}.{name}.same_image_as is {view.same_image_as!r}; allowed are "
                f"earlier views of the same modality: {', '.join(alike) or 'none'}"
            )
        earlier[name] = modality


def _check_terms(where: str, terms: Mapping[str, Any], network: Any) -> None:
    if not any(getattr(term, "weight", 0) for term in terms.values()):
        raise ValueError(
            f"{where} is {', '.join(terms) or '{}'} with weights of 0; allowed is one "
            "term and more, one of them with another weight"
        )
    for name, term in terms.items():
        if not callable(term) or not hasattr(term, "weight"):
            raise ValueError(
                f"{where}.{name} is {term!r}; a term has a weight and is called with "
                "outputs and batch"
            )
        for slot in ("on", "teacher"):
            for output in names_of(getattr(term, slot, ())):
                if output not in network.names():
                    raise ValueError(
                        f"{where}.{name}.{slot} is {output!r}; allowed are "
                        f"{', '.join(network.names())}"
                    )
