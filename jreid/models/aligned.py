"""AlignGAN's network: images translated both ways, an encoder of infrared ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from jreid.bounds import at_least, between
from jreid.data.datasets import MODALITY_NAMES
from jreid.models.resnet import ResNet

STEM = "any"
ROLES = (
    "encoder_alone",
    "encoder",
    "generators_alone",
    "generators",
    "visible_alone",
    "infrared_alone",
    "visible",
    "infrared",
)
"""The players that the network knows, by name."""
JUDGED = ("real", "made", "wrong", "made_with_real", "real_with_made", "made_visible")


@dataclass(slots=True)
class Generator:
    """From an image to one of the other modality, [-1, 1] both."""

    channels: int = 64
    """Of the first map; the smallest has four times as many."""
    blocks: int = 4
    """Residual blocks."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("channels", self.channels, 1)
        at_least("blocks", self.blocks, 0)


@dataclass(slots=True)
class PatchDiscriminator:
    """From an image to a map of judgements (PatchGAN)."""

    channels: int = 64
    """Of the first map; each level doubles them."""
    levels: int = 4
    """Convolutions of stride 2 after the first, which has stride 2 as well."""
    joined: int = 64
    """Channels to which an encoder's map is brought before the last two levels."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("channels", self.channels, 1)
        at_least("levels", self.levels, 2)
        at_least("joined", self.joined, 1)


@dataclass(slots=True)
class AlignedNetwork:
    """Generators both ways, discriminators of both modalities, an encoder.

    Features v1 are the encoder's pooled map, embeddings v1 a linear map of it.
    """

    trunk: ResNet = field(default_factory=ResNet)
    """The encoder's."""
    generator: Generator = field(default_factory=Generator)
    """Each of the two."""
    discriminator: PatchDiscriminator = field(default_factory=PatchDiscriminator)
    """Each of the four."""
    size: tuple[int, int] = (384, 192)
    """Height and width to which images are brought for the encoder."""
    features: int = 256
    """Width of the embedding, and of the classifier's hidden layer."""
    dropout: float = 0.5
    """Fraction of the pooled map dropped before the classifier."""
    critics: dict[str, Any] = field(default_factory=dict)
    """Discriminators beside these, by name: parts whose `make(rngs, dtype)` gives a
    module from images in [-1, 1] [b h w 3] to judgements [b h2 w2 1], and whose `of` is
    the modality of these images. A player of a critic's name has the judgements "real"
    and "made"; the generators have that of what they make under its name."""
    translates: ClassVar[bool] = True
    """The module has `translate(images, modality)`: a run's end shows what it makes."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("features", self.features, 1)
        at_least("size", min(self.size), 16)
        between("dropout", self.dropout, 0, 0.99)
        for name, critic in self.critics.items():
            if name in (*ROLES, *JUDGED):
                raise ValueError(
                    f"critics has {name!r}; allowed are other names than those of "
                    f"players, {', '.join(ROLES)}, and judgements, {', '.join(JUDGED)}"
                )
            of = getattr(critic, "of", None)
            if of not in MODALITY_NAMES or not hasattr(critic, "make"):
                raise ValueError(
                    f"critics.{name} is {critic!r}; it needs make(rngs, dtype) and of, "
                    f"one of {', '.join(MODALITY_NAMES)}"
                )

    def player_names(self) -> tuple[str, ...]:
        """The players whose turns the module knows."""
        return (*ROLES, *self.critics)

    def names(self) -> tuple[str, ...]:
        """What a term can stand on, though not in every player's turn."""
        kinds = {
            "features": ("v1",),
            "embeddings": ("v1",),
            "logits": ("v1",),
            "judgements": (*JUDGED, *self.critics),
            "images": tuple(
                f"{kind}{modality}"
                for kind in ("", "made_", "cycle_", "same_")
                for modality in MODALITY_NAMES
            ),
        }
        return tuple(f"{kind}.{n}" for kind, names in kinds.items() for n in names)

    def stem_names(self) -> tuple[str, ...]:
        """The one stem that a view can name."""
        return (STEM,)

    def torch_names(self) -> dict[str, str]:
        """Our subtrees and theirs in a file of pretrained weights."""
        return {"encoder/stem": "stem", "encoder/trunk": "trunk"}

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import aligned

        return aligned.AlignedNetwork(self, classes, dtype=dtype, rngs=rngs)
