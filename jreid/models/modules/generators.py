"""Generators and discriminators of images; see jreid/models/aligned.py."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models import aligned as parts
from jreid.models.modules.channels import at_least_float32, wide
from jreid.models.modules.layers import Conv

small = nnx.initializers.normal(0.02)
SLOPE = 0.2  # of a discriminator's leaky ReLU


def instance_norm(
    x: Float[Array, "b h w c"], epsilon: float = 1e-5
) -> Float[Array, "b h w c"]:
    """Each channel of each image at mean 0, variance 1 over its pixels."""
    y = at_least_float32(x)
    mean = jnp.mean(y, (1, 2), keepdims=True)
    variance = jnp.mean((y - mean) ** 2, (1, 2), keepdims=True)
    return ((y - mean) * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)


class InstanceNorm(nnx.Module):
    """Instance normalisation with a scale and a bias of each channel."""

    def __init__(self, features: int):
        self.scale = nnx.Param(jnp.ones((features,)))
        self.bias = nnx.Param(jnp.zeros((features,)))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = instance_norm(x)
        scale, bias = (p[...].astype(y.dtype) for p in (self.scale, self.bias))
        return y * wide(scale, y) + wide(bias, y)


class TransposedConv(nnx.Module):
    """4 x 4 transposed convolution of stride 2 without bias: twice as high and wide.

    The gradient of the 4 x 4 convolution of stride 2 padded by 1, as in PyTorch; the
    kernel is that of the convolution whose gradient it is, turned by 180 degrees.
    """

    def __init__(self, channels: int, features: int, *, dtype, rngs: nnx.Rngs):
        shape = (4, 4, channels, features)
        self.kernel = nnx.Param(small(rngs.params(), shape, jnp.float32))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        return jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            (1, 1),
            ((2, 2), (2, 2)),
            lhs_dilation=(2, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class Residual(nnx.Module):
    """x and two 3 x 3 convolutions of it, each with an instance norm."""

    def __init__(self, channels: int, *, dtype, rngs: nnx.Rngs):
        made: dict[str, Any] = {"kernel_init": small, "dtype": dtype, "rngs": rngs}
        self.conv1 = Conv(channels, channels, 3, **made)
        self.norm1 = InstanceNorm(channels)
        self.conv2 = Conv(channels, channels, 3, **made)
        self.norm2 = InstanceNorm(channels)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = nnx.relu(self.norm1(self.conv1(x)))
        return x + self.norm2(self.conv2(y))


class Generator(nnx.Module):
    """7 x 7, two 4 x 4 of stride 2, residual blocks, two transposed, 7 x 7, tanh."""

    def __init__(self, part: parts.Generator, *, dtype, rngs: nnx.Rngs):
        width = part.channels
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        init: dict[str, Any] = {"kernel_init": small} | made
        convs = [Conv(3, width, 7, **init)]
        convs += [Conv(n * width, 2 * n * width, 4, stride=2, **init) for n in (1, 2)]
        self.convs = nnx.List(convs)
        self.blocks = nnx.List(
            [Residual(4 * width, **made) for _ in range(part.blocks)]
        )
        self.up = nnx.List(
            [TransposedConv(2 * n * width, n * width, **made) for n in (2, 1)]
        )
        self.norms = nnx.List([InstanceNorm(n * width) for n in (1, 2, 4, 2, 1)])
        self.out = Conv(width, 3, 7, **init)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """Raises ValueError where the image would come out in another size."""
        if x.shape[1] % 4 or x.shape[2] % 4:
            raise ValueError(
                f"size is {x.shape[1:3]}; allowed are multiples of 4, as a generator "
                "halves it twice"
            )
        norms = list(self.norms)
        for conv, norm in zip(self.convs, norms[:3], strict=True):
            x = nnx.relu(norm(conv(x)))
        for block in self.blocks:
            x = block(x)
        for conv, norm in zip(self.up, norms[3:], strict=True):
            x = nnx.relu(norm(conv(x)))
        return jnp.tanh(at_least_float32(self.out(x)))


class PatchDiscriminator(nnx.Module):
    """4 x 4 convolutions of stride 2 and a 3 x 3 to one channel.

    With `channels` an encoder's map of so many joins the image's before the last two:
    through a 1 x 1 convolution and a leaky ReLU, then in the size of the image's map,
    not antialiased where it shrinks, as PyTorch's `interpolate`.
    """

    def __init__(
        self,
        part: parts.PatchDiscriminator,
        channels: int = 0,
        *,
        dtype,
        rngs: nnx.Rngs,
    ):
        made: dict[str, Any] = {"kernel_init": small, "dtype": dtype, "rngs": rngs}
        widths = [part.channels * 2**level for level in range(part.levels + 1)]
        more = part.joined if channels else 0
        self.joins = part.levels - 1
        into = [3, *widths[:-1]]
        into[self.joins] += more
        self.convs = nnx.List(
            [
                Conv(i, o, 4, stride=2, use_bias=True, **made)
                for i, o in zip(into, widths, strict=True)
            ]
        )
        self.join = Conv(channels, more, 1, use_bias=True, **made) if more else None
        self.out = Conv(widths[-1], 1, 3, **made)

    def __call__(
        self, x: Float[Array, "b h w 3"], maps: Float[Array, "b _ _ c"] | None = None
    ) -> Float[Array, "b h2 w2 1"]:
        for level, conv in enumerate(self.convs):
            if level == self.joins and self.join is not None and maps is not None:
                joined = nnx.leaky_relu(self.join(maps), SLOPE)
                shape = (*x.shape[:3], joined.shape[-1])
                joined = jax.image.resize(joined, shape, "linear", antialias=False)
                x = jnp.concatenate([x, joined], -1)
            x = conv(x)
            x = nnx.leaky_relu(instance_norm(x) if level else x, SLOPE)
        return at_least_float32(self.out(x))
