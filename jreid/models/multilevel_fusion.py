"""Fusion of a stage's input into its output by attention (DEEN's MFA, CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least


@dataclass(slots=True)
class MultilevelFusion:
    """Channel attention, then position attention, on the input of the stage it ends.

    Starts as the identity. Stands after a whole stage, as ResNet(after={"2": ...}).
    """

    ratio: int = 2
    """Channels of the stage's output over those of its input; 4 for stage 1."""
    folded: bool = True
    """Whether position attention sees the map folded in two, as released."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("ratio", self.ratio, 1)

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import multilevel_fusion

        return multilevel_fusion.MultilevelFusion(
            channels,
            channels // self.ratio,
            folded=self.folded,
            dtype=dtype,
            rngs=rngs,
        )
