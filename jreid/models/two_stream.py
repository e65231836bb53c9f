"""The two-stream network: a stem per modality, a shared trunk, a head of branches.

DIAM (paper eq. 4 and 5) is a head of two branches of which the second adds the first's
output; VRD (fig. 4) is a bottleneck shared by the branches that it refines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from jreid.bounds import at_least, between, makes_module
from jreid.models.bottleneck import refined_name
from jreid.models.pooling import Average, GeM, Stripe, pooled_width
from jreid.models.resnet import BLOCK_COUNTS, ResNet


@dataclass(slots=True)
class Project:
    """A linear map (a 1 x 1 convolution of the pooled map) and a BatchNorm."""

    features: int
    """Output width."""
    relu: bool = False
    """Whether negative outputs become 0."""
    bias: bool = False
    """Whether the linear map has one."""
    scale_std: float = 0.0
    """Standard deviation of the BatchNorm's scale at the start, around 1."""
    init: Literal["fan_out", "fan_in"] = "fan_out"
    """The fan of the weights' Kaiming-normal start; AGW's family has fan_out for linear
    maps (HC) and fan_in for convolutions (HC-Tri)."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("features", self.features, 1)
        at_least("scale_std", self.scale_std, 0)

    def make(self, channels, rngs, dtype):
        """The module, from vectors [b c] to vectors [b features]."""
        from jreid.models.modules import heads

        return heads.Projection(self, channels, rngs=rngs)


@dataclass(slots=True)
class Classifier:
    """A linear map to the training identities."""

    bias: bool = False
    """Whether it has one, which starts at 0."""
    slope: float = 1.0
    """Of a leaky ReLU before it, for negative values; 1: none."""
    init: Literal["normal", "uniform"] = "normal"
    """normal: weights ~ N(0, 0.001); uniform: torch's default, within +-1 / sqrt(d)."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("slope", self.slope, 0, 1)

    def make(self, features, classes, rngs):
        """The module, from embeddings [b features] to logits [b classes]."""
        from jreid.models.modules import heads

        return heads.Classifier(self, features, classes, rngs=rngs)


@dataclass(slots=True)
class Branch:
    """One branch: g = project(pool(x)), u = g + the embedding of `adds`, v = BN(u).

    u is the branch's feature, v its embedding, on which its classifier stands.
    """

    name: str
    pool: Any = field(default_factory=GeM)
    """From the trunk's map to a vector."""
    adds: str = ""
    """An earlier branch, as DIAM's second adds the first."""
    added: Literal["whole", "detached", "normalised"] = "whole"
    """detached: no gradient reaches the earlier branch through the sum; normalised: g
    and the embedding are brought to unit length before they are added."""
    project: Any = None
    """From the pooled vector to another width, a Project; none: the trunk's width."""
    neck: bool = True
    """Whether there is a BatchNorm without bias; without it the embedding is u."""
    neck_of: Literal["all", "modality"] = "all"
    """all: one neck for all rows; modality: each modality has its own (SAAI), whose
    scales start at 1."""
    scale_std: float = 0.01
    """Standard deviation of the scale of a neck for all rows at the start, around 1."""
    classifier: Any = field(default_factory=Classifier)
    """What makes its logits of its embedding: a Classifier, a HiddenClassifier, parts'
    PartClassifiers; or none, where no term needs logits."""
    shares: str = ""
    """An earlier branch, whose classifier it uses; none: its own."""
    tail: str = ""
    """Which of the network's tails its map is from; none: the trunk's."""
    own: Any = None
    """A ModalityClassifier beside it, whose logits are "own_NAME"; or none."""

    def check(self) -> None:
        """Raises ValueError naming a field that holds another kind of part."""
        makes_module("pool", self.pool)
        at_least("scale_std", self.scale_std, 0)
        if self.project is not None:
            makes_module("project", self.project)
        cut = self.project is None and hasattr(self.pool, "vectors")
        parts = self.pool.vectors() if cut else 1
        if getattr(self.classifier, "parts", parts) != parts:
            raise ValueError(
                f"classifier.parts is {self.classifier.parts}; allowed is as many as "
                f"the branch's vector has, {parts}"
            )

    def width(self, channels: int) -> int:
        """Of its feature and embedding, on a trunk of that many channels."""
        if self.project is not None:
            return self.project.features
        return pooled_width(self.pool, channels)


def has_masks(pool: Any) -> bool:
    """Whether a pool has masks, which the network then gives for its branch."""
    return getattr(pool, "has_masks", False)


def stripes(count: int, pool: Any = None, **fields: Any) -> tuple[Branch, ...]:
    """Branches s0, s1 ... of the horizontal stripes, from the top.

    Args:
      count: how many.
      pool: of each stripe; None: Average.
      fields: others of each Branch.
    """
    pool = Average() if pool is None else pool
    return tuple(
        Branch(f"s{i}", Stripe(i, of=count, pool=pool), **fields) for i in range(count)
    )


