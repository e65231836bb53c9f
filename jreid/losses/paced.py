"""A term that waits for the others: the lower they are, the more it counts (DDAG)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    """Its own weight is 1, too."""
    weight: float = 1.0
    """1: the pace is of the total less the term as it is (DDAG)."""

    def check(self) -> None:
        """Raises ValueError if a weight is not 1."""
        for field, weight in (
            ("weight", self.weight),
            ("term.weight", self.term.weight),
        ):
            if weight != 1:
                raise ValueError(
                    f"{field} is {weight}; allowed is 1, as the pace is of the total "
                    "less the term as it is: weigh the other terms, or leave out the "
                    "term with its memory and between_epochs"
                )

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
