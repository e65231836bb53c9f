"""ResNet stems and trunks, named and padded as torchvision's (He et al., CVPR 2016)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.models.modules.kernels import max_pool
from jreid.models.modules.layers import BatchNorm, Conv, conv_norm
from jreid.models.resnet import BLOCK_COUNTS, ResNet


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


class Stem(nnx.Module):
    """conv1 7 x 7 / 2, bn1, relu, maxpool 3 x 3 / 2: what each modality owns.

    With a trunk of first stages these are its own as well.
    """

    def __init__(
        self,
        channels: int = 64,
        *,
        inputs: int = 3,
        relu: bool = True,
        trunk: "Trunk | None" = None,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        """`inputs` is the number of an image's channels."""
        self.conv1 = Conv(inputs, channels, 7, stride=2, dtype=dtype, rngs=rngs)
        self.bn1 = BatchNorm(channels, dtype=dtype, rngs=rngs)
        self.relu = relu
        self.trunk = trunk

    def __call__(
        self,
        images: Float[Array, "b h w inputs"],
        modality: Int[Array, " b"] | None = None,
        rng: Array | None = None,
    ) -> Float[Array, "b h2 w2 c"]:
        """Maps; only a trunk of its own asks for the modality and the rng."""
        x = conv_norm(self.conv1, self.bn1, images)
        x = max_pool(nnx.relu(x) if self.relu else x)
        if self.trunk is None:
            return x
        if modality is None:
            modality = jnp.zeros(len(x), jnp.int32)
        rows = self.trunk(x, modality, rng)
        if rows.source is not None:
            raise ValueError(
                "a block that multiplies rows stands in a stage that stems have for "
                "themselves; allowed are the stages that they share"
            )
        return rows.maps


@dataclass
class Rows:
    """The maps on their way through the trunk, and where each row came from."""

    maps: Float[Array, "r h w c"]
    modality: Int[Array, " r"]
    stage_input: Float[Array, "r h2 w2 c2"]
    entered: Float[Array, "r h3 w3 c3"]  # the maps with which the trunk began
    source: Int[Array, " r"] | None = None  # of the rows given; None: all, in order
    copy: Int[Array, " r"] | None = None  # which of its source's copies, from 0

    def take(self, maps, source, copy) -> None:
        """Goes on with `maps`: row i is copy[i] of the present row source[i]."""
        source, copy = jnp.asarray(source, jnp.int32), jnp.asarray(copy, jnp.int32)
        copies = -(-len(source) // len(self.modality))  # of each present row, at most
        self.copy = copy if self.copy is None else self.copy[source] * copies + copy
        self.source = source if self.source is None else self.source[source]
        self.modality = self.modality[source]
        self.stage_input = self.stage_input[source]
        self.entered = self.entered[source]
        self.maps = maps


class Trunk(nnx.Module):
    """The residual stages that the modalities share, with other blocks in between.

    A block is called with `(maps, modality, stage_input, rng)` and returns maps, or
    `(maps, source, copy)` where it multiplies rows. `stage_input` is what the stage's
    first residual block gets. The modules of ResNet's "2.1" are before/layer2_1 and
    after/layer2_1, those of "2" before/layer2 and after/layer2.
    """

    def __init__(
        self,
        part: ResNet,
        first: tuple[int, int] = (1, 0),
        stop: tuple[int, int] | None = None,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        """The blocks from `first`, a stage and a block of it, to before `stop`."""
        part.check()
        counts = BLOCK_COUNTS[part.depth]
        places = [
            (stage, index)
            for stage in range(1, part.stages + 1)
            for index in range(counts[stage - 1])
            if first <= (stage, index) < (stop or (part.stages + 1, 0))
        ]
        self.rematerialise = part.rematerialise
        # of each stage the number of its first block here
        self.stages = tuple((s, i) for s, i in places if i == 0 or (s, i) == first)
        self.before, self.after = nnx.Dict({}), nnx.Dict({})
        block = Bottleneck if part.depth >= 50 else BasicBlock
        outputs = part.channels()
        into = (part.stem_channels(), *outputs)[first[0] - (first[1] == 0)]
        inputs: dict[tuple[int, int], int] = {}  # channels that each block gets
        for stage, _ in self.stages:
            blocks = nnx.List([])
            for index in [i for s, i in places if s == stage]:
                stride = {1: 1, 4: part.last_stride}.get(stage, 2) if index == 0 else 1
                channels = outputs[stage - 1] // block.expansion
                inputs[stage, index] = into
                blocks.append(
                    block(into, channels, stride=stride, dtype=dtype, rngs=rngs)
                )
                into = outputs[stage - 1]
            setattr(self, f"layer{stage}", blocks)
        for place, inner in part.after.items():
            stage, index = _stage_and_block(place)
            last = counts[stage - 1] - 1  # what stands after a stage is after it
            if (stage, index if "." in place else last) in inputs:
                made = inner.make(outputs[stage - 1], rngs, dtype)
                self.after[_module_name(place)] = made
        for place, inner in part.before.items():
            if _stage_and_block(place) in inputs:
                made = inner.make(inputs[_stage_and_block(place)], rngs, dtype)
                self.before[_module_name(place)] = made

    def __call__(
        self,
        x: Float[Array, "b h w c"],
        modality: Int[Array, " b"],
        rng: Array | None = None,
        copy: Int[Array, " b"] | None = None,
    ) -> Rows:
        """The last stage's maps, with rows multiplied as the blocks between do it.

        `copy` says of rows that were multiplied before which copy each is.
        """
        apply, insert = _apply, _apply_inserted
        if self.rematerialise:
            apply, insert = nnx.remat(apply), nnx.remat(insert)
        keys = _keys(rng, len(self.before) + len(self.after))
        rows = Rows(x, modality, x, x, copy=copy)
        for stage, begin in self.stages:
            name = f"layer{stage}"
            rows.stage_input = rows.maps
            _insert(self.before, name, rows, keys, insert)
            rows.stage_input = rows.maps
            for index, block in enumerate(getattr(self, name), begin):
                _insert(self.before, f"{name}_{index}", rows, keys, insert)
                rows.maps = apply(block, rows.maps)
                _insert(self.after, f"{name}_{index}", rows, keys, insert)
            _insert(self.after, name, rows, keys, insert)
        return rows


def _apply(block, x):
    return block(x)


def _apply_inserted(module, maps, modality, stage_input, rng):
    return module(maps, modality, stage_input=stage_input, rng=rng)


def _insert(modules: Mapping[str, Any], name: str, rows: Rows, keys, apply) -> None:
    if name not in modules:
        return
    out = apply(modules[name], rows.maps, rows.modality, rows.stage_input, next(keys))
    if isinstance(out, tuple):
        rows.take(*out)
    else:
        rows.maps = out


def _keys(rng, count):
    """Random numbers for each inserted block, of its own; or None."""
    return iter([None] * count if rng is None else jax.random.split(rng, count))


def _stage_and_block(place: str) -> tuple[int, int]:
    stage, _, block = place.partition(".")
    return int(stage), int(block or 0)


def _module_name(place: str) -> str:
    """ "2.1" is layer2_1, "2" is layer2."""
    return f"layer{place.replace('.', '_')}"
