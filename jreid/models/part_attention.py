"""Weighted attention among a map's stripes (IWPA of DDAG, ECCV 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least


@dataclass(slots=True)
class WeightedParts:
    """A pool: means of stripes, refined by each other, in a learned weighted sum."""

    parts: int = 3
    """Horizontal stripes, from the top."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("parts", self.parts, 1)

    def make(self, channels, rngs, dtype):
        """The module, from maps [b h w c] to vectors [b c]."""
        from jreid.models.modules import part_attention

        return part_attention.WeightedParts(channels, self.parts, rngs=rngs)
