"""The two-stream network in plain PyTorch: stems, trunk, branches and bottleneck.

The counterpart of jreid/models, class by class and name by name. Channels come first
(NCHW), in either memory format: `network.to(memory_format=torch.channels_last)` stays
so from the images to the pooling. Needs nothing but torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

# Of images in [0, 1]: ImageNet's channel means and standard deviations.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
STREAMS = ("visible", "infrared")
BLOCK_COUNTS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}


@dataclass(frozen=True)
class Branch:
    """One branch of the head: u = pool(x) + the embedding of `adds`, v = BN(u)."""

    name: str = "v1"
    pooling: str = "gem"  # or "gem_agw", AGW's form; or "average" or "max"
    p: float = 3.0
    learn_p: bool = True
    adds: str = ""


DIAM = (Branch("v1"), Branch("v2", adds="v1"))  # paper eq. 4 and 5
NON_LOCAL_AFTER = ((2, 2), (2, 3), (3, 3), (3, 4), (3, 5))  # stage, block from 0


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def convolution(
    in_channels: int, out_channels: int, size: int, stride: int = 1
) -> nn.Conv2d:
    """Without bias, padded by (size - 1) / 2."""
    padding = (size - 1) // 2
    conv = nn.Conv2d(in_channels, out_channels, size, stride, padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    return conv


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = convolution(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = convolution(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c2 h2 w2]."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (self.downsample(x) if self.downsample else x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 with the stride in the 3 x 3 (ResNet-50 and deeper)."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = convolution(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = convolution(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = convolution(channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c2 h2 w2]."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (self.downsample(x) if self.downsample else x))


def _shortcut(in_channels, out_channels, stride):
    if stride == 1 and in_channels == out_channels:
        return None
    conv = convolution(in_channels, out_channels, 1, stride)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class NonLocal(nn.Module):
    """`Z = BN(W (theta phi^T g / n)) + X` over the n positions of a map (eq. 1).

    `inner_channels` 0 takes half the channels; 1 is AGW's, see jreid's docstring.
    """

    def __init__(self, channels: int, inner_channels: int = 1):
        super().__init__()
        inner = inner_channels or channels // 2
        self.theta = _pointwise(channels, inner)
        self.phi = _pointwise(channels, inner)
        self.g = _pointwise(channels, inner)
        self.out = _pointwise(inner, channels)
        self.bn = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to the same; the n x n matrix is never built."""
        b, _, h, w = x.shape
        theta, phi, g = (
            conv(x).flatten(2).transpose(1, 2)  # [b n i]
            for conv in (self.theta, self.phi, self.g)
        )
        gathered = phi.transpose(1, 2) @ g / (h * w)
        y = (theta @ gathered).transpose(1, 2).reshape(b, -1, h, w)
        return self.bn(self.out(y)) + x


def _pointwise(in_channels, out_channels):
    conv = nn.Conv2d(in_channels, out_channels, 1)
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.constant_(conv.get_parameter("bias"), 0.0)
    return conv


class Stem(nn.Module):
    """conv1 7 x 7 / 2, bn1, relu, maxpool 3 x 3 / 2: what each modality owns."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = convolution(3, channels, 7, 2)
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, images: Tensor) -> Tensor:
        """[b 3 h w] to [b c h/4 w/4]."""
        y = functional.relu(self.bn1(self.conv1(images)))
        return functional.max_pool2d(y, 3, stride=2, padding=1)


class Trunk(nn.Module):
    """The four residual stages, shared by the modalities, with non-local blocks."""

    def __init__(
        self,
        depth: int,
        *,
        base: int,
        last_stride: int = 1,
        non_local_after: Sequence[tuple[int, int]] = (),
        non_local_channels: int = 1,
    ):
        super().__init__()
        if depth not in BLOCK_COUNTS:
            raise ValueError(f"depth is {depth}; allowed are {sorted(BLOCK_COUNTS)}")
        block = BasicBlock if depth < 50 else Bottleneck
        self.after = nn.ModuleDict()
        in_channels = base
        for stage, count in enumerate(BLOCK_COUNTS[depth], start=1):
            channels = base * 2 ** (stage - 1)
            first_stride = {1: 1, 4: last_stride}.get(stage, 2)
            blocks = nn.ModuleList()
            for index in range(count):
                blocks.append(
                    block(in_channels, channels, 1 if index else first_stride)
                )
                in_channels = channels * block.expansion
                if (stage, index) in non_local_after:
                    non_local = NonLocal(in_channels, non_local_channels)
                    self.after[f"layer{stage}_{index}"] = non_local
            setattr(self, f"layer{stage}", blocks)
        if len(self.after) < len(set(non_local_after)):
            raise ValueError(
                f"non_local_after is {tuple(non_local_after)}; the stages 1 to 4 of a "
                f"ResNet-{depth} hold {BLOCK_COUNTS[depth]} blocks, counted from 0"
            )
        self.channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b channels h/4 w/4], at last_stride 1."""
        for stage in range(1, 5):
            for index, block in enumerate(getattr(self, f"layer{stage}")):
                x = block(x)
                name = f"layer{stage}_{index}"
                if name in self.after:
                    x = self.after[name](x)
        return x


