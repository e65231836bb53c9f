"""Stem and trunk in plain PyTorch: a ResNet's four stages, non-local blocks.

The counterpart of jreid/models/resnet.py, class by class and name by name.
"""

from collections.abc import Sequence

from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

BLOCK_COUNTS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}


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
