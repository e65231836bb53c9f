"""The two-stream network in plain PyTorch: stems, trunk, branches and bottleneck.

The counterpart of jreid/models, class by class and name by name. Channels come first
(NCHW), in either memory format: `network.to(memory_format=torch.channels_last)` stays
so from the images to the pooling. Needs nothing but torch.
"""

from collections.abc import Sequence

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from jreid.export.torch_network.head import (
    DIAM,
    Branch,
    BranchHead,
    InformationBottleneck,
    full_precision,
)
from jreid.export.torch_network.resnet import Stem, Trunk

# Of images in [0, 1]: ImageNet's channel means and standard deviations.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
STREAMS = ("visible", "infrared")
NON_LOCAL_AFTER = ((2, 2), (2, 3), (3, 3), (3, 4), (3, 5))  # stage, block from 0


class TwoStreamNetwork(nn.Module):
    """Images of several modalities to features, embeddings and identity logits.

    Args:
      depth: of the ResNet: 18, 34, 50 or 101.
      classes: training identities.
      width: multiplies every channel count of stems and trunk.
      last_stride: 1 keeps the last stage at the resolution of the third.
      non_local_after: (stage 1..4, block from 0) with a non-local block behind.
      non_local_channels: their inner width; 0 is half the channels.
      branches: in order; a branch may add the embedding of an earlier one.
      refined: names of the branches whose embedding goes through the bottleneck.
      bottleneck_hidden: hidden widths of the bottleneck.
      bottleneck_features: width of a further Linear that makes z; 0: none.
      streams: names of the stems.
    """

    def __init__(
        self,
        *,
        depth: int = 50,
        classes: int,
        width: float = 1.0,
        last_stride: int = 1,
        non_local_after: Sequence[tuple[int, int]] = NON_LOCAL_AFTER,
        non_local_channels: int = 1,
        branches: Sequence[Branch] = DIAM,
        refined: Sequence[str] = ("v1", "v2"),
        bottleneck_hidden: Sequence[int] = (1024, 512),
        bottleneck_features: int = 512,
        streams: Sequence[str] = STREAMS,
    ):
        super().__init__()
        base = round(64 * width)
        self.stems = nn.ModuleDict({name: Stem(base) for name in streams})
        self.trunk = Trunk(
            depth,
            base=base,
            last_stride=last_stride,
            non_local_after=non_local_after,
            non_local_channels=non_local_channels,
        )
        channels = self.trunk.channels
        self.branches = nn.ModuleDict(
            {b.name: BranchHead(b, channels, classes) for b in branches}
        )
        self.bottleneck = None
        if refined:
            self.bottleneck = InformationBottleneck(
                channels, classes, bottleneck_hidden, bottleneck_features
            )
        self.order = tuple((b.name, b.adds) for b in branches)
        self.refined = tuple(refined)

    def forward(
        self, images: Tensor, streams: Sequence[str] = STREAMS
    ) -> dict[str, dict[str, Tensor]]:
        """Runs normalised images [n m 3 h w], of which [:, j] are of `streams[j]`.

        Returns features, embeddings, logits and refined vectors by name, as
        jreid.models.two_stream does: rows slot by slot.
        """
        outputs = self.embed(images, streams)
        outputs |= {"logits": {}, "refined": {}}
        for name, v in outputs["embeddings"].items():
            with full_precision(v):
                outputs["logits"][name] = self._head(name).classifier(v)
            if self.bottleneck is not None and name in self.refined:
                z, logits = self.bottleneck(v)
                outputs["refined"][refined_name(name)] = z
                outputs["logits"][refined_name(name)] = logits
        return outputs

    def embed(
        self, images: Tensor, streams: Sequence[str] = STREAMS
    ) -> dict[str, dict[str, Tensor]]:
        """Features before the neck and embeddings after it, by branch: [n * m, d]."""
        # One modality after the other, which keeps the memory format of the maps.
        maps = [self.stems[name](images[:, j]) for j, name in enumerate(streams)]
        x = self.trunk(torch.cat(maps))
        features, embeddings = {}, {}
        for name, adds in self.order:
            head = self._head(name)
            with full_precision(x):
                u = _slot_by_slot(head.pool(x), len(streams))
                features[name] = u + embeddings[adds] if adds else u
                embeddings[name] = head.neck(features[name])
        return {"features": features, "embeddings": embeddings}

    def _head(self, name: str) -> BranchHead:
        head = self.branches[name]
        assert isinstance(head, BranchHead)
        return head


def _slot_by_slot(u: Tensor, streams: int) -> Tensor:
    """From (modality, slot) on axis 0 to (slot, modality)."""
    return u.unflatten(0, (streams, -1)).transpose(0, 1).flatten(0, 1)


def refined_name(branch: str) -> str:
    """The name of a branch's refined vector: "v1" -> "z1"."""
    return "z" + branch.removeprefix("v")


def normalise(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Grey levels 0..255 [... 3 h w] to ImageNet's zero mean and unit variance."""
    mean, std = (
        torch.tensor(v, dtype=dtype, device=images.device)[:, None, None]
        for v in (IMAGE_MEAN, IMAGE_STD)
    )
    return (images.to(dtype) / 255 - mean) / std


def fused_embedding(
    network: TwoStreamNetwork,
    images: Tensor,
    stream: str,
    *,
    feature: str = "embeddings",
    flip: bool = False,
) -> dict[str, Tensor]:
    """L2-normalised vectors of normalised images [b 3 h w], all of one modality.

    Of each branch, after the neck ("embeddings") or before it ("features"), and
    "fused", their concatenation. With `flip` the mean of an image's vector and of its
    mirror image's. The network should be in evaluation mode.
    """
    views = [images, images.flip(-1)] if flip else [images]
    outputs = [network.embed(view[:, None], (stream,))[feature] for view in views]
    vectors = {
        name: unit_rows(
            torch.stack([unit_rows(output[name]) for output in outputs]).sum(0)
        )
        for name in outputs[0]
    }
    return {"fused": unit_rows(torch.cat(list(vectors.values()), -1))} | vectors


def unit_rows(x: Tensor) -> Tensor:
    """Rows divided by their Euclidean norm."""
    return functional.normalize(x, dim=-1)
