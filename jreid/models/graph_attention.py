"""A two-stream network with a graph of a batch's identities in training (DDAG)."""

from __future__ import annotations

from dataclasses import dataclass, field

from jreid.bounds import at_least, between
from jreid.models.two_stream import TwoStream


@dataclass(slots=True)
class GraphAttention:
    """Two layers of graph attention (Velickovic et al., ICLR 2018), then classes."""

    heads: int = 4
    """Of the first layer, side by side."""
    features: int = 512
    """Output width of each."""
    slope: float = 0.2
    """Of the leaky ReLU before the softmax over neighbours, for negative values."""
    dropout: float = 0.2
    """Share of inputs, of attention and of the heads' outputs that is left out."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("heads", self.heads, 1)
        at_least("features", self.features, 1)
        between("slope", self.slope, 0, 1)
        between("dropout", self.dropout, 0, 0.99)

    def make(self, features, classes, rngs):
        """The module, from vectors [r features] and ids [r] to logits [r classes]."""
        from jreid.models.modules import graph_attention

        return graph_attention.GraphAttention(self, features, classes, rngs=rngs)


@dataclass(slots=True)
class GraphTwoStream(TwoStream):
    """Beside the branches, in training, a graph whose edges join rows of one identity.

    Its nodes are a branch's features, its outputs "logits.graph". Test vectors are made
    without it, as they know of no identity.
    """

    graph: GraphAttention = field(default_factory=GraphAttention)
    of: str = "v1"
    """The branch whose features are the nodes."""

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit the others."""
        TwoStream.check(self)
        names = [branch.name for branch in self.branches]
        if self.of not in names:
            raise ValueError(f"of is {self.of!r}; allowed are branches, {names}")
        if "logits.graph" in TwoStream.names(self):
            raise ValueError(
                "branches or discriminators have 'graph'; allowed is another name"
            )

    def names(self) -> tuple[str, ...]:
        """What a term can stand on."""
        return (*TwoStream.names(self), "logits.graph")

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import graph_attention

        return graph_attention.GraphNetwork(self, classes, dtype=dtype, rngs=rngs)
