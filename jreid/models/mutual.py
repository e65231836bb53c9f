"""VSD's network: a trunk for each modality and one that they share (CVPR 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field

from jreid.bounds import at_least, between
from jreid.models.channel_attention import ChannelSelfAttention
from jreid.models.resnet import ResNet

BRANCHES = ("visible", "infrared", "visible_shared", "infrared_shared")
STEM = "any"


def attended() -> ResNet:
    """A ResNet-50 with channel attention before its stages 2, 3 and 4."""
    return ResNet(before={stage: ChannelSelfAttention() for stage in "234"})


@dataclass(slots=True)
class MutualNetwork:
    """Three whole trunks through which every image of either modality goes.

    Branch visible is the visible trunk on the image, infrared the infrared trunk on its
    grey copy, visible_shared and infrared_shared the shared trunk on these two. Each
    has an observation (embedding, after a neck) and a bottleneck's representation
    (refined, "z_visible" ...), both with logits. The shared trunk runs twice.
    """

    trunk: ResNet = field(default_factory=attended)
    """Each of the three."""
    hidden: tuple[int, ...] = (1000, 500)
    """Widths of a bottleneck's hidden layers."""
    features: int = 512
    """Width of a representation."""
    head: int = 256
    """Width of the hidden layer between a representation and its logits."""
    dropout: float = 0.5
    """Fraction of that layer dropped in training."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        for index, width in enumerate(self.hidden):
            at_least(f"hidden.{index}", width, 1)
        at_least("features", self.features, 1)
        at_least("head", self.head, 1)
        between("dropout", self.dropout, 0, 0.99)

    def names(self) -> tuple[str, ...]:
        """What a term can stand on."""
        refined = tuple(f"z_{name}" for name in BRANCHES)
        kinds = {
            "features": BRANCHES,
            "embeddings": BRANCHES,
            "logits": BRANCHES + refined,
            "refined": refined,
        }
        return tuple(
            f"{kind}.{name}" for kind, names in kinds.items() for name in names
        )

    def stem_names(self) -> tuple[str, ...]:
        """The one stem that a view can name."""
        return (STEM,)

    def torch_names(self) -> dict[str, str]:
        """Our subtrees and theirs in a file of pretrained weights."""
        return {
            f"{name}/{part}": part
            for name in ("visible", "infrared", "shared")
            for part in ("stem", "trunk")
        }

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import mutual

        return mutual.MutualNetwork(self, classes, dtype=dtype, rngs=rngs)
