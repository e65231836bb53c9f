"""Learning rates as functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from jreid.bounds import at_least, between
from jreid.lazy import jnp, optax


@dataclass(slots=True)
class Steps:
    """Linear warm-up, then drops (section 3.2; AGW train.py).

    The rate is constant within an epoch. In epoch e, counted from 0, it is
    `lr * (e + 1) / warmup` during warm-up, then `lr`, and from each drop's epoch on
    `lr` times its factor. A warm-up may start above 0.
    """

    open_ended: ClassVar[bool] = True
    """Whether more epochs leave the earlier ones as they are."""

    epochs: int = 80
    warmup: int = 10
    """Epochs of warm-up, each of one rate: 1 begins at the peak."""
    drops: tuple[tuple[int, float], ...] = ((20, 0.1), (50, 0.01))
    """Pairs: from this epoch on, that factor of the learning rate."""
    start: float = 0.0
    """Factor from which the warm-up climbs to 1, in as many steps as its epochs."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("epochs", self.epochs, 1)
        at_least("warmup", self.warmup, 0)
        between("start", self.start, 0, 1)
        for index, (_, factor) in enumerate(self.drops):
            at_least(f"drops.{index}.1", factor, 0)
        starts = (self.warmup - 1, *(epoch for epoch, _ in self.drops))
        if any(after <= before for before, after in pairwise(starts)):
            raise ValueError(
                f"drops is {self.drops}; allowed are epochs that increase, the first "
                f"not before the end of the {self.warmup} epochs of warm-up"
            )

    def make(self, steps_per_epoch: int, peak: float) -> optax.Schedule:
        """From the step to the learning rate, the float32 nearest to the exact one."""
        _check_steps(steps_per_epoch)
        constant_from = max([self.warmup, *(epoch for epoch, _ in self.drops)])
        rates = [self._rate(epoch, peak) for epoch in range(constant_from + 1)]

        def schedule(step):
            epoch = jnp.asarray(step) // steps_per_epoch
            return jnp.asarray(rates)[jnp.minimum(epoch, constant_from)]

        return schedule

    def _rate(self, epoch, peak):
        if epoch < self.warmup:
            passed = peak * (epoch + 1) / self.warmup
            return passed + self.start * (peak - passed)
        passed = [factor for start, factor in self.drops if epoch >= start]
        return peak * passed[-1] if passed else peak


@dataclass(slots=True)
class Cosine:
    """Linear warm-up, then half a cosine to 0; the first step already moves."""

    open_ended: ClassVar[bool] = False

    epochs: int = 80
    warmup: int = 10
    """Epochs of warm-up."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("epochs", self.epochs, 1)
        at_least("warmup", self.warmup, 0)
        if self.warmup >= self.epochs:
            raise ValueError(
                f"warmup is {self.warmup}; allowed is 0 to {self.epochs - 1}, below "
                f"the {self.epochs} epochs"
            )

    def make(self, steps_per_epoch: int, peak: float) -> optax.Schedule:
        """From the step to the learning rate, which is `peak` after the warm-up."""
        _check_steps(steps_per_epoch)
        warmup, total = self.warmup * steps_per_epoch, self.epochs * steps_per_epoch

        def schedule(step):
            ramp = jnp.minimum((step + 1) / max(warmup, 1), 1.0)
            progress = jnp.clip((step - warmup) / (total - warmup), 0.0, 1.0)
            return peak * ramp * 0.5 * (1 + jnp.cos(jnp.pi * progress))

        return schedule


@dataclass(slots=True)
class CosineByEpoch:
    """timm's cosine: constant within an epoch, the warm-up laid over its beginning.

    In epoch t, counted from 1, the rate is `lr` times start + (1 - start) t / warmup
    where t is below `warmup`, then last + (1 - last) (1 + cos(pi t / epochs)) / 2.
    """

    open_ended: ClassVar[bool] = False

    epochs: int = 24
    warmup: int = 3
    """The first epoch on the cosine, from 1; the rate climbs in those before it."""
    start: float = 0.01
    """Factor from which the warm-up climbs."""
    last: float = 0.01
    """Factor of the last epoch, to which the cosine falls."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("epochs", self.epochs, 1)
        between("warmup", self.warmup, 0, self.epochs)
        between("start", self.start, 0, 1)
        between("last", self.last, 0, 1)

    def make(self, steps_per_epoch: int, peak: float) -> optax.Schedule:
        """From the step to the learning rate, the float32 nearest to the exact one."""
        _check_steps(steps_per_epoch)
        rates = [peak * self._factor(epoch) for epoch in range(1, self.epochs + 1)]

        def schedule(step):
            epoch = jnp.asarray(step) // steps_per_epoch
            return jnp.asarray(rates)[jnp.minimum(epoch, self.epochs - 1)]

        return schedule

    def _factor(self, epoch):
        if epoch < self.warmup:
            return self.start + (1 - self.start) * epoch / self.warmup
        cosine = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.last + (1 - self.last) * cosine


def _check_steps(steps_per_epoch):
    if steps_per_epoch < 1:
        raise ValueError(f"steps_per_epoch is {steps_per_epoch}; allowed is 1 and more")
