"""Floating-point operations of the network, counted from its configuration.

2 for each multiply-add of convolutions and matrix products, padding included, whichever
way they are computed; element-wise work, pooling and losses are left out (less than 1 %
of a ResNet-50). So JAX and PyTorch are credited with the same number.
"""

from jreid.config import ModelConfig
from jreid.models.resnet import BLOCKS, Bottleneck, stage_channels


def forward_flops(model: ModelConfig, height: int, width: int, classes: int = 0) -> int:
    """Of one image: to its embedding, or with `classes` to all its logits too."""
    return stem_flops(model, height, width) + _after_stem(model, height, width, classes)


def train_flops(model: ModelConfig, height: int, width: int, classes: int) -> int:
    """Of one image forward and backward, which is twice the forward pass again.

    But for the stem's input, whose gradient nobody needs.
    """
    stem = stem_flops(model, height, width)
    return 2 * stem + 3 * _after_stem(model, height, width, classes)


def stem_flops(model: ModelConfig, height: int, width: int) -> int:
    """Of one image in the stem's 7 x 7 convolution."""
    h, w = half(height), half(width)
    return 2 * h * w * 7 * 7 * 3 * round(64 * model.width)


def half(size: int) -> int:
    """Of a map after a stride of 2, with (k - 1) / 2 pixels of padding."""
    return (size + 1) // 2


def _after_stem(model: ModelConfig, height: int, width: int, classes: int) -> int:
    h, w = half(half(height)), half(half(width))
    block, counts = BLOCKS[model.depth]
    before = round(64 * model.width)
    multiply_adds = 0
    outputs = stage_channels(model.depth, model.width)
    for stage, (count, after) in enumerate(zip(counts, outputs, strict=True), start=1):
        inner = after // block.expansion
        for index in range(count):
            large = h * w
            if index == 0 and {1: 1, 4: model.last_stride}.get(stage, 2) == 2:
                h, w = half(h), half(w)
            positions = h * w
            if block is Bottleneck:
                multiply_adds += large * before * inner
                multiply_adds += positions * (9 * inner * inner + inner * after)
            else:
                multiply_adds += positions * 9 * (before * inner + inner * after)
            if index == 0 and (before != after or positions != large):
                multiply_adds += positions * before * after
            before = after
            if f"{stage}.{index}" in model.non_local_after:
                multiply_adds += _non_local(model, positions, after)
    return 2 * (multiply_adds + _head(model, before, classes))


def _non_local(model: ModelConfig, positions: int, channels: int) -> int:
    inner = model.non_local_channels or channels // 2
    return positions * (4 * channels * inner + 2 * inner * inner)


def _head(model: ModelConfig, channels: int, classes: int) -> int:
    if not classes:
        return 0
    multiply_adds = len(model.branches) * channels * classes
    widths = (channels, *model.bottleneck_hidden, model.bottleneck_features, classes)
    pairs = zip(widths, widths[1:], strict=False)
    return multiply_adds + len(model.refined) * sum(a * b for a, b in pairs)
