"""The modules of gates; see jreid/models/gates.py."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.extremes import largest
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.initialisers import torch_conv
from jreid.models.modules.layers import Conv


class ModalityAlleviation(nnx.Module):
    """m = sigmoid(second(relu(first(mean of x)))), 1 x 1 without biases.

    The instance norm (epsilon 1e-5, biased variance) has no weights. The convolutions
    start as the trunk's, among which MPANet's code initialises them.
    """

    def __init__(
        self, channels: int, hidden: int, *, dtype=jnp.float32, rngs: nnx.Rngs
    ):
        self.first = Conv(channels, hidden, 1, dtype=dtype, rngs=rngs)
        self.second = Conv(hidden, channels, 1, dtype=dtype, rngs=rngs)
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "r h w c"], modality=None, stage_input=None, rng=None
    ) -> Float[Array, "r h w c"]:
        """Of the arguments of a block it uses the maps alone."""
        maps = at_least_float32(x)
        mean = maps.mean((1, 2), keepdims=True)
        variance = jnp.square(maps - mean).mean((1, 2), keepdims=True)
        normalised = (maps - mean) * jax.lax.rsqrt(variance + 1e-5)
        gate = nnx.sigmoid(self.second(nnx.relu(self.first(mean))))
        return (maps * gate + normalised * (1 - gate)).astype(self.dtype)


def energy_gate(
    x: Float[Array, "r h w c"], modality=None, stage_input=None, rng=None
) -> Float[Array, "r h w c"]:
    """A place counts the more, the farther it is from the channel's mean."""
    maps = at_least_float32(x)
    squared = jnp.square(maps - maps.mean((1, 2), keepdims=True))
    count = max(x.shape[1] * x.shape[2] - 1, 1)  # a map of one place has no variance
    variance = squared.sum((1, 2), keepdims=True) / count
    gate = nnx.sigmoid(squared / (4 * (variance + 1e-4)) + 0.5)
    return (maps * gate).astype(x.dtype)


class ConvolutionalAttention(nnx.Module):
    """The channel gate acts first; the spatial gate sees its result.

    Channel: sigmoid of the sum of one perceptron (without biases) of the maximum and of
    the mean; spatial: sigmoid of a convolution of the channels' maximum and mean.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernel: int,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        conv = partial(torch_conv, dtype=dtype, rngs=rngs)
        self.first = conv(channels, hidden, use_bias=False)
        self.second = conv(hidden, channels, use_bias=False)
        self.spatial = conv(2, 1, kernel=kernel)

    def __call__(
        self, x: Float[Array, "r h w c"], modality=None, stage_input=None, rng=None
    ) -> Float[Array, "r h w c"]:
        """Of the arguments of a block it uses the maps alone."""
        highest = largest(largest(x, 1), 1)[:, None, None]
        means = (highest, x.mean((1, 2), keepdims=True))
        y = x * nnx.sigmoid(sum(self.second(nnx.relu(self.first(m))) for m in means))
        seen = jnp.concatenate(
            [largest(y, -1)[..., None], y.mean(-1, keepdims=True)], axis=-1
        )
        return y * nnx.sigmoid(self.spatial(seen)) + x
