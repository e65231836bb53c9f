"""Convolution, BatchNorm and max-pooling in the forms that run fastest.

What wins on the CPU may lose elsewhere: `_by_platform` is the one place that decides,
when a program is lowered, so that one compiled on a CPU host for a GPU is a GPU's.
Elsewhere than on the CPU everything is the plain operation, but that 1 x 1 convolutions
are matrix products, and that BatchNorm has its own gradient and takes its statistics in
one pass. Gradients are exact (tests/test_kernels.py); forward mode is not defined.

On the CPU, in float32 (bfloat16 keeps the plain convolutions):
- 3 x 3, stride 1: Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, CVPR 2016), as 16 matrix
  products. Milliseconds forward, 8 images,
  2 CPU cores: 64 channels of 72 x 36: 8.2 for XLA's 12.2; 256 of 18 x 9: 4.1 for 7.9;
  512 of 18 x 9: 14.7 for 27.5. Of the weight gradient XLA's own form takes 39, 7.4 and
  29.9. Rounding errors are within 4 times the plain form's.
- 1 x 1: the weight gradient as [c, c2], because XLA computes its transpose, as jax.vjp
  of a product has it, by first transposing dy: 730 of 3300 ms of a step were this.
- BatchNorm: E[x y] - E[x] E[y] needs one pass over the maps and stores nothing, where
  deviations from the mean are stored. It is taken where mean^2 <= 16 var in every
  channel, which costs at most four bits; otherwise, at run time, the two-pass form.
  Elsewhere mean and variance come from one pass too, over deviations from the running
  mean: 122 kernels of 1,425 and 5 % of the bytes moved less in a step on an H100, and
  one all-reduce for each BatchNorm instead of two.
- max-pooling: the gradient by comparing each window's nine pixels with its maximum;
  XLA's select-and-scatter takes 90 ms of a step, this under 30.

In vain: the weight gradient of 3 x 3 convolutions as nine products or one of shifted
copies (1.1 to 1.6 times XLA's time); that of the stem as four products of 48 columns or
over space-to-depth (1.2 to 2 times); of 3 x 3 with stride 2 as nine products (gains 14
of 2200 ms); all 16 products as one batched product (1.2 to 3 times); BatchNorm's sums
over strips of maps (XLA does not fuse the slices); making forward maps anew with
jax.checkpoint (8 % more CPU time); transparent huge pages and keeping
freed memory (mallopt), and the flags --xla_cpu_use_xnnpack,
--xla_cpu_experimental_onednn_custom_call, --xla_cpu_experimental_ynn_fusion_type.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Half precision becomes float32; float32 and float64 stay."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _by_platform(on_cpu, elsewhere, *arrays):
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
    # as c x c2, not its transpose: XLA's CPU backend would transpose dy for that
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
    fast = _tiled if _has_tiles(x, kernel, stride) else plain
    return _by_platform(fast, plain, x, kernel)


def _convolution_forward(x, kernel, stride):
    return _convolution(x, kernel, stride), (x, kernel)


def _convolution_backward(stride, saved, dy):
    x, kernel = saved
    plain = partial(_plain_backward, stride=stride)
    fast = _tiled_backward if _has_tiles(x, kernel, stride) else plain
    return _by_platform(fast, plain, x, kernel, dy)


def _plain_backward(x, kernel, dy, stride):
    return jax.vjp(partial(_plain, stride=stride), x, kernel)[1](dy)


def _has_tiles(x, kernel, stride):
    # sums of four bfloat16 numbers would lose what the products keep
    return kernel.shape[0] == 3 and stride == 1 and x.dtype != jnp.bfloat16


_convolution = jax.custom_vjp(_forward, nondiff_argnums=(2,))
_convolution.defvjp(_convolution_forward, _convolution_backward)


# Winograd's F(2 x 2, 3 x 3): a 2 x 2 tile of the output is a function of a 4 x 4 tile
# of the input. Both are transformed so that the convolution becomes, for each of the 16
# positions in a tile, a matrix product: 4 / 9 of the multiplications.


def _tiled(x, kernel):
    return _output(_products(_input_tiles(x), _kernel_tiles(kernel), 1, 0), x.shape)


def _tiled_backward(x, kernel, dy):
    # or XLA keeps the forward pass's tiles, four times the size of x, until now
    x, kernel, dy = jax.lax.optimization_barrier((x, kernel, dy))
    # the tiles of the kernel turned by 180 degrees are those of the kernel, reordered
    tiles, order = _kernel_tiles(kernel), (3, 1, 2, 0)
    turned = [tiles[4 * i + j] for i in order for j in order]
    dx = _output(_products(_input_tiles(dy), turned, 1, 1), x.shape)
    # one after the other, for the memory
    x, dy, dx = jax.lax.optimization_barrier((x, dy, dx))
    return dx, _kernel(_products(_input_tiles(x), _output_tiles(dy), 0, 0))


def _products(first, second, axis, other):
    contract = (((axis,), (other,)), ((), ()))
    return [
        jax.lax.dot_general(a, b, contract) for a, b in zip(first, second, strict=True)
    ]


def _both(transform, grid):
    """Applies `transform` to the rows, then to the columns, of `grid[i][j]`."""
    rows = [transform(row) for row in grid]
    columns = [transform(column) for column in zip(*rows, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def _input_tiles(x):
    """B^T x B: 16 matrices, [tiles of all images, c]."""

    def transform(v):
        return v[0] - v[2], v[1] + v[2], v[2] - v[1], v[1] - v[3]

    b, h, w, c = x.shape
    th, tw = -(-h // 2), -(-w // 2)
    x = jnp.pad(x, ((0, 0), (1, 2 * th - h + 1), (1, 2 * tw - w + 1), (0, 0)))
    grid = [
        [x[:, i : i + 2 * th - 1 : 2, j : j + 2 * tw - 1 : 2] for j in range(4)]
        for i in range(4)
    ]
    return [tile.reshape(-1, c) for row in _both(transform, grid) for tile in row]


def _kernel_tiles(kernel):
    """G k G^T: 16 matrices, [c, c2]."""

    def transform(v):
        return v[0], (v[0] + v[1] + v[2]) / 2, (v[0] - v[1] + v[2]) / 2, v[2]

    grid = [[kernel[i, j] for j in range(3)] for i in range(3)]
    return [tile for row in _both(transform, grid) for tile in row]


def _kernel(tiles):
    """The transpose of `_kernel_tiles`: from the gradient of the tiles to k's."""

    def transform(v):
        return v[0] + (v[1] + v[2]) / 2, (v[1] - v[2]) / 2, (v[1] + v[2]) / 2 + v[3]

    grid = _both(transform, [tiles[4 * i : 4 * i + 4] for i in range(4)])
    return jnp.stack([jnp.stack(row) for row in grid])


