"""ResNet trunks (He et al., CVPR 2016), with blocks of other kinds in between."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from jreid.bounds import at_least, makes_module

BLOCK_COUNTS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
"""Blocks in each of the four stages, by depth."""


@dataclass(slots=True)
class ResNet:
    """The trunk that the modalities share; its stems have the same width."""

    depth: Literal[18, 34, 50, 101] = 50
    width: float = 1.0
    """Multiplies every channel count of stems and trunk."""
    last_stride: Literal[1, 2] = 1
    """Of stage 4: 1 keeps it at the resolution of the third."""
    stages: Literal[1, 2, 3, 4] = 4
    """How many of the stages there are."""
    before: dict[str, Any] = field(default_factory=dict)
    """Blocks by place: before "2" (stage 2) or "2.1" (its second block)."""
    after: dict[str, Any] = field(default_factory=dict)
    """Blocks by place: after "2" (stage 2) or "2.1" (its second block)."""
    stem_relu: bool = True
    """Whether a ReLU stands between a stem's BatchNorm and its maximum pooling."""
    rematerialise: bool = False
    """Compute each block anew in the backward pass, those before and after others too:
    less memory, more time."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        if self.depth not in BLOCK_COUNTS:
            raise ValueError(
                f"depth is {self.depth}; allowed are {sorted(BLOCK_COUNTS)}"
            )
        at_least("width", self.width, 1 / 64)
        for which in ("before", "after"):
            for key, block in getattr(self, which).items():
                self._check_place(which, key)
                makes_module(f"{which}.{key}", block)

    def _check_place(self, which: str, key: str) -> None:
        counts = BLOCK_COUNTS[self.depth][: self.stages]
        match = re.fullmatch(r"([1-9])(?:\.(\d+))?", key)
        stage, block = (int(part or 0) for part in match.groups()) if match else (0, 0)
        if not 1 <= stage <= len(counts) or block >= counts[stage - 1]:
            raise ValueError(
                f"{which} has a block at {key!r}; allowed are stages, as '2', and "
                f"their blocks from 0, as '2.1': there are {counts} in the stages"
            )

    def channels(self) -> tuple[int, ...]:
        """Output channels of the stages, e.g. (256, 512, 1024, 2048) for depth 50."""
        expansion = 4 if self.depth >= 50 else 1
        return tuple(
            self.stem_channels() * expansion * 2**stage for stage in range(self.stages)
        )

    def stem_channels(self) -> int:
        """Output channels of a stem, which are the trunk's input."""
        return round(64 * self.width)

    def make(self, rngs, dtype, first=(1, 0), stop=None):
        """The trunk's module, of the blocks from `first` to before `stop`.

        Both are a stage and a block of it, as (3, 1).
        """
        from jreid.models.modules import resnet

        return resnet.Trunk(self, first, stop, dtype=dtype, rngs=rngs)

    def make_stem(self, rngs, dtype, private=0, inputs=3):
        """A stem's module, with the `private` first stages as its own trunk.

        `inputs` is the number of an image's channels.
        """
        from jreid.models.modules import resnet

        return resnet.Stem(
            self.stem_channels(),
            inputs=inputs,
            relu=self.stem_relu,
            trunk=self.make(rngs, dtype, stop=(private + 1, 0)) if private else None,
            dtype=dtype,
            rngs=rngs,
        )
