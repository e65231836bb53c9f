"""Adaptive instance normalisation: a vector scales and shifts an image's channels."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.generators import instance_norm
from jreid.models.modules.reflect_conv import ReflectConv


def adain(
    x: Float[Array, "b h w c"],
    scale: Float[Array, "b c"],
    shift: Float[Array, "b c"],
) -> Float[Array, "b h w c"]:
    """The instance-normalised x, times a scale and plus a shift of each image's own.

    Huang and Belongie, ICCV 2017, eq. 8; variances biased, 1e-5 added.
    """
    y = instance_norm(at_least_float32(x))
    return (y * scale[:, None, None] + shift[:, None, None]).astype(x.dtype)


class AdainResidual(nnx.Module):
    """x and two reflecting 3 x 3 convolutions of it, an AdaIN after each (MUNIT)."""

    def __init__(
        self,
        channels: int,
        *,
        slope: float,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """`slope` is that of the leaky ReLU between the convolutions; 0: ReLU."""
        self.conv1 = ReflectConv(channels, channels, 3, dtype=dtype, rngs=rngs)
        self.conv2 = ReflectConv(channels, channels, 3, dtype=dtype, rngs=rngs)
        self.slope = slope

    def __call__(
        self,
        x: Float[Array, "b h w c"],
        scale: Float[Array, "b 2*c"],
        shift: Float[Array, "b 2*c"],
    ) -> Float[Array, "b h w c"]:
        """The first half of `scale` and `shift` is that of the first convolution."""
        first, second = zip(
            jnp.split(scale, 2, axis=1), jnp.split(shift, 2, axis=1), strict=True
        )
        y = nnx.leaky_relu(adain(self.conv1(x), *first), self.slope)
        return x + adain(self.conv2(y), *second)
