"""Rows made of rows: diverse embedding expansion (DEEN's DEE, CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least, between


@dataclass(slots=True)
class DiverseExpansion:
    """Each row, and further rows made of it by dilated convolutions.

    Copy 0 is the row itself; DEEN has two more. In training and in evaluation.
    """

    copies: int = 2
    """Rows made of each."""
    dropout: float = 0.01
    """Fraction of values dropped in training."""
    between: Any = None
    """A block between the convolutions and their ReLU, as PDM has one."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("copies", self.copies, 1)
        between("dropout", self.dropout, 0, 0.99)

    def make(self, channels, rngs, dtype):
        """The module, from maps to maps, sources and copies of more rows."""
        from jreid.models.modules import expansion

        return expansion.DiverseExpansion(
            channels,
            self.copies,
            self.dropout,
            make_between=self.between and self.between.make,
            dtype=dtype,
            rngs=rngs,
        )
