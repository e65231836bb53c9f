"""mtGAN's network: every image and its counterpart, made in the other modality."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from jreid.data.datasets import MODALITY_NAMES
from jreid.models.aligned import Generator, PatchDiscriminator
from jreid.models.pooling import Average
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream

BRANCHES = ("own", "made", "mean")
"""Of the image itself, of its made counterpart, and the mean of both."""


@dataclass(slots=True)
class CounterpartNetwork:
    """Generators both ways with their discriminators, and a network of two streams.

    An image enters its modality's stem, its counterpart the other one's; the rest, one
    neck and one classifier are shared. It knows the players "generators", "visible" and
    "infrared", which are the discriminators, and "encoder".
    """

    trunk: ResNet = field(default_factory=ResNet)
    """Shared by the modalities."""
    generator: Generator = field(default_factory=Generator)
    """Each of the two; heights and widths of images are multiples of 4."""
    discriminator: PatchDiscriminator = field(default_factory=PatchDiscriminator)
    """Each of the two."""
    translates: ClassVar[bool] = True
    """The module has `translate(images, modality)`: a run's end shows what it makes."""

    def reid(self) -> TwoStream:
        """The part of the network of two streams."""
        branches = (Branch("v1", Average()),)
        return TwoStream(branches=branches, trunk=self.trunk, stems=MODALITY_NAMES)

    def player_names(self) -> tuple[str, ...]:
        """The players whose turns the module knows."""
        return ("generators", *MODALITY_NAMES, "encoder")

    def names(self) -> tuple[str, ...]:
        """What a term can stand on, though not in every player's turn."""
        kinds = {
            "features": BRANCHES,
            "embeddings": BRANCHES,
            "logits": BRANCHES,
            "judgements": ("real", "made", *(f"made_{m}" for m in MODALITY_NAMES)),
            "images": tuple(
                f"{kind}{modality}"
                for kind in ("", "made_", "cycle_", "same_")
                for modality in MODALITY_NAMES
            ),
        }
        return tuple(f"{kind}.{n}" for kind, names in kinds.items() for n in names)

    def stem_names(self) -> tuple[str, ...]:
        """The stems that a view can name; a view's stem is its images' modality."""
        return MODALITY_NAMES

    def torch_names(self) -> dict[str, str]:
        """Our subtrees and theirs in a file of pretrained weights."""
        names = self.reid().torch_names()
        return {f"reid/{ours}": theirs for ours, theirs in names.items()}

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import counterparts

        return counterparts.CounterpartNetwork(self, classes, dtype=dtype, rngs=rngs)
