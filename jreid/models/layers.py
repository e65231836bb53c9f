"""Convolution, linear map and BatchNorm with PyTorch's semantics, in NHWC.

Parameters, running statistics and the statistics' arithmetic are float32; `dtype` is
the type of the activations (float32 or bfloat16).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

Initializer = Callable[..., Array]

# torchvision's ResNet: kaiming_normal_(mode="fan_out", nonlinearity="relu")
kaiming_normal = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class Conv(nnx.Module):
    """2-D convolution with PyTorch's symmetric padding (k - 1) / 2.

    'SAME' would pad (0, 1) where PyTorch pads (1, 1) at stride 2, hence the explicit
    padding. A 1 x 1 kernel is a matrix product: XLA's CPU backend runs the weight
    gradient of the convolution form several times slower.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        use_bias: bool = False,
        kernel_init: Initializer = kaiming_normal,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if use_bias else None
        self.kernel_size = kernel_size
        self.stride = stride
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        if self.kernel_size == 1:
            y = x[:, :: self.stride, :: self.stride] @ kernel[0, 0]
        else:
            padding = (self.kernel_size - 1) // 2
            y = jax.lax.conv_general_dilated(
                x,
                kernel,
                (self.stride, self.stride),
                ((padding, padding), (padding, padding)),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        if self.bias is not None:
            y = y + self.bias[...].astype(self.dtype)[None, None, None]
        return y


class Linear(nnx.Module):
    """`x @ kernel (+ bias)`; `kernel` is [in, out], the transpose of PyTorch's."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        use_bias: bool = True,
        kernel_init: Initializer = kaiming_normal,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (in_features, out_features)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros((out_features,))) if use_bias else None
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b d2"]:
        y = x.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
        if self.bias is not None:
            y = y + self.bias[...].astype(self.dtype)[None]
        return y


class BatchNorm(nnx.Module):
    """Batch normalisation over every axis but the last, as PyTorch computes it.

    The batch is normalised with its biased variance; the running variance is the
    unbiased one (flax.nnx.BatchNorm stores the biased one, a factor n / (n - 1) that
    matters for a neck that sees 64 vectors). `momentum` is the share of the old
    running value kept, 1 minus PyTorch's. In evaluation
    (`nnx.view(network, use_running_average=True)`) the running values are used.
    """

    def __init__(
        self,
        features: int,
        *,
        use_bias: bool = True,
        scale_init: Initializer = nnx.initializers.ones,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.scale = nnx.Param(scale_init(rngs.params(), (features,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,))) if use_bias else None
        self.mean = nnx.BatchStat(jnp.zeros((features,)))
        self.var = nnx.BatchStat(jnp.ones((features,)))
        self.momentum = momentum
        self.epsilon = epsilon
        self.use_running_average = False
        self.dtype = dtype

    def set_view(self, use_running_average: bool | None = None, **unused):
        """Called by nnx.view."""
        if use_running_average is not None:
            self.use_running_average = use_running_average
        return unused

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        if self.use_running_average:
            mean, var = self.mean[...], self.var[...]
        else:
            mean, var = self._batch_statistics(x.astype(jnp.float32))
        scale = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias[...]
        over = tuple(range(x.ndim - 1))
        scale, shift = jnp.expand_dims(scale, over), jnp.expand_dims(shift, over)
        return (x.astype(jnp.float32) * scale + shift).astype(self.dtype)

    def _batch_statistics(self, x):
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes)
        # the two-pass form: E[x^2] - E[x]^2 cancels in float32 when |mean| >> std
        var = jnp.square(x - jnp.expand_dims(mean, axes)).mean(axes)
        count = x.size // x.shape[-1]
        kept, new = self.momentum, 1 - self.momentum
        self.mean[...] = kept * self.mean[...] + new * jax.lax.stop_gradient(mean)
        unbiased = jax.lax.stop_gradient(var) * (count / max(count - 1, 1))
        self.var[...] = kept * self.var[...] + new * unbiased
        return mean, var


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """3 x 3 maximum, stride 2, padded with -inf by one pixel on every side."""
    padding = ((0, 0), (1, 1), (1, 1), (0, 0))
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding
    )
