"""Floating-point operations of the network, counted from its parts.

2 for each multiply-add of convolutions and matrix products, padding included, whichever
way they are computed; element-wise work, pooling and losses are left out (less than 1 %
of a ResNet-50). So JAX and PyTorch are credited with the same number.
"""

from typing import Any

from jreid.models.non_local import NonLocal
from jreid.models.resnet import BLOCK_COUNTS, ResNet
from jreid.models.two_stream import TwoStream


def forward_flops(network: Any, height: int, width: int, classes: int = 0) -> int:
    """Of one image: to its embedding, or with `classes` to all its logits too.

    Raises ValueError for a network of parts whose operations are not counted.
    """
    network = _counted(network)
    stem = stem_flops(network, height, width)
    return stem + _after_stem(network, height, width, classes)


def train_flops(network: Any, height: int, width: int, classes: int) -> int:
    """Of one image forward and backward, which is twice the forward pass again.

    But for the stem's input, whose gradient nobody needs. Raises as `forward_flops`.
    """
    network = _counted(network)
    stem = stem_flops(network, height, width)
    return 2 * stem + 3 * _after_stem(network, height, width, classes)


def stem_flops(network: TwoStream, height: int, width: int) -> int:
    """Of one image in the stem's 7 x 7 convolution."""
    h, w = half(height), half(width)
    return 2 * h * w * 7 * 7 * 3 * network.trunk.stem_channels()


def half(size: int) -> int:
    """Of a map after a stride of 2, with (k - 1) / 2 pixels of padding."""
    return (size + 1) // 2


def _counted(network: Any) -> TwoStream:
    if not isinstance(network, TwoStream):
        raise ValueError(f"config.network is {network!r}, {_UNKNOWN}")
    for name in ("before", "after"):
        for place, block in getattr(network.trunk, name).items():
            if not isinstance(block, NonLocal):
                raise ValueError(
                    f"config.network.trunk.{name}.{place} is {block!r}, {_UNKNOWN}"
                )
    return network


_UNKNOWN = "whose operations are not counted here: see tools/throughput/flops.py"


def _after_stem(network: TwoStream, height: int, width: int, classes: int) -> int:
    trunk = network.trunk
    h, w = half(half(height)), half(half(width))
    counts = BLOCK_COUNTS[trunk.depth]
    before = trunk.stem_channels()
    multiply_adds = 0
    for stage, after in enumerate(trunk.channels(), start=1):
        multiply_adds += _non_locals(trunk.before, f"{stage}", h * w, before)
        for index in range(counts[stage - 1]):
            multiply_adds += _non_locals(
                trunk.before, f"{stage}.{index}", h * w, before
            )
            large = h * w
            if index == 0 and {1: 1, 4: trunk.last_stride}.get(stage, 2) == 2:
                h, w = half(h), half(w)
            multiply_adds += _block(trunk, large, h * w, before, after)
            before = after
            multiply_adds += _non_locals(trunk.after, f"{stage}.{index}", h * w, after)
        multiply_adds += _non_locals(trunk.after, f"{stage}", h * w, after)
    return 2 * (multiply_adds + _head(network, before, classes))


def _block(trunk: ResNet, large: int, positions: int, before: int, after: int) -> int:
    """Of a residual block from `large` positions to `positions`."""
    if trunk.depth >= 50:  # 1 x 1, 3 x 3 to a quarter of the channels, 1 x 1
        inner = after // 4
        total = large * before * inner
        total += positions * (9 * inner * inner + inner * after)
    else:
        total = positions * 9 * (before * after + after * after)
    if before != after or positions != large:
        total += positions * before * after  # the shortcut
    return total


def _non_locals(blocks: dict[str, Any], place: str, positions: int, channels: int):
    if place not in blocks:
        return 0
    inner = blocks[place].inner_channels or channels // 2
    return positions * (4 * channels * inner + 2 * inner * inner)


def _head(network: TwoStream, channels: int, classes: int) -> int:
    widths = {branch.name: branch.width(channels) for branch in network.branches}
    projected = [b for b in network.branches if b.project is not None]
    multiply_adds = sum(channels * widths[branch.name] for branch in projected)
    if not classes:
        return multiply_adds
    multiply_adds += sum(width * classes for width in widths.values())
    if (refine := network.refine) is not None:
        for name in refine.of:
            features = (refine.features,) if refine.features else ()
            steps = (widths[name], *refine.hidden, *features, classes)
            pairs = zip(steps, steps[1:], strict=False)
            multiply_adds += sum(a * b for a, b in pairs)
    return multiply_adds