class GeM(nn.Module):
    """Generalised mean `(mean(x^p))^(1/p)` per channel (eq. 2), at least float32.

    A learned p counts as max(p, 1), and gets its gradient as if it were not bounded.
    AGW's form, for maps without negative values, is `(mean(x^p) + 1e-12)^(1/p)`.
    """

    def __init__(
        self,
        p: float = 3.0,
        *,
        learnable: bool = True,
        agw: bool = False,
        epsilon: float = 1e-6,
    ):
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p))) if learnable else float(p)
        self.agw = agw
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c]."""
        p = self.p
        if not isinstance(p, int | float):  # learnt
            p = p + (p.clamp(min=1.0) - p).detach()
        if self.agw:
            positive = x > 0  # 0^p log 0, the slope in p, would be NaN
            powers = torch.where(positive, at_least_float32(x), 1) ** p
            means = torch.where(positive, powers, 0).mean((2, 3))
            return (means + 1e-12) ** (1 / p)
        logs = at_least_float32(x).clamp(min=self.epsilon).log()
        means = torch.logsumexp(p * logs, (2, 3)) - math.log(x.shape[2] * x.shape[3])
        return torch.exp(means / p)


class AveragePool(nn.Module):
    """Mean over the positions, at least float32."""

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c]."""
        return at_least_float32(x).mean((2, 3))


class MaximumPool(nn.Module):
    """Maximum over the positions, at least float32; equal ones share the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c]."""
        return at_least_float32(x).amax((2, 3))


def make_pool(branch: Branch) -> nn.Module:
    """The pooling of a branch."""
    if branch.pooling.startswith("gem"):
        agw = branch.pooling == "gem_agw"
        return GeM(branch.p, learnable=branch.learn_p, agw=agw)
    return {"average": AveragePool, "max": MaximumPool}[branch.pooling]()


class BranchHead(nn.Module):
    """Pooling, neck (bias frozen at 0) and classifier (without bias) of one branch."""

    def __init__(self, branch: Branch, channels: int, classes: int):
        super().__init__()
        self.pool = make_pool(branch)
        self.neck = nn.BatchNorm1d(channels)
        nn.init.normal_(self.neck.weight, mean=1.0, std=0.01)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(channels, classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)


class InformationBottleneck(nn.Module):
    """Linear-BN-ReLU per hidden width, perhaps a Linear, an identity head (VRD, eq. 8).

    With features 0 there is no further Linear: z is the last hidden layer.
    """

    def __init__(
        self, in_features: int, classes: int, hidden: Sequence[int], features: int
    ):
        super().__init__()
        widths = (in_features, *hidden)
        pairs = zip(widths, widths[1:], strict=False)
        self.linears = nn.ModuleList(_linear(*pair) for pair in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in hidden)
        self.out = _linear(widths[-1], features) if features else nn.Identity()
        self.classifier = nn.Linear(features or widths[-1], classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """v [b d] to z [b z] and its logits [b classes]."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            v = functional.relu(norm(linear(v)))
        z = at_least_float32(self.out(v))
        with full_precision(z):
            return z, self.classifier(z)


def _linear(in_features, out_features):
    linear = nn.Linear(in_features, out_features)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out")
    nn.init.zeros_(linear.bias)
    return linear


def full_precision(x: Tensor) -> torch.autocast:
    """A block in which autocast does not lower the precision."""
    return torch.autocast(x.device.type, enabled=False)


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
