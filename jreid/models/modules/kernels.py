"""Convolution, BatchNorm and max-pooling in the forms that run fastest.

What wins on the CPU (cpu_kernels.py) may lose elsewhere: `by_platform` is the one place
that decides, when a program is lowered, so that one compiled on a CPU host for a GPU is
a GPU's. Elsewhere everything is the plain operation, but that 1 x 1 convolutions are
matrix products, and that BatchNorm has its own gradient and takes mean and variance in
one pass, over deviations from the running mean: 122 kernels of 1,425 and 5 % of the
bytes moved less in a step on an H100, and one all-reduce for each BatchNorm, not two.

bfloat16 keeps the plain convolutions on the CPU too. Gradients are exact
(tests/test_kernels.py); forward mode is not defined.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.models.modules import cpu_kernels
from jreid.models.modules.channels import (
    at_least_float32,
    channel_mean,
    covariance,
    wide,
)


def by_platform(on_cpu, elsewhere, *arrays):
    """Calls the one or the other, as the program is lowered for a CPU or not."""
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


# 1 x 1 convolution ---------------------------------------------------------------


@jax.custom_vjp
def pointwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "c c2"]
) -> Float[Array, "b h w c2"]:
    """1 x 1 convolution, a matrix product."""
    return x @ kernel


def _pointwise_forward(x, kernel):
    return x @ kernel, (x, kernel)


def _pointwise_backward(saved, dy):
    x, kernel = saved
    # as c x c2: for its transpose, which jax.vjp of a product computes, XLA's CPU
    # backend would first transpose dy (730 of 3300 ms of a step)
    rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dkernel = jax.lax.dot_general(rows, drows, (((0,), (0,)), ((), ())))
    return dy @ kernel.T, dkernel


pointwise.defvjp(_pointwise_forward, _pointwise_backward)


# k x k convolution ---------------------------------------------------------------


def _plain(x, kernel, stride):
    padding = (kernel.shape[0] - 1) // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c c2"], stride: int
) -> Float[Array, "b h2 w2 c2"]:
    """2-D convolution, padded by (k - 1) / 2 on every side."""
    return _convolution(x, kernel, stride)


def _forward(x, kernel, stride):
    plain = partial(_plain, stride=stride)
    fast = cpu_kernels.tiled_convolution if _has_tiles(x, kernel, stride) else plain
    return by_platform(fast, plain, x, kernel)


def _convolution_forward(x, kernel, stride):
    return _convolution(x, kernel, stride), (x, kernel)


def _convolution_backward(stride, saved, dy):
    x, kernel = saved
    plain = partial(_plain_backward, stride=stride)
    fast = (
        cpu_kernels.tiled_convolution_backward
        if _has_tiles(x, kernel, stride)
        else plain
    )
    return by_platform(fast, plain, x, kernel, dy)


def _plain_backward(x, kernel, dy, stride):
    return jax.vjp(partial(_plain, stride=stride), x, kernel)[1](dy)


def _has_tiles(x, kernel, stride):
    # sums of four bfloat16 numbers would lose what the products keep
    return kernel.shape[0] == 3 and stride == 1 and x.dtype != jnp.bfloat16


_convolution = jax.custom_vjp(_forward, nondiff_argnums=(2,))
_convolution.defvjp(_convolution_forward, _convolution_backward)


# 3 x 3 maximum -------------------------------------------------------------------


@jax.custom_vjp
def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """3 x 3 maximum, stride 2, padded with -inf by one pixel on every side."""
    return _plain_pool(x)


def _plain_pool(x):
    padding = ((0, 0), (1, 1), (1, 1), (0, 0))
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding
    )


def _pool_forward(x):
    y = _plain_pool(x)
    return y, (x, y)


def _pool_backward(saved, dy):
    def plain(x, y, dy):
        return jax.vjp(_plain_pool, x)[1](dy)[0]

    return (by_platform(cpu_kernels.max_pool_backward, plain, *saved, dy),)


max_pool.defvjp(_pool_forward, _pool_backward)


# batch normalisation -------------------------------------------------------------


def normalise_batch(
    x: Float[Array, "*n c"],
    scale: Float[Array, " c"],
    bias: Float[Array, " c"],
    near: Float[Array, " c"],
    epsilon: float,
) -> tuple[Float[Array, "*n c"], Float[Array, " c"], Float[Array, " c"]]:
    """`(x - mean) / sqrt(var + epsilon) * scale + bias`, mean, and biased variance.

    Statistics are at least in float32. No gradient flows back from mean and variance.
    `near` is a guess of the mean, such as the running one: on accelerators the variance
    loses log2 of ((mean - near)^2 / var) bits.
    """
    return _normalise(x, scale, bias, near, epsilon)


def _normalise_only(x, scale, bias, near, epsilon):
    return _normalise_forward(x, scale, bias, near, epsilon)[0]


def _normalise_forward(x, scale, bias, near, epsilon):
    mean, var = by_platform(cpu_kernels.moments, _moments, x, near)
    factor = scale * jax.lax.rsqrt(var + epsilon)
    shift = bias - mean * factor
    y = at_least_float32(x) * wide(factor, x) + wide(shift, x)
    return (y.astype(x.dtype), mean, var), (x, scale, mean, var)


def _normalise_backward(epsilon, saved, gradients):
    x, scale, mean, var = saved
    dy = gradients[0]
    count = x.size // x.shape[-1]
    inverse = jax.lax.rsqrt(var + epsilon)
    dbias = channel_mean(at_least_float32(dy)) * count
    product = by_platform(
        cpu_kernels.conditioned_covariance,
        lambda x, dy, mean, _: covariance(x, dy, mean),
        *(x, dy, mean, var),
    )
    dscale = product * count * inverse
    # dx = a dy + b (x - mean) + c per channel: one pass over the maps
    a = scale * inverse
    b = -a * jnp.square(inverse) * product
    c = -a * dbias / count
    deviation = at_least_float32(x) - wide(mean, x)
    dx = wide(a, x) * at_least_float32(dy) + (wide(b, x) * deviation + wide(c, x))
    return dx.astype(x.dtype), dscale, dbias, jnp.zeros_like(mean)


_normalise = jax.custom_vjp(_normalise_only, nondiff_argnums=(4,))
_normalise.defvjp(_normalise_forward, _normalise_backward)


def _moments(x, near):
    deviation = at_least_float32(x) - wide(near, x)
    mean = channel_mean(deviation)
    var = channel_mean(jnp.square(deviation)) - jnp.square(mean)
    return near + mean, jnp.maximum(var, 0)
