"""Initial values of layers as PyTorch draws them by default."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jreid.models.modules.layers import Conv


def torch_uniform(fan_in: int) -> Callable[..., jax.Array]:
    """Weights and bias of a linear map or convolution: within 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5

    def init(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def torch_conv(
    channels: int,
    features: int,
    kernel: int = 1,
    *,
    use_bias: bool = True,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> Conv:
    """A convolution that begins as PyTorch's does, its bias too."""
    init = torch_uniform(channels * kernel**2)
    return Conv(
        channels,
        features,
        kernel,
        use_bias=use_bias,
        kernel_init=init,
        bias_init=init if use_bias else None,
        dtype=dtype,
        rngs=rngs,
    )