def _output(tiles, shape):
    """A^T m A, put together to maps of `shape`, that of the input."""

    def transform(v):
        return v[0] + v[1] + v[2], v[1] - v[2] - v[3]

    b, h, w, _ = shape
    th, tw = -(-h // 2), -(-w // 2)
    tiles = [tile.reshape(b, th, tw, -1) for tile in tiles]
    grid = _both(transform, [tiles[4 * i : 4 * i + 4] for i in range(4)])
    return _interleave(grid)[:, :h, :w]


def _output_tiles(dy):
    """The transpose of `_output`."""

    def transform(v):
        return v[0], v[0] + v[1], v[0] - v[1], -v[1]

    h, w, c = dy.shape[1:]
    dy = jnp.pad(dy, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    grid = [[dy[:, i::2, j::2] for j in range(2)] for i in range(2)]
    return [tile.reshape(-1, c) for row in _both(transform, grid) for tile in row]


def _interleave(grid):
    """Maps of which `grid[i][j]` holds rows i, i + 2, ... and columns j, j + 2, ..."""
    y = jnp.stack([jnp.stack(row, axis=3) for row in grid], axis=2)
    b, th, _, tw, _, c = y.shape
    return y.reshape(b, 2 * th, 2 * tw, c)


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

    return (_by_platform(_pool_backward_on_cpu, plain, *saved, dy),)


def _pool_backward_on_cpu(x, y, dy):
    h, w = x.shape[1:3]
    th, tw = y.shape[1:3]
    edges = ((0, 0), (1, 2 * th - h), (1, 2 * tw - w), (0, 0))
    x = jnp.pad(x, edges, constant_values=-jnp.inf)
    taken = jnp.zeros(y.shape, bool)  # by an earlier one of equal pixels
    parts = {}  # what goes to pixel (i, j) of each window
    for i in range(3):
        for j in range(3):
            pixel = x[:, i : i + 2 * th - 1 : 2, j : j + 2 * tw - 1 : 2]
            first = (pixel == y) & ~taken
            taken |= first
            parts[i, j] = jnp.where(first, dy, 0)

    def of_next(part, rows, columns):  # the window below, or to the right
        part = part[:, rows:, columns:]
        return jnp.pad(part, ((0, 0), (0, rows), (0, columns), (0, 0)))

    odd_odd = (
        parts[2, 2]
        + of_next(parts[2, 0], 0, 1)
        + of_next(parts[0, 2], 1, 0)
        + of_next(parts[0, 0], 1, 1)
    )
    dx = [
        [parts[1, 1], parts[1, 2] + of_next(parts[1, 0], 0, 1)],
        [parts[2, 1] + of_next(parts[0, 1], 1, 0), odd_odd],
    ]
    return _interleave(dx)[:, :h, :w]


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
    mean, var = _by_platform(_moments_on_cpu, _moments, x, near)
    factor = scale * jax.lax.rsqrt(var + epsilon)
    shift = bias - mean * factor
    y = at_least_float32(x) * wide(factor, x) + wide(shift, x)
    return (y.astype(x.dtype), mean, var), (x, scale, mean, var)


def _normalise_backward(epsilon, saved, gradients):
    x, scale, mean, var = saved
    dy = gradients[0]
    count = x.size // x.shape[-1]
    inverse = jax.lax.rsqrt(var + epsilon)
    dbias = _channel_mean(at_least_float32(dy)) * count
    covariance = _by_platform(_covariance_on_cpu, _covariance, x, dy, mean, var)
    dscale = covariance * count * inverse
    # dx = a dy + b (x - mean) + c per channel: one pass over the maps
    a = scale * inverse
    b = -a * jnp.square(inverse) * covariance
    c = -a * dbias / count
    deviation = at_least_float32(x) - wide(mean, x)
    dx = wide(a, x) * at_least_float32(dy) + (wide(b, x) * deviation + wide(c, x))
    return dx.astype(x.dtype), dscale, dbias, jnp.zeros_like(mean)


_normalise = jax.custom_vjp(_normalise_only, nondiff_argnums=(4,))
_normalise.defvjp(_normalise_forward, _normalise_backward)


def _channel_mean(maps):
    return maps.mean(tuple(range(maps.ndim - 1)))


def wide(vector, like):
    """The vector with axes of length 1 before its own, as many as `like` has."""
    return jnp.expand_dims(vector, tuple(range(like.ndim - 1)))


def _moments(x, near):
    deviation = at_least_float32(x) - wide(near, x)
    mean = _channel_mean(deviation)
    var = _channel_mean(jnp.square(deviation)) - jnp.square(mean)
    return near + mean, jnp.maximum(var, 0)


def _moments_on_cpu(x, _):
    mean = _channel_mean(at_least_float32(x))
    var = _channel_mean(jnp.square(at_least_float32(x))) - jnp.square(mean)
    return mean, jax.lax.cond(
        _well_conditioned(mean, var), lambda *_: var, _two_pass_variance, x, mean
    )


def _two_pass_variance(x, mean):
    return _channel_mean(jnp.square(at_least_float32(x) - wide(mean, x)))


def _covariance(x, dy, mean, var):
    deviation = at_least_float32(x) - wide(mean, x)
    return _channel_mean(deviation * at_least_float32(dy))


def _covariance_on_cpu(x, dy, mean, var):
    def one_pass(x, dy, mean, var):
        product = at_least_float32(x) * at_least_float32(dy)
        return _channel_mean(product) - mean * _channel_mean(at_least_float32(dy))

    return jax.lax.cond(
        _well_conditioned(mean, var), one_pass, _covariance, x, dy, mean, var
    )


def _well_conditioned(mean, var):
    """Whether E[x y] - E[x] E[y] loses at most some four bits to cancellation."""
    return jnp.all(jnp.square(mean) <= 16 * var)
