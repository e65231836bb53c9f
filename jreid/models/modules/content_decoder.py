"""An image of a content's map and a style's vector (AdaIN; MUNIT, JSIA-ReID)."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models import content_style as parts
from jreid.models.modules.adain import adain
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.image_layer_norm import ImageLayerNorm
from jreid.models.modules.initialisers import torch_uniform
from jreid.models.modules.layers import Linear
from jreid.models.modules.reflect_conv import torch_reflect_conv


class StyleDecoder(nnx.Module):
    """Residual blocks with AdaIN, twice as high and wide, 5 x 5, 7 x 7, tanh."""

    def __init__(self, part: parts.Decoder, channels: int, style: int, *, dtype, rngs):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.blocks = nnx.List(
            [
                torch_reflect_conv(channels, channels, 3, **made)
                for _ in range(2 * part.blocks)
            ]
        )
        self.up = torch_reflect_conv(channels, channels // 2, 5, **made)
        self.norm = ImageLayerNorm(channels // 2, rngs=rngs)
        self.out = torch_reflect_conv(channels // 2, 3, 7, **made)
        widths = (style, part.hidden, part.hidden, 4 * channels * part.blocks)
        self.perceptron = nnx.List(
            [
                Linear(i, o, kernel_init=torch_uniform(i), rngs=rngs)
                for i, o in zip(widths, widths[1:], strict=False)
            ]
        )

    def __call__(
        self, content: Float[Array, "b h w c"], style: Float[Array, "b d"]
    ) -> Float[Array, "b h2 w2 3"]:
        x, numbers = content, iter(self._numbers(style))
        for conv1, conv2 in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            y = nnx.relu(_restyled(conv1(x), numbers))
            x = x + _restyled(conv2(y), numbers)
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = nnx.relu(self.norm(self.up(x)))
        return jnp.tanh(at_least_float32(self.out(x)))

    def _numbers(self, style):
        """A shift and a scale of each convolution of the blocks, in turn."""
        *hidden, last = self.perceptron
        for layer in hidden:
            style = nnx.relu(layer(style))
        return jnp.split(last(style), 2 * len(self.blocks), axis=1)


def _restyled(x, numbers):
    shift, scale = next(numbers), next(numbers)
    return adain(x, scale, shift)
