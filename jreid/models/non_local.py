"""Non-local attention (paper eq. 1; Wang et al., CVPR 2018; AGW `model.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jreid.bounds import at_least


@dataclass(slots=True)
class NonLocal:
    """A non-local block, which starts as the identity.

    AGW's inner width is 1, by an accident of an integer division, and every number of
    the AGW family was made with it; hence the default.
    """

    inner_channels: int = 1
    """Inner width; 0 is half the channels, as the original block has it."""
    init: Literal["normal", "uniform"] = "normal"
    """normal: weights ~ N(0, 0.01), biases 0; uniform: torch's default, as in AGW,
    weights and biases within +-1 / sqrt(fan-in)."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("inner_channels", self.inner_channels, 0)

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import non_local

        return non_local.NonLocal(
            channels,
            inner_channels=self.inner_channels or channels // 2,
            init=self.init,
            dtype=dtype,
            rngs=rngs,
        )
