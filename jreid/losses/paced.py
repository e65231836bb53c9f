"""A term that waits for the others: the lower they are, the more it counts (DDAG)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least
from jreid.lazy import jax
from jreid.losses.remembered import remembered
from jreid.losses.standing import On
from jreid.shapes import Float

NEEDED = "memory=Pace(TERM) and between_epochs=PaceOfEpoch()"


@dataclass(slots=True)
class Paced:
    """A term whose gradient is times the factor of a memory, a `training.pace.Pace`.

    What is logged is the term itself, so that its curve has no jumps between epochs.
    """

    term: Any
    weight: float = 1.0

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("weight", self.weight, 0)

    @property
    def on(self) -> On:
        """Where the term stands."""
        return self.term.on

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        pace = remembered(batch, "pace", NEEDED)
        value, factor = self.term(outputs, batch, rng), pace["factor"]
        still = jax.lax.stop_gradient(value)
        return still + factor * (value - still)
