"""An image of a content's map and a style's vector (AdaIN; MUNIT, JSIA-ReID)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models import content_style as parts
from jreid.models.modules.channels import at_least_float32, wide
from jreid.models.modules.generators import instance_norm
from jreid.models.modules.initialisers import torch_uniform
from jreid.models.modules.layers import Linear
from jreid.models.modules.reflected import ReflectedConv


def restyled(
    x: Float[Array, "b h w c"], shift: Float[Array, "b c"], scale: Float[Array, "b c"]
) -> Float[Array, "b h w c"]:
    """Instance normalisation with each image's own scale and shift (AdaIN)."""
    y = instance_norm(x)
    scale, shift = (v[:, None, None].astype(y.dtype) for v in (scale, shift))
    return y * scale + shift


class ImageNorm(nnx.Module):
    """All values of an image by their mean and standard deviation, a scale and a bias.

    The variance is the unbiased one and epsilon is added to its root, as in MUNIT; a
    channel's scale begins uniform in [0, 1).
    """

    def __init__(self, features: int, *, epsilon: float = 1e-5, rngs: nnx.Rngs):
        scale = jax.random.uniform(rngs.params(), (features,), jnp.float32)
        self.scale = nnx.Param(scale)
        self.bias = nnx.Param(jnp.zeros((features,)))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = at_least_float32(x)
        axes = (1, 2, 3)
        y = y - jnp.mean(y, axes, keepdims=True)
        variance = jnp.sum(y**2, axes, keepdims=True) / (y[0].size - 1)
        # an image of one value has a standard deviation with a slope of its own
        safe = jnp.where(variance > 0, variance, 1)
        std = jnp.where(variance > 0, jnp.sqrt(safe), 0)
        y = (y / (std + self.epsilon)).astype(x.dtype)
        scale, bias = (p[...].astype(y.dtype) for p in (self.scale, self.bias))
        return y * wide(scale, y) + wide(bias, y)


class StyleDecoder(nnx.Module):
    """Residual blocks with AdaIN, twice as high and wide, 5 x 5, 7 x 7, tanh."""

    def __init__(self, part: parts.Decoder, channels: int, style: int, *, dtype, rngs):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.blocks = nnx.List(
            [
                ReflectedConv(channels, channels, 3, padding=1, **made)
                for _ in range(2 * part.blocks)
            ]
        )
        self.up = ReflectedConv(channels, channels // 2, 5, padding=2, **made)
        self.norm = ImageNorm(channels // 2, rngs=rngs)
        self.out = ReflectedConv(channels // 2, 3, 7, padding=3, **made)
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
            y = nnx.relu(restyled(conv1(x), next(numbers), next(numbers)))
            x = x + restyled(conv2(y), next(numbers), next(numbers))
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = nnx.relu(self.norm(self.up(x)))
        return jnp.tanh(at_least_float32(self.out(x)))

    def _numbers(self, style):
        """A shift and a scale of each convolution of the blocks, in turn."""
        *hidden, last = self.perceptron
        for layer in hidden:
            style = nnx.relu(layer(style))
        return jnp.split(last(style), 2 * len(self.blocks), axis=1)
