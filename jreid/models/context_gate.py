"""Channels gated by the contexts of attention masks (MCJA, TCSVT 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least


@dataclass(slots=True)
class ContextGate:
    """MCJA's MDA: channels gated by what several attention masks see.

    Starts as the identity.
    """

    masks: int = 2
    """Attention masks; 2 for SYSU-MM01, 12 for RegDB."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("masks", self.masks, 1)

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import context_gate

        return context_gate.ContextGate(channels, self.masks, dtype=dtype, rngs=rngs)
