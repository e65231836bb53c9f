"""Perceptrons with hidden layers: an identity's classifier, a modality's adversary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from jreid.bounds import at_least, makes_module
from jreid.models.pooling import Average


@dataclass(slots=True)
class HiddenClassifier:
    """Linear maps with ReLUs between them, to the training identities (cmGAN)."""

    hidden: tuple[int, ...] = (512,)
    """Widths of the hidden layers."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        _check_widths(self.hidden)

    def make(self, features, classes, rngs):
        """The module, from embeddings [b features] to logits [b classes]."""
        from jreid.models.modules import perceptrons

        return perceptrons.Perceptron((features, *self.hidden, classes), rngs=rngs)


@dataclass(slots=True)
class Discriminator:
    """Tells the modality of a map, and what it learns from is led to hide it.

    It stands on the pooled map through a gradient reversal (Ganin and Lempitsky, ICML
    2015): one descent lowers its loss in its own weights and raises it in the others.
    """

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    outputs: Literal[1, 2] = 2
    """1: the logit of "visible"; 2: a logit for each modality."""
    reversal: float = 0.05
    """Factor on the gradient that comes back, beside its sign."""
    pool: Any = field(default_factory=Average)
    """From the map to a vector."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        _check_widths(self.hidden)
        at_least("reversal", self.reversal, 0)
        makes_module("pool", self.pool)

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w channels] to logits [r outputs]."""
        from jreid.models.modules import perceptrons

        return perceptrons.Discriminator(self, channels, dtype=dtype, rngs=rngs)


def _check_widths(hidden):
    for index, width in enumerate(hidden):
        at_least(f"hidden.{index}", width, 1)