@dataclass(slots=True)
class TwoStream:
    """Stems by name, a trunk that they share, a head of branches.

    One stem alone makes a network that takes images of any modality.
    """

    branches: tuple[Branch, ...]
    """In order; a branch may add the embedding of an earlier one."""
    trunk: ResNet = field(default_factory=ResNet)
    refine: Any = None
    """What refines the embeddings of branches, a Bottleneck; or none."""
    stems: tuple[str, ...] = ("visible", "infrared")
    """Names of the stems."""
    private_stages: int = 1
    """How much each stem has for itself: 1 the first convolution, 2 stage 1 of the
    trunk as well, 5 a whole ResNet."""
    tails: dict[str, Literal[1, 2]] = field(default_factory=dict)
    """Copies of the last blocks by name, each with the stride of its stage 4."""
    tail_from: tuple[int, int] = (3, 1)
    """Stage and block at which the trunk ends where there are tails."""
    adapters: Any = None
    """What makes further rows of some views' images, an Adapters; or none."""
    stem_maps: bool = False
    """Whether terms may stand on the stems' maps, "maps.stem"."""
    discriminators: dict[str, Any] = field(default_factory=dict)
    """Adversaries by name on the trunk's last map, whose logits are "NAME"."""

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit the others."""
        between("private_stages", self.private_stages, 1, self.trunk.stages + 1)
        stage, block = self.tail_from
        whole = self.private_stages <= stage <= self.trunk.stages
        if self.tails and not (whole and 0 <= block < self._blocks(stage)):
            raise ValueError(
                f"tail_from is {self.tail_from}; allowed are a stage that the stems "
                "share and a block of it"
            )
        if not self.stems or len(set(self.stems)) < len(self.stems):
            raise ValueError(f"stems is {self.stems}; allowed are names, each once")
        if not self.branches:
            raise ValueError("branches is (); allowed is one branch and more")
        widths = {}
        for index, branch in enumerate(self.branches):
            self._check_branch(index, branch, widths)
            widths[branch.name] = branch.width(self.trunk.channels()[-1])
        for name, discriminator in self.discriminators.items():
            makes_module(f"discriminators.{name}", discriminator)
            if self.tails or f"logits.{name}" in self._names():
                raise ValueError(
                    f"discriminators has {name!r}; allowed are names of no logits, in "
                    "a network without tails"
                )
        if self.refine is not None:
            self._check_refine(widths)

    def _check_branch(self, index, branch, widths):
        name, earlier = branch.name, list(widths)
        if name in ("", "fused", "plain", *earlier) or "." in name or "/" in name:
            raise ValueError(
                f"branches.{index}.name is {name!r}; allowed is a new name without "
                "dot and slash, other than 'fused' and 'plain'"
            )
        if (branch.tail or self.tails) and branch.tail not in self.tails:
            raise ValueError(
                f"branches.{index}.tail is {branch.tail!r}; allowed are the tails, "
                f"{list(self.tails)}"
            )
        width = branch.width(self.trunk.channels()[-1])
        owners = [
            b.name for b in self.branches[:index] if b.classifier and not b.shares
        ]
        for field_name, allowed in (("adds", earlier), ("shares", owners)):
            other = getattr(branch, field_name)
            if other not in ("", *allowed):
                raise ValueError(
                    f"branches.{index}.{field_name} is {other!r}; allowed are '' and "
                    f"earlier branches, {allowed}"
                )
            if other and widths[other] != width:
                raise ValueError(
                    f"branches.{index}.{field_name} is {other!r}, which is "
                    f"{widths[other]} wide; allowed is one of the width {width}"
                )

    def _check_refine(self, widths):
        for name in self.refine.of:
            if name not in widths:
                raise ValueError(
                    f"refine.of has {name!r}; allowed are branches, {list(widths)}"
                )
        if len({widths[name] for name in self.refine.of}) > 1:
            raise ValueError(
                f"refine.of is {self.refine.of}, branches of several widths; one "
                "bottleneck takes one width"
            )

    def names(self) -> tuple[str, ...]:
        """What a term can stand on."""
        maps = ("maps.stem",) if self.stem_maps else ()
        logits = tuple(f"logits.{name}" for name in self.discriminators)
        return self._names() + logits + maps

    def _names(self):
        branches = [branch.name for branch in self.branches]
        refined = [refined_name(name) for name in self.refine.of] if self.refine else []
        kinds = {
            "features": branches,
            "embeddings": branches,
            "logits": [b.name for b in self.branches if b.classifier or b.shares]
            + [f"own_{branch.name}" for branch in self.branches if branch.own]
            + refined,
            "refined": refined,
            "masks": [b.name for b in self.branches if has_masks(b.pool)],
        }
        return tuple(
            f"{kind}.{name}" for kind, names in kinds.items() for name in names
        )

    def stem_names(self) -> tuple[str, ...]:
        """The stems that a view can name."""
        return self.stems

    def torch_names(self) -> dict[str, str]:
        """Our subtrees and theirs in a file of pretrained weights."""
        private = {f"stems/{stem}/trunk": "trunk" for stem in self.stems}
        shared = {f"stems/{stem}": "stem" for stem in self.stems} | {"trunk": "trunk"}
        stage, begin = self.tail_from
        cut = {  # of a stage that is cut, blocks are counted anew in its tails
            f"tails/{tail}/layer{stage}/{index - begin}": f"trunk/layer{stage}/{index}"
            for tail in self.tails
            for index in range(begin, self._blocks(stage))
        }
        tails = cut | {f"tails/{tail}": "trunk" for tail in self.tails}
        return tails | (private if self.private_stages > 1 else {}) | shared

    def _blocks(self, stage):
        return BLOCK_COUNTS[self.trunk.depth][stage - 1]

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import two_stream

        return two_stream.TwoStreamNetwork(self, classes, dtype=dtype, rngs=rngs)
