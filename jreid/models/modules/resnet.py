"""ResNet stems and trunks, named and padded as torchvision's (He et al., CVPR 2016)."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.kernels import max_pool
from jreid.models.layers import BatchNorm, Conv, conv_norm


class BasicBlock(nnx.Module):
    """Two 3 x 3 convolutions and a shortcut (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, in_channels, channels, *, stride, dtype, rngs):
        norm = {"dtype": dtype, "rngs": rngs}
        self.conv1 = Conv(in_channels, channels, 3, stride=stride, **norm)
        self.bn1 = BatchNorm(channels, **norm)
        self.conv2 = Conv(channels, channels, 3, **norm)
        self.bn2 = BatchNorm(channels, **norm)
        self.downsample = _downsample(in_channels, channels, stride, norm)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        y = nnx.relu(conv_norm(self.conv1, self.bn1, x))
        y = conv_norm(self.conv2, self.bn2, y)
        return nnx.relu(y + _shortcut(self.downsample, x))


class Bottleneck(nnx.Module):
    """1 x 1, 3 x 3, 1 x 1 with the stride in the 3 x 3 (ResNet-50 and deeper)."""

    expansion = 4

    def __init__(self, in_channels, channels, *, stride, dtype, rngs):
        norm = {"dtype": dtype, "rngs": rngs}
        out_channels = channels * self.expansion
        self.conv1 = Conv(in_channels, channels, 1, **norm)
        self.bn1 = BatchNorm(channels, **norm)
        self.conv2 = Conv(channels, channels, 3, stride=stride, **norm)
        self.bn2 = BatchNorm(channels, **norm)
        self.conv3 = Conv(channels, out_channels, 1, **norm)
        self.bn3 = BatchNorm(out_channels, **norm)
        self.downsample = _downsample(in_channels, out_channels, stride, norm)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        y = nnx.relu(conv_norm(self.conv1, self.bn1, x))
        y = nnx.relu(conv_norm(self.conv2, self.bn2, y))
        y = conv_norm(self.conv3, self.bn3, y)
        return nnx.relu(y + _shortcut(self.downsample, x))


def _downsample(in_channels, out_channels, stride, norm):
    if stride == 1 and in_channels == out_channels:
        return None
    conv = Conv(in_channels, out_channels, 1, stride=stride, **norm)
    return nnx.Sequential(conv, BatchNorm(out_channels, **norm))


def _shortcut(downsample, x):
    if downsample is None:
        return x
    conv, norm = downsample.layers
    return conv_norm(conv, norm, x)


BLOCKS = {  # depth -> block, number of blocks in each of the four stages
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


def stage_channels(depth: int, width: float = 1.0) -> tuple[int, int, int, int]:
    """Output channels of the four stages, e.g. (256, 512, 1024, 2048) for depth 50.

    Raises ValueError for a depth not in BLOCKS or a width that leaves no channel.
    """
    if depth not in BLOCKS:
        raise ValueError(f"depth is {depth}; allowed are {sorted(BLOCKS)}")
    base = round(64 * width)
    if base < 1:
        raise ValueError(f"width is {width}; it must leave a channel of 64 * width")
    expansion = BLOCKS[depth][0].expansion
    one, two, three, four = (base * 2**stage * expansion for stage in range(4))
    return one, two, three, four


class Stem(nnx.Module):
    """conv1 7 x 7 / 2, bn1, relu, maxpool 3 x 3 / 2: what each modality owns."""

    def __init__(self, *, width: float = 1.0, dtype=jnp.float32, rngs: nnx.Rngs):
        channels = round(64 * width)
        self.conv1 = Conv(3, channels, 7, stride=2, dtype=dtype, rngs=rngs)
        self.bn1 = BatchNorm(channels, dtype=dtype, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 c"]:
        return max_pool(nnx.relu(conv_norm(self.conv1, self.bn1, images)))


def _apply(block, x):
    return block(x)


class Trunk(nnx.Module):
    """The four residual stages, shared by the modalities.

    `after` maps (stage 1..4, 0-based block) to a constructor `(channels) -> module`
    whose module is applied to that block's output. `last_stride` 1 keeps the last stage
    at the resolution of the third. With `rematerialise` the backward pass computes a
    block anew from its input instead of keeping what is inside: less memory, more time.
    """

    def __init__(
        self,
        depth: int,
        *,
        width: float = 1.0,
        last_stride: int = 1,
        after: Mapping[tuple[int, int], Callable[[int], nnx.Module]] | None = None,
        rematerialise: bool = False,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        outputs = stage_channels(depth, width)
        self.rematerialise = rematerialise
        block, counts = BLOCKS[depth]
        self.after = nnx.Dict({})
        in_channels = round(64 * width)
        for stage, (count, out_channels) in enumerate(
            zip(counts, outputs, strict=True), start=1
        ):
            blocks = nnx.List([])
            for index in range(count):
                stride = {1: 1, 4: last_stride}.get(stage, 2) if index == 0 else 1
                channels = out_channels // block.expansion
                blocks.append(
                    block(in_channels, channels, stride=stride, dtype=dtype, rngs=rngs)
                )
                in_channels = out_channels
            setattr(self, f"layer{stage}", blocks)
        for (stage, index), make_module in (after or {}).items():
            if not (1 <= stage <= 4 and 0 <= index < counts[stage - 1]):
                raise ValueError(
                    f"no block {index} in stage {stage} of a ResNet-{depth}, whose "
                    f"stages hold {counts} blocks, counted from 0"
                )
            self.after[f"layer{stage}_{index}"] = make_module(outputs[stage - 1])

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        apply = nnx.remat(_apply) if self.rematerialise else _apply
        for stage in range(1, 5):
            for index, block in enumerate(getattr(self, f"layer{stage}")):
                x = apply(block, x)
                name = f"layer{stage}_{index}"
                if name in self.after:
                    x = self.after[name](x)
        return x
