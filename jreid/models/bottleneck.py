"""The information bottleneck of the VRD module (paper section 2, fig. 4, eq. 8)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least, between


@dataclass(slots=True)
class Bottleneck:
    """Refines the embeddings of branches, v1 into z1; one module for all of them."""

    hidden: tuple[int, ...] = (1024, 512)
    """Widths of the layers of Linear, BatchNorm and ReLU."""
    features: int = 512
    """Width of a further Linear that makes z, which diverges at a rate of 0.1 after a
    short warm-up; 0: z is the last hidden layer."""
    of: tuple[str, ...] = ("v1", "v2")
    """Names of the branches that are refined."""
    neck: bool = False
    """Whether a BatchNorm without bias stands between z and its classifier."""
    dropout: float = 0.0
    """Share of z that is hidden from its classifier in training."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        for index, width in enumerate(self.hidden):
            at_least(f"hidden.{index}", width, 1)
        at_least("features", self.features, 0)
        between("dropout", self.dropout, 0, 0.99)
        if not self.hidden and not self.features:
            raise ValueError("hidden is () and features 0; one of them makes z")
        if not self.of or len(set(self.of)) < len(self.of):
            raise ValueError(f"of is {self.of}; allowed are branches, each once")

    def make(self, channels, classes, rngs, dtype):
        """The module, from v [b d] to z [b z] and its logits [b classes]."""
        from jreid.models.modules import bottleneck

        return bottleneck.InformationBottleneck(
            channels,
            classes,
            hidden=self.hidden,
            features=self.features,
            neck=self.neck,
            dropout=self.dropout,
            dtype=dtype,
            rngs=rngs,
        )


def refined_name(branch: str) -> str:
    """The name of a branch's refined vector: "v1" -> "z1"."""
    return "z" + branch.removeprefix("v")
