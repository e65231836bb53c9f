"""Hi-CMD's network: what identifies a person, apart from pose and illumination."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from jreid.bounds import at_least, between
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.device_augmentations import EraseNormalised
from jreid.models.resnet import ResNet

GROUPS = 4
"""Of the codes, one for each residual block of the decoder."""
SCALES = 3
"""Sizes at which a discriminator sees an image."""
MADE = ("same", "cross", "cycle")
JUDGED = ("real", "cross", "lit")


@dataclass(slots=True)
class PrototypeEncoder:
    """From an image to a map of a quarter of its height and width."""

    channels: int = 32
    """Of the first map; the residual blocks have four times as many."""
    blocks: int = 4
    """Residual blocks."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("channels", self.channels, 1)
        at_least("blocks", self.blocks, 0)


@dataclass(slots=True)
class StyleDecoder:
    """From a prototype and codes to an image, normalised and without bounds."""

    hidden: int = 512
    """Width of the perceptrons that make scales and shifts of codes."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("hidden", self.hidden, 1)


@dataclass(slots=True)
class Discriminator:
    """From an image to judgements at each of three sizes."""

    channels: int = 32
    """Of the first maps; the residual blocks have twice as many."""
    blocks: int = 4
    """Residual blocks."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("channels", self.channels, 1)
        at_least("blocks", self.blocks, 0)


@dataclass(slots=True)
class DisentangledNetwork:
    """Two encoders of each modality, one decoder, discriminators, and ReID layers.

    Of the first half of a batch's slots, which show an identity in both modalities,
    images are made; the others are negatives. Features v1 are the hidden layer
    before the classifier, embeddings v1 a linear map of it. It knows the players
    "discriminators", "generators" and "reid".
    """

    trunk: ResNet = field(default_factory=lambda: ResNet(last_stride=2))
    """Of each attribute encoder; its stages 2 and 3 are also those that go on from a
    prototype, which has the channels of stage 1."""
    prototype: PrototypeEncoder = field(default_factory=PrototypeEncoder)
    decoder: StyleDecoder = field(default_factory=StyleDecoder)
    discriminator: Discriminator = field(default_factory=Discriminator)
    erase: EraseNormalised = field(default_factory=EraseNormalised)
    """What is done to the images, real and made, by whose identities is learned."""
    hidden: int = 2048
    """Width of the features."""
    features: int = 1024
    """Width of the embeddings, which serve the triplets."""
    dropout: float = 0.5
    """Fraction of the features dropped in training."""
    translates: ClassVar[bool] = True
    """The module has `translate(images, modality)`: a run's end shows what it makes."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("hidden", self.hidden, 1)
        at_least("features", self.features, 1)
        between("dropout", self.dropout, 0, 0.99)
        if self.trunk.stages != 4:
            raise ValueError(
                f"trunk.stages is {self.trunk.stages}; allowed is 4, as attributes are "
                "what the fourth stage gives"
            )
        if self.trunk.channels()[-1] % 16:
            raise ValueError(
                f"trunk.width is {self.trunk.width}, {self.trunk.channels()[-1]} "
                f"attributes; allowed is a multiple of 16: {GROUPS} groups, a quarter "
                "of each the pose and another the illumination"
            )

    def player_names(self) -> tuple[str, ...]:
        """The players whose turns the module knows."""
        return ("discriminators", "generators", "reid")

    def names(self) -> tuple[str, ...]:
        """What a term can stand on, though not in every player's turn."""
        sizes = [str(number) for number in range(SCALES)]
        kinds = {
            "features": ("v1",),
            "embeddings": ("v1",),
            "logits": ("v1",),
            "images": by_modality(("", *(f"{kind}_" for kind in MADE))),
            "codes": by_modality(("decoded_", "again_", "rest_")),
            "judgements": tuple(
                f"{name}_{size}"
                for name in by_modality([f"{kind}_" for kind in JUDGED])
                for size in sizes
            ),
            "slopes": tuple(f"{m}_{size}" for m in MODALITY_NAMES for size in sizes),
        }
        return tuple(f"{kind}.{n}" for kind, names in kinds.items() for n in names)

    def stem_names(self) -> tuple[str, ...]:
        """The stems that a view can name."""
        return MODALITY_NAMES

    def torch_names(self) -> dict[str, str]:
        """Our subtrees and theirs in a file of pretrained weights."""
        encoders = {
            f"attributes/{modality}/{part}": part
            for modality in MODALITY_NAMES
            for part in ("stem", "trunk")
        }
        return encoders | {"reid/trunk": "trunk"}

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import disentangled

        return disentangled.DisentangledNetwork(self, classes, dtype=dtype, rngs=rngs)


def by_modality(prefixes) -> tuple[str, ...]:
    """Each prefix before the name of each modality."""
    return tuple(
        f"{prefix}{modality}" for prefix in prefixes for modality in MODALITY_NAMES
    )
