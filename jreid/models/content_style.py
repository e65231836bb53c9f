"""JSIA-ReID's network: an encoder of content, and images made of content and style."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from jreid.bounds import at_least
from jreid.data.datasets import MODALITY_NAMES
from jreid.models.resnet import ResNet

STEM = "any"
KINDS = ("", "made_", "same_", "cycle_")
SCALES = 2  # at which a discriminator looks at an image


@dataclass(slots=True)
class StyleEncoder:
    """From an image to a vector of its style."""

    channels: int = 32
    """Of the first map; each of the first two halvings doubles them."""
    halvings: int = 4
    """Convolutions of stride 2 after the first."""
    features: int = 128
    """Width of the vector."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("channels", self.channels, 1)
        at_least("halvings", self.halvings, 2)
        at_least("features", self.features, 1)


@dataclass(slots=True)
class Decoder:
    """From a map of content and a vector of style to an image, [-1, 1]."""

    blocks: int = 2
    """Residual blocks whose norms the style sets."""
    hidden: int = 256
    """Width of the perceptron from the style to scales and shifts."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("blocks", self.blocks, 1)
        at_least("hidden", self.hidden, 1)


@dataclass(slots=True)
class TwoScales:
    """From an image to maps of judgements, of the image and of its half."""

    channels: int = 32
    """Of the first map; each level doubles them."""
    levels: int = 4
    """Convolutions of stride 2."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("channels", self.channels, 1)
        at_least("levels", self.levels, 1)


@dataclass(slots=True)
class ContentStyleNetwork:
    """An encoder whose first stage is the content, styles, decoders, discriminators.

    Features v1 are the encoder's pooled map, embeddings v1 that after the neck. It
    knows the players "generators", "discriminators" and "encoder".
    """

    trunk: ResNet = field(default_factory=lambda: ResNet(stem_relu=False))
    """The encoder's; the map after its first stage is the content."""
    style: StyleEncoder = field(default_factory=StyleEncoder)
    """Each modality's."""
    decoder: Decoder = field(default_factory=Decoder)
    """Each modality's."""
    discriminator: TwoScales = field(default_factory=TwoScales)
    """Each modality's."""
    size: tuple[int, int] = (128, 64)
    """Height and width of made images; to twice that they are brought for their
    content."""
    reconstructs: str = "visible"
    """The decoder that makes an infrared image anew of its own content and style:
    visible (the released code), or infrared."""
    translates: ClassVar[bool] = True
    """The module has `translate(images, modality)`: a run's end shows what it makes."""

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit the others."""
        if self.reconstructs not in MODALITY_NAMES:
            raise ValueError(
                f"reconstructs is {self.reconstructs!r}; allowed are "
                f"{', '.join(MODALITY_NAMES)}"
            )
        halvings = max(self.style.halvings, self.discriminator.levels + SCALES - 1)
        if min(self.size) < 2**halvings or any(side % 2 for side in self.size):
            raise ValueError(
                f"size is {self.size}; allowed are even sides from {2**halvings} on, "
                "which the style encoder's halvings and the discriminator's levels need"
            )

    def player_names(self) -> tuple[str, ...]:
        """The players whose turns the module knows."""
        return ("generators", "discriminators", "encoder")

    def names(self) -> tuple[str, ...]:
        """What a term can stand on, though not in every player's turn."""
        scales = range(SCALES)
        kinds = {
            "features": ("v1",),
            "embeddings": ("v1",),
            "logits": ("v1", *(f"{k}{m}" for k in KINDS[:2] for m in MODALITY_NAMES)),
            "judgements": tuple(
                f"{k}_{m}_{s}"
                for k in ("real", "made")
                for m in MODALITY_NAMES
                for s in scales
            ),
            "images": tuple(f"{k}{m}" for k in KINDS for m in MODALITY_NAMES),
            "contents": tuple(f"{k}{m}" for k in KINDS[:2] for m in MODALITY_NAMES),
            "styles": tuple(f"{k}{m}" for k in KINDS[:2] for m in MODALITY_NAMES),
        }
        return tuple(f"{kind}.{n}" for kind, names in kinds.items() for n in names)

    def stem_names(self) -> tuple[str, ...]:
        """The one stem that a view can name."""
        return (STEM,)

    def torch_names(self) -> dict[str, str]:
        """Our subtrees and theirs in a file of pretrained weights."""
        return {
            "encoder/stem": "stem",
            "encoder/first": "trunk",
            "encoder/rest": "trunk",
        }

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import content_style

        return content_style.ContentStyleNetwork(self, classes, dtype=dtype, rngs=rngs)
