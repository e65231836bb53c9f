"""Batch normalisation of each modality by itself, and exchange of channels (CmCEN)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import between


@dataclass(slots=True)
class ModalityNorm:
    """A BatchNorm for each modality, statistics and parameters of its own."""

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import modality_norm

        return modality_norm.ModalityNorm(channels, dtype=dtype, rngs=rngs)


@dataclass(slots=True)
class PairExchange:
    """Modality-wise BatchNorm, whose weak channels come from the pair's other image.

    A channel whose scale is below the threshold, in magnitude, is replaced by the
    partner's, normalised as the partner is (CmCEN, ICONIP 2021). The k-th visible and
    the k-th infrared row are partners. In evaluation an image has none: a visible one
    takes the infrared normalisation of its own channel, an infrared one stays.
    """

    threshold: float = 0.7
    """Magnitude of a scale below which its channel is exchanged."""
    released_test: bool = False
    """Test infrared images as the released code does, as if they were visible."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("threshold", self.threshold, 0, 10)

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import modality_norm

        return modality_norm.PairExchange(
            channels, self.threshold, self.released_test, dtype=dtype, rngs=rngs
        )
