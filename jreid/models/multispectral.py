"""D2RL's network: every image as one of four channels, some of them made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from jreid.bounds import at_least
from jreid.data.datasets import MODALITY_NAMES
from jreid.models.resnet import ResNet

CHANNELS = 4
"""Of the images that are told apart: red, green, blue, infrared."""
KINDS = ("", "made_", "same_", "cycle_")
SCALES = 3
"""At which a discriminator looks at an image."""


@dataclass(slots=True)
class LatentCoder:
    """From an image to the mean of its code, and from a code to an image, [-1, 1].

    A code has a quarter of an image's height and width, and around its mean variance 1.
    """

    channels: int = 64
    """Of the encoder's first map and the decoder's last; a code has four times as
    many."""
    blocks: int = 4
    """Residual blocks of the encoder, and as many of the decoder."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("channels", self.channels, 1)
        at_least("blocks", self.blocks, 0)


@dataclass(slots=True)
class ThreeScales:
    """From an image to maps of judgements, of the image, its half and its quarter."""

    channels: int = 64
    """Of the first map; each level doubles them."""
    levels: int = 4
    """Convolutions of stride 2."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("channels", self.channels, 1)
        at_least("levels", self.levels, 1)


@dataclass(slots=True)
class MultispectralNetwork:
    """Encoders and decoders both ways, discriminators, a ResNet of four channels.

    A visible image's fourth channel is made of it, an infrared image's first three are.
    Features v1 are the pooled map, embeddings v1 that after the neck. It knows the
    players "generators_alone", "generators" (the encoders and decoders, the latter with
    an identity's terms too), "discriminators" and "reid".
    """

    trunk: ResNet = field(default_factory=ResNet)
    """Of the images of four channels."""
    coder: LatentCoder = field(default_factory=LatentCoder)
    """Each modality's."""
    discriminator: ThreeScales = field(default_factory=ThreeScales)
    """Each modality's."""
    size: tuple[int, int] = (128, 64)
    """Height and width of made images, which are then brought to those of real ones."""
    translates: ClassVar[bool] = True
    """The module has `translate(images, modality)`: a run's end shows what it makes."""

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit the others."""
        smallest = 2 ** (self.discriminator.levels + SCALES - 1)
        if min(self.size) < smallest or any(side % 4 for side in self.size):
            raise ValueError(
                f"size is {self.size}; allowed are multiples of 4, as an image is "
                f"halved twice for its code, from {smallest} on, which the "
                "discriminator's levels and scales need"
            )

    def player_names(self) -> tuple[str, ...]:
        """The players whose turns the module knows."""
        return ("generators_alone", "generators", "discriminators", "reid")

    def names(self) -> tuple[str, ...]:
        """What a term can stand on, though not in every player's turn."""
        kinds = {
            "features": ("v1",),
            "embeddings": ("v1",),
            "logits": ("v1",),
            "judgements": tuple(
                f"{kind}_{m}_{scale}"
                for kind in ("real", "made")
                for m in MODALITY_NAMES
                for scale in range(SCALES)
            ),
            "images": tuple(f"{kind}{m}" for kind in KINDS for m in MODALITY_NAMES),
            "codes": tuple(
                f"{kind}{m}" for kind in ("", "again_") for m in MODALITY_NAMES
            ),
        }
        return tuple(f"{kind}.{n}" for kind, names in kinds.items() for n in names)

    def stem_names(self) -> tuple[str, ...]:
        """What a view can name: the modality of its images."""
        return MODALITY_NAMES

    def torch_names(self) -> dict[str, str]:
        """Our subtrees and theirs in a file of pretrained weights."""
        return {"reid/stem": "stem", "reid/trunk": "trunk"}

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import multispectral

        return multispectral.MultispectralNetwork(self, classes, dtype=dtype, rngs=rngs)
