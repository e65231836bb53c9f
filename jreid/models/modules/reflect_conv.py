"""Convolutions that pad an image by its own reflection, as PyTorch's "reflect"."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jreid.models.modules.channels import wide
from jreid.models.modules.initialisers import kaiming_fan_in, torch_uniform
from jreid.models.modules.layers import Initializer

Maps = Float[Array, "b h w c"]


class ReflectConv(nnx.Module):
    """2-D convolution with bias, padded by dilation (k - 1) / 2 on each side.

    A map smaller than its padding is reflected again and again, where PyTorch refuses
    it. It can be differentiated twice, as a gradient penalty needs.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        kernel_init: Initializer = kaiming_fan_in,
        bias_init: Initializer = nnx.initializers.zeros,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (kernel_size, kernel_size, channels, features)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(bias_init(rngs.params(), (features,), jnp.float32))
        self.stride = stride
        self.dilation = dilation
        self.padding = dilation * (kernel_size - 1) // 2
        self.dtype = dtype

    def __call__(self, x: Maps) -> Float[Array, "b h2 w2 c2"]:
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        if len(kernel) == 1:
            y = x[:, :: self.stride, :: self.stride] @ kernel[0, 0]
        else:
            edge = (self.padding, self.padding)
            y = jax.lax.conv_general_dilated(
                jnp.pad(x, ((0, 0), edge, edge, (0, 0)), mode="reflect"),
                kernel,
                (self.stride, self.stride),
                "VALID",
                rhs_dilation=(self.dilation, self.dilation),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        return y + wide(self.bias[...].astype(y.dtype), y)


class ReflectResidual(nnx.Module):
    """x and two 3 x 3 convolutions of it, with a leaky ReLU between them."""

    def __init__(
        self,
        channels: int,
        *,
        slope: float,
        kernel_init: Initializer = kaiming_fan_in,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.conv1, self.conv2 = (
            ReflectConv(
                channels, channels, 3, kernel_init=kernel_init, dtype=dtype, rngs=rngs
            )
            for _ in range(2)
        )
        self.slope = slope

    def __call__(self, x: Maps, norm: Callable[[Maps], Maps] | None = None) -> Maps:
        """With `norm`, if there is one, after each of the convolutions."""
        if norm is None:
            return x + self.conv2(nnx.leaky_relu(self.conv1(x), self.slope))
        return x + norm(self.conv2(nnx.leaky_relu(norm(self.conv1(x)), self.slope)))


def torch_reflect_conv(
    channels: int, features: int, kernel_size: int, **made: Any
) -> ReflectConv:
    """A reflecting convolution that begins as PyTorch's does, its bias too."""
    init = torch_uniform(channels * kernel_size**2)
    return ReflectConv(
        channels, features, kernel_size, kernel_init=init, bias_init=init, **made
    )
