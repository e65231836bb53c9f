"""Hi-CMD's decoder: an image of a prototype and of codes that scale and shift it."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models import disentangled as parts
from jreid.models.modules.adain import AdainResidual
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.image_layer_norm import ImageLayerNorm
from jreid.models.modules.initialisers import kaiming_fan_in
from jreid.models.modules.layers import Linear
from jreid.models.modules.prototype_encoder import SLOPE
from jreid.models.modules.reflect_conv import ReflectConv


class Perceptron(nnx.Module):
    """Three linear maps with a leaky ReLU after the first two."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, rngs: nnx.Rngs):
        widths = ((inputs, hidden), (hidden, hidden), (hidden, outputs))
        self.linears = nnx.List(
            [Linear(i, o, kernel_init=kaiming_fan_in, rngs=rngs) for i, o in widths]
        )

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b d2"]:
        first, second, last = self.linears
        x = nnx.leaky_relu(first(x), SLOPE)
        return last(nnx.leaky_relu(second(x), SLOPE))


class StyleDecoder(nnx.Module):
    """AdaIN residual blocks, one for each group of codes, then up to four times."""

    def __init__(
        self,
        part: parts.StyleDecoder,
        channels: int,
        group: int,
        *,
        dtype,
        rngs: nnx.Rngs,
    ):
        """Of a prototype with `channels` and codes in GROUPS groups of `group`."""
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        widths = (group, part.hidden, 2 * channels)
        count = range(parts.GROUPS)
        self.blocks = nnx.List(
            [AdainResidual(channels, slope=SLOPE, **made) for _ in count]
        )
        self.scales = nnx.List([Perceptron(*widths, rngs=rngs) for _ in count])
        self.shifts = nnx.List([Perceptron(*widths, rngs=rngs) for _ in count])
        halves = (channels, channels // 2, channels // 4)
        self.up = nnx.List(
            [
                ReflectConv(i, o, 5, **made)
                for i, o in zip(halves[:-1], halves[1:], strict=True)
            ]
        )
        self.norms = nnx.List([ImageLayerNorm(n, rngs=rngs) for n in halves[1:]])
        self.convs = nnx.List(
            [ReflectConv(halves[-1], halves[-1], 3, **made) for _ in range(2)]
        )
        self.out = ReflectConv(halves[-1], 3, 1, **made)

    def __call__(
        self, x: Float[Array, "b h w c"], codes: Float[Array, "b 4 g"]
    ) -> Float[Array, "b h4 w4 3"]:
        """A normalised image, whose values have no bound."""
        for number, block in enumerate(self.blocks):
            code = codes[:, number]
            x = block(x, self.scales[number](code), self.shifts[number](code))
        for conv, norm in zip(self.up, self.norms, strict=True):
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            x = nnx.leaky_relu(norm(conv(x)), SLOPE)
        for conv in self.convs:
            x = nnx.leaky_relu(conv(x), SLOPE)
        return at_least_float32(self.out(x))
