"""Initial values of layers as PyTorch and released networks draw them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from jreid.models.modules.layers import Conv, Initializer

# torch.nn.init.kaiming_normal_ with its defaults
kaiming_fan_in = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


def around_one(std: float) -> Callable[..., jax.Array]:
    """Scales of a BatchNorm: ~ N(1, std), exactly 1 where that is 0."""

    def init(key, shape, dtype):
        return 1 + std * jax.random.normal(key, shape, dtype)

    return init


def torch_uniform(fan_in: int) -> Callable[..., jax.Array]:
    """Weights and bias of a linear map or convolution: within 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5

    def init(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def classifier_weights(init: str, features: int) -> Initializer:
    """Of a linear map to identities, by its part's `init`: normal or uniform."""
    if init == "uniform":
        return torch_uniform(features)
    return nnx.initializers.normal(0.001)


def torch_conv(
    channels: int,
    features: int,
    kernel: int = 1,
    *,
    use_bias: bool = True,
    kernel_init: Initializer | None = None,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> Conv:
    """A convolution that begins as PyTorch's does, its bias too.

    With `kernel_init` the bias alone does, as where a released network draws anew the
    weights of its convolutions and leaves their biases.
    """
    init = torch_uniform(channels * kernel**2)
    return Conv(
        channels,
        features,
        kernel,
        use_bias=use_bias,
        kernel_init=kernel_init or init,
        bias_init=init if use_bias else None,
        dtype=dtype,
        rngs=rngs,
    )
