"""Hi-CMD's encoder of what identifies a person in the image's plane: the prototype."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models import disentangled as parts
from jreid.models.modules.generators import instance_norm
from jreid.models.modules.reflect_conv import ReflectConv, ReflectResidual

RATES = (3, 6, 9)  # dilations of the pyramid
SLOPE = 0.3  # of every leaky ReLU of Hi-CMD


class Aspp(nnx.Module):
    """Atrous spatial pyramid: a 1 x 1, and 1 x 1 then 3 x 3 of three dilations, fused.

    Half as many channels in each; an instance norm after every convolution, and a
    leaky ReLU between the two of a dilated branch alone.
    """

    def __init__(self, channels: int, features: int, *, dtype, rngs: nnx.Rngs):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        half = channels // 2
        self.plain = ReflectConv(channels, half, 1, **made)
        self.narrow = nnx.List([ReflectConv(channels, half, 1, **made) for _ in RATES])
        self.dilated = nnx.List(
            [ReflectConv(half, half, 3, dilation=rate, **made) for rate in RATES]
        )
        self.fuse = ReflectConv(4 * half, features, 1, **made)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c2"]:
        seen = [instance_norm(self.plain(x))]
        for narrow, dilated in zip(self.narrow, self.dilated, strict=True):
            y = nnx.leaky_relu(instance_norm(narrow(x)), SLOPE)
            seen.append(instance_norm(dilated(y)))
        return instance_norm(self.fuse(jnp.concatenate(seen, -1)))


class PrototypeEncoder(nnx.Module):
    """3 x 3 convolutions, two of them of stride 2, residual blocks and a pyramid."""

    def __init__(
        self, part: parts.PrototypeEncoder, features: int, *, dtype, rngs: nnx.Rngs
    ):
        """`features` is the prototype's number of channels."""
        c, made = part.channels, {"dtype": dtype, "rngs": rngs}
        layers = ((3, c, 2), (c, 2 * c, 1), (2 * c, 2 * c, 1), (2 * c, 4 * c, 2))
        self.convs = nnx.List(
            [ReflectConv(i, o, 3, stride=stride, **made) for i, o, stride in layers]
        )
        self.blocks = nnx.List(
            [ReflectResidual(4 * c, slope=SLOPE, **made) for _ in range(part.blocks)]
        )
        self.pyramid = Aspp(4 * c, features, **made)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h4 w4 c"]:
        for conv in self.convs:
            x = nnx.leaky_relu(instance_norm(conv(x)), SLOPE)
        for block in self.blocks:
            x = block(x, instance_norm)
        return self.pyramid(x)
