"""Images made of images by a few weights: pixelwise maps of a stem's input.

An adapter's images are further rows, of copy 1, through the same stem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least


@dataclass(slots=True)
class Adapters:
    """Further rows made of the images of some views, one of each image."""

    of: dict[str, Any]
    """What makes them, by view; in testing by modality."""
    then: Any = None
    """A Decoder that all their outputs go through; or none."""
    in_test: bool = True
    """Whether test images have such rows too."""

    def check(self) -> None:
        """Raises ValueError where there is nothing to adapt."""
        if not self.of:
            raise ValueError("of is {}; allowed are adapters by view, one and more")

    def make(self, rngs, dtype):
        """The module, from columns by view to images by view."""
        from jreid.models.modules import adapters

        return adapters.Adapters(self, dtype=dtype, rngs=rngs)


@dataclass(slots=True)
class PixelAdapter:
    """Two pixelwise linear maps with a ReLU between (XIV, AAAI 2020).

    Of 3 channels to a hidden width and back to 3; all weights start at `initial`, the
    biases at 0. XIV's has 10 parameters and makes its X modality of visible images.
    """

    hidden: int = 1
    """Channels between the maps."""
    initial: float = 0.333
    """Every weight at the start."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("hidden", self.hidden, 1)

    def make(self, rngs, dtype):
        """The module, from images [b h w 3] to images of the same shape."""
        from jreid.models.modules import adapters

        return adapters.PixelAdapter(self.hidden, self.initial, dtype=dtype, rngs=rngs)


@dataclass(slots=True)
class Encoder:
    """A modality's pixelwise map to one channel (MMN, ACM MM 2021).

    3 to 1, ReLU, 1 to 1, ReLU, BatchNorm; weights .333, biases 0; 8 parameters.
    """

    initial: float = 0.333
    """Every weight at the start."""

    def make(self, rngs, dtype):
        """The module, from images [b h w 3] to maps [b h w 1]."""
        from jreid.models.modules import adapters

        return adapters.Encoder(self.initial, dtype=dtype, rngs=rngs)


@dataclass(slots=True)
class Decoder:
    """The pixelwise map of one channel to three that modalities share (MMN).

    1 to 3, ReLU; weights .333, biases 0; 6 parameters.
    """

    initial: float = 0.333
    """Every weight at the start."""

    def make(self, rngs, dtype):
        """The module, from maps [b h w 1] to images [b h w 3]."""
        from jreid.models.modules import adapters

        return adapters.Decoder(self.initial, dtype=dtype, rngs=rngs)


@dataclass(slots=True)
class GreyCopy:
    """The luminance of the image in three channels; no parameters (VSD).

    .2989 red + .587 green + .114 blue of the normalised image, as released.
    """

    def make(self, rngs, dtype):
        """The function, from images [b h w 3] to images of the same shape."""
        from jreid.models.modules import adapters

        return adapters.grey_copy
