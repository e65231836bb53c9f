"""Gates on maps: MPANet's MAM, PDM's SNA, and CBAM inside PDM's expansion."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least


def _hidden(channels, reduction):
    """Raises ValueError where nothing would be left."""
    if reduction > channels:
        raise ValueError(
            f"reduction is {reduction}; allowed is 1 to {channels}, the channels of "
            "the maps"
        )
    return channels // reduction


@dataclass(slots=True)
class ModalityAlleviation:
    """x m + InstanceNorm(x) (1 - m), a gate m for each channel (MPANet, CVPR 2021)."""

    reduction: int = 16
    """Channels over the gate's hidden ones."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("reduction", self.reduction, 1)

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import gates

        return gates.ModalityAlleviation(
            channels, _hidden(channels, self.reduction), dtype=dtype, rngs=rngs
        )


@dataclass(slots=True)
class EnergyGate:
    """x sigmoid((x - mean)^2 / (4 (variance + 1e-4)) + 1/2), without weights (PDM).

    Mean and variance (over h w - 1) are of each image's channel; in training and test.
    """

    def make(self, channels, rngs, dtype):
        """The function, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import gates

        return gates.energy_gate


@dataclass(slots=True)
class ConvolutionalAttention:
    """x + x times a channel gate and a spatial gate (CBAM, as PDM has it)."""

    reduction: int = 16
    """Channels over the channel gate's hidden ones."""
    kernel: int = 49
    """Side of the spatial gate's convolution, odd."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("reduction", self.reduction, 1)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; allowed is an odd number")

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import gates

        return gates.ConvolutionalAttention(
            channels,
            _hidden(channels, self.reduction),
            self.kernel,
            dtype=dtype,
            rngs=rngs,
        )
