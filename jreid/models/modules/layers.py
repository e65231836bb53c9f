"""Convolution, linear map and BatchNorm with PyTorch's semantics, in NHWC.

Parameters, running statistics and the statistics' arithmetic are float32; `dtype` is
the type of the activations (float32 or bfloat16). Float64 stays float64 throughout,
which comparing with PyTorch needs.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jreid.models.modules.channels import at_least_float32, wide
from jreid.models.modules.kernels import convolution, normalise_batch, pointwise

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
        bias_init: Initializer | None = None,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, jnp.float32))
        bias = jnp.zeros((out_channels,))
        if bias_init is not None:  # zeros draw no random number
            bias = bias_init(rngs.params(), bias.shape, jnp.float32)
        self.bias = nnx.Param(bias) if use_bias else None
        self.kernel_size = kernel_size
        self.stride = stride
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        x, kernel = x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        if self.kernel_size == 1:
            y = pointwise(x[:, :: self.stride, :: self.stride], kernel[0, 0])
        else:
            y = convolution(x, kernel, self.stride)
        return y if self.bias is None else y + wide(self.bias[...].astype(y.dtype), y)


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
            scale, shift = self.frozen()
            y = at_least_float32(x) * wide(scale, x) + wide(shift, x)
        else:
            y, mean, var = normalise_batch(
                x, *self._scale_and_bias(), self.mean[...], self.epsilon
            )
            self._update_running(mean, var, x.size // x.shape[-1])
        return y.astype(self.dtype)

    def frozen(self) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        """Scale and shift that stand for the whole layer in evaluation."""
        scale, bias = self._scale_and_bias()
        scale = scale * jax.lax.rsqrt(self.var[...] + self.epsilon)
        return scale, bias - self.mean[...] * scale

    def _scale_and_bias(self):
        scale = self.scale[...]
        return scale, jnp.zeros_like(scale) if self.bias is None else self.bias[...]

    def _update_running(self, mean, var, count):
        kept, new = self.momentum, 1 - self.momentum
        unbiased = var * (count / max(count - 1, 1))
        for running, now in ((self.mean, mean), (self.var, unbiased)):
            # Replaced, not assigned into: modules/keys.py says why.
            running.set_value(kept * running[...] + new * jax.lax.stop_gradient(now))


def conv_norm(
    conv: Conv, norm: BatchNorm, x: Float[Array, "b h w c"]
) -> Float[Array, "b h2 w2 c2"]:
    """`norm(conv(x))`; in evaluation an accelerator gets the two as one convolution.

    XLA's CPU backend computes the norm in the pass that adds and clips anyway, so there
    scaling the kernel for every batch would only cost (a tenth of a batch of 8).
    """
    if not norm.use_running_average:
        return norm(conv(x))
    return jax.lax.platform_dependent(
        x, cpu=lambda x: norm(conv(x)), default=lambda x: folded(conv, norm, x)
    )


def folded(
    conv: Conv, norm: BatchNorm, x: Float[Array, "b h w c"]
) -> Float[Array, "b h2 w2 c2"]:
    """`norm(conv(x))` in evaluation, the norm folded into the kernel and a bias.

    A 1 x 1 kernel stays a convolution here: cuDNN takes it with bias, shortcut and
    activation in one call, where a matrix product leaves them to a second pass over the
    maps (4.3 GB moved for 6.6 by 64 images in bfloat16, by XLA's program for an H100).
    """
    scale, shift = norm.frozen()
    if conv.bias is not None:
        shift = shift + conv.bias[...] * scale
    kernel = conv.kernel[...]
    kernel = (kernel * wide(scale, kernel)).astype(conv.dtype)
    y = convolution(x.astype(conv.dtype), kernel, conv.stride)
    return y + wide(shift.astype(y.dtype), y)
