"""A run, built and checked before anything of it is written."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh

from jreid.config import Config
from jreid.processes.sharding import data_mesh, to_devices
from jreid.run import batches as run_batches
from jreid.run.embedder import Embedder
from jreid.run.images import RunImages
from jreid.training.after_training import (
    after_training,
    before_end,
    first_statistics,
)
from jreid.training.between_epochs import after_hook, labels_of, with_labels
from jreid.training.build import (
    build_system,
    classes_of,
    optimizers_of,
    schedules,
)
from jreid.training.learner import System
from jreid.training.plan import PlannedPhase, epoch_of, plan, segments
from jreid.training.state import TrainState, Tree


@dataclass
class Run:
    """What a run is made of; its state is replaced with every step."""

    config: Config
    images: RunImages
    classes: int
    phases: tuple[PlannedPhase, ...]
    images_per_step: tuple[int, ...]  # of each phase
    mesh: Mesh
    system: System
    optimizers: Mapping[str, str]  # by player: the path of its optimiser
    rates: Mapping[str, Any]  # by player, or "" without: the rate at each step
    embedder: Embedder
    state: TrainState
    first: Mapping[str, Tree]  # statistics that the end of training replaces
    hook_seconds: float = 0.0  # between epochs so far

    @property
    def last_step(self) -> int:
        """The number of the last step, counted from 1."""
        return self.phases[-1].last

    def batches(
        self, start: int, stop: int
    ) -> Iterator[tuple[PlannedPhase, dict[str, Any]]]:
        """The phase and the batch, on the devices, of steps `start` + 1 to `stop`.

        Before an epoch's first batch the system's hook, if it has one, is called with
        the state, and changes it.
        """
        if start < stop:
            self.state = before_end(self.state, self.first)
        hook = self.config.between_epochs
        for part in segments(self.phases, start, stop, by_epoch=hook is not None):
            epoch, begins = epoch_of(self.phases, part.first)
            if hook is not None and begins:
                seed, modality = self.config.seed, self.images.train.modality
                began = time.monotonic()
                self.state = after_hook(
                    hook, self.state, self._embed_train, epoch, seed, modality
                )
                self.hook_seconds += time.monotonic() - began
            labels = labels_of(self.state)
            for batch in run_batches.batches(
                self.config, self.images, part, self.mesh, labels
            ):
                yield part.phase, to_devices(batch, self.mesh)

    def step(
        self, step: int, phase: PlannedPhase, batch: dict[str, Any]
    ) -> dict[str, Any]:
        """Takes the step of this number, counted from 1; its scalars.

        After the last one the system's hook for the end, if it has one, is called.
        """
        self.state, scalars = self.system.step(self.state, batch, phase.number)
        if step == self.last_step:
            hook, images = self.config.after_training, self.images.train
            self.state = after_training(hook, self.state, self._embed_train, images)
        return scalars

    def _embed_train(self):
        params, stats = self.state.params, self.state.stats
        return self.embedder(params, stats, self.images.train, "embed training images")


def build_run(config: Config, images: RunImages) -> Run:
    """Plans a run on these images, with a new state.

    Raises ValueError if no batch can be drawn, or not divided over the devices.
    """
    mesh, phases = data_mesh(), plan(config, images.train)
    counts = run_batches.check_batches(config, images, phases, mesh.devices.size)
    classes = classes_of(config, len(images.identities))
    system = build_system(config, classes, phases, mesh)
    state = with_labels(config.between_epochs, system.init(config.seed), images.labels)
    return Run(
        config=config,
        images=images,
        classes=classes,
        phases=phases,
        images_per_step=counts,
        mesh=mesh,
        system=system,
        optimizers=optimizers_of(config),
        rates=schedules(config, phases),
        embedder=Embedder(config, system.embed, mesh),
        state=state,
        first=first_statistics(config.after_training, state),
    )
