"""The phases of a run as ranges of steps, and the learning rate over all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jreid.lazy import jnp


@dataclass(frozen=True)
class PlannedPhase:
    """One phase with everything filled in: steps `first` to `last` - 1, from 0.

    Its epochs are counted on from those before it, from 0; the first is `first_epoch`.
    """

    number: int
    first: int
    last: int
    first_epoch: int
    steps_per_epoch: int
    objective: Mapping[str, Any]
    views: Mapping[str, Any]
    trainable: str
    sampling: Any
    schedule: Any  # None: the run's, which goes on through all phases
    players: tuple[str, ...] = ()  # those who play; none: all

    def epoch(self, step: Any) -> Any:
        """The epoch that `step` is in, both from 0 over the whole run."""
        return self.first_epoch + (step - self.first) // self.steps_per_epoch

    def ends_epoch(self, step: int, every: int = 1) -> bool:
        """Whether `step`, counted from 1, ends every such epoch of the run; 0: none."""
        ends = (step - self.first) % self.steps_per_epoch == 0
        return every > 0 and ends and self.epoch(step) % every == 0


@dataclass(frozen=True)
class Segment:
    """Steps `first` to `last` - 1 of one phase, without a host hook between them."""

    phase: PlannedPhase
    first: int
    last: int


def plan(config: Any, images: Any) -> tuple[PlannedPhase, ...]:
    """The phases of a run on these training images; a run without any is one phase."""
    if not config.phases:
        epoch = config.steps_per_epoch or config.sampling.steps_per_epoch(images)
        return (
            PlannedPhase(
                number=0,
                first=0,
                last=config.schedule.epochs * epoch,
                first_epoch=0,
                steps_per_epoch=epoch,
                objective=config.objective,
                views=config.views,
                trainable="",
                sampling=config.sampling,
                schedule=None,
            ),
        )
    phases, first, first_epoch = [], 0, 0
    for number, phase in enumerate(config.phases):
        sampling = phase.sampling or config.sampling
        epoch = config.steps_per_epoch or sampling.steps_per_epoch(images)
        last = first + phase.epochs * epoch
        phases.append(
            PlannedPhase(
                number=number,
                first=first,
                last=last,
                first_epoch=first_epoch,
                steps_per_epoch=epoch,
                objective=phase.objective or config.objective,
                views=phase.views or config.views,
                trainable=phase.trainable,
                sampling=sampling,
                schedule=phase.schedule,
                players=phase.players,
            )
        )
        first, first_epoch = last, first_epoch + phase.epochs
    return tuple(phases)


def stop_of(config: Any, phases: Sequence[PlannedPhase]) -> int:
    """The number of the last step to take, counted from 1: config.steps cuts a run."""
    last = phases[-1].last
    return min(config.steps or last, last)


def segments(
    phases: Sequence[PlannedPhase], start: int, stop: int, *, by_epoch: bool
) -> Iterator[Segment]:
    """What is left from step `start` to `stop`, cut at phases, or at each epoch."""
    for phase in phases:
        cuts = {phase.first, phase.last}
        if by_epoch:
            cuts.update(range(phase.first, phase.last, phase.steps_per_epoch))
        for first, last in itertools.pairwise(sorted(cuts)):
            first, last = max(first, start), min(last, stop)
            if first < last:
                yield Segment(phase, first, last)


def epoch_of(phases: Sequence[PlannedPhase], step: int) -> tuple[int, bool]:
    """The epoch that `step` is in, from 0 over all phases, and whether it begins it."""
    for phase in phases:
        if step < phase.last or phase is phases[-1]:
            begins = (step - phase.first) % phase.steps_per_epoch == 0
            return phase.epoch(step), begins
    raise ValueError("a run has at least one phase")


def steps_before(phases: Sequence[PlannedPhase], epoch: int) -> int:
    """How many steps come before this epoch of the run, from 0."""
    inside = [phase for phase in phases if phase.first_epoch <= epoch][-1]
    return inside.first + (epoch - inside.first_epoch) * inside.steps_per_epoch


def schedule_of_run(
    schedule: Any, phases: Sequence[PlannedPhase], peak: float, *, alone: bool = False
) -> Callable[[Any], Any]:
    """The learning rate at each step; `schedule` goes by the run's epochs.

    A phase may have a schedule of its own, which counts unless `schedule` is `alone`.
    """
    own = [None if alone else phase.schedule for phase in phases]
    lengths = {phase.steps_per_epoch for phase in phases}
    if len(lengths) == 1 and not any(own):
        return schedule.make(lengths.pop(), peak)
    makes, shifts = [], []
    for phase, part in zip(phases, own, strict=True):
        epoch = phase.steps_per_epoch
        makes.append((part or schedule).make(epoch, peak))
        passed = phase.first_epoch * epoch if part is None else 0
        shifts.append(phase.first - passed)

    def rate(step):
        rates = [make(step - shift) for make, shift in zip(makes, shifts, strict=True)]
        inside = [step < phase.last for phase in phases[:-1]]
        return jnp.select(inside, rates[:-1], rates[-1]) if inside else rates[-1]

    return rate
