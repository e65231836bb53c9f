"""Pools of learned parts: masks (MPANet, CVPR 2021), prototypes (SAAI, ICCV 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jreid.bounds import at_least


@dataclass(slots=True)
class MaskPool:
    """Means of the map under masks, which are sigmoids of a 1 x 1 convolution.

    The vector has (masks + whole) times the map's channels.
    """

    has_masks: ClassVar[bool] = True
    """Whether its module has `masks(x)`, which terms can stand on."""

    masks: int = 6
    """Parts."""
    whole: bool = True
    """Whether the mean of the map itself is put behind them."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("masks", self.masks, 1)

    def width(self, channels: int) -> int:
        """Of the vector, on a map of that many channels."""
        return channels * self.vectors()

    def vectors(self) -> int:
        """How many vectors it puts side by side."""
        return self.masks + self.whole

    def make(self, channels, rngs, dtype):
        """The module, from maps [b h w c] to vectors [b width]."""
        from jreid.models.modules import prototype_pool

        return prototype_pool.MaskPool(
            channels, self.masks, self.whole, dtype=dtype, rngs=rngs
        )


@dataclass(slots=True)
class PrototypePool:
    """Means of the map under its places' similarities to learned prototypes.

    A mask is the sigmoid of <prototype, x + position>, positions being learned too. The
    vector has (prototypes + whole) times the map's channels.
    """

    has_masks: ClassVar[bool] = True

    prototypes: int = 7
    """Parts."""
    size: tuple[int, int] = (18, 9)
    """Rows and columns of the map."""
    whole: bool = True
    """Whether the mean of the map itself is put behind them."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("prototypes", self.prototypes, 1)
        at_least("size.0", self.size[0], 1)
        at_least("size.1", self.size[1], 1)

    def width(self, channels: int) -> int:
        """Of the vector, on a map of that many channels."""
        return channels * self.vectors()

    def vectors(self) -> int:
        """How many vectors it puts side by side."""
        return self.prototypes + self.whole

    def make(self, channels, rngs, dtype):
        """The module, from maps [b h w c] to vectors [b width]."""
        from jreid.models.modules import prototype_pool

        return prototype_pool.PrototypePool(
            channels, self.prototypes, self.size, self.whole, rngs=rngs
        )
