"""A convolution whose image goes on mirrored at its edges, as MUNIT's do."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.channels import wide
from jreid.models.modules.initialisers import torch_uniform


class ReflectedConv(nnx.Module):
    """Reflected by `padding` pixels at each edge, then convolved, with a bias.

    Without `init` weights and bias begin as PyTorch's, with it the bias begins at 0.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int,
        init: Any = None,
        dtype,
        rngs: nnx.Rngs,
    ):
        shape = (kernel, kernel, channels, features)
        draw = init or torch_uniform(channels * kernel**2)
        self.kernel = nnx.Param(draw(rngs.params(), shape, jnp.float32))
        bias = jnp.zeros((features,))
        if init is None:
            bias = draw(rngs.params(), bias.shape, jnp.float32)
        self.bias = nnx.Param(bias)
        self.stride, self.padding, self.dtype = stride, padding, dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        edge = (self.padding, self.padding)
        y = jnp.pad(x, ((0, 0), edge, edge, (0, 0)), mode="reflect")
        y = jax.lax.conv_general_dilated(
            y.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            (self.stride, self.stride),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y + wide(self.bias[...].astype(y.dtype), y)
