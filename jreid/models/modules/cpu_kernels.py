"""The forms of convolution, max-pooling and BatchNorm that win on the CPU, in float32.

- 3 x 3 convolution, stride 1: Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, CVPR 2016),
  as 16 matrix products. Milliseconds forward, 8 images, 2 CPU cores: 64 channels of
  72 x 36: 8.2 for XLA's 12.2; 256 of 18 x 9: 4.1 for 7.9; 512 of 18 x 9: 14.7 for 27.5.
  Of the weight gradient XLA's own form takes 39, 7.4 and 29.9. Rounding errors are
  within 4 times the plain form's.
- max-pooling: the gradient by comparing each window's nine pixels with its maximum;
  XLA's select-and-scatter takes 90 ms of a step, this under 30.
- BatchNorm: E[x y] - E[x] E[y] needs one pass over the maps and stores nothing, where
  deviations from the mean are stored. It is taken where mean^2 <= 16 var in every
  channel, which costs at most four bits; otherwise, at run time, the two-pass form.

What was tried in vain is in docs/notes.md.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jreid.models.modules.channels import (
    at_least_float32,
    channel_mean,
    covariance,
    variance,
)

# 3 x 3 convolution, stride 1: a 2 x 2 tile of the output is a function of a 4 x 4 tile
# of the input. Both are transformed so that the convolution becomes, for each of the 16
# positions in a tile, a matrix product: 4 / 9 of the multiplications.


def tiled_convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c c2"]
) -> Float[Array, "b h w c2"]:
    """3 x 3 convolution with stride 1, padded by one pixel on every side."""
    return _output(_products(_input_tiles(x), _kernel_tiles(kernel), 1, 0), x.shape)


def tiled_convolution_backward(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "3 3 c c2"],
    dy: Float[Array, "b h w c2"],
) -> tuple[Float[Array, "b h w c"], Float[Array, "3 3 c c2"]]:
    """Gradients of x and the kernel."""
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


# 3 x 3 maximum: gradient -------------------------------------------------------


def max_pool_backward(
    x: Float[Array, "b h w c"],
    y: Float[Array, "b h2 w2 c"],
    dy: Float[Array, "b h2 w2 c"],
) -> Float[Array, "b h w c"]:
    """The gradient of x, of whose equal pixels in a window the first gets it."""
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


# batch normalisation: statistics in one pass --------------------------------------


def moments(
    x: Float[Array, "*n c"], near: Float[Array, " c"]
) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
    """Mean and biased variance; `near` is the accelerators' guess, not used here."""
    mean = channel_mean(at_least_float32(x))
    var = channel_mean(jnp.square(at_least_float32(x))) - jnp.square(mean)
    return mean, jax.lax.cond(
        _well_conditioned(mean, var), lambda *_: var, variance, x, mean
    )


def conditioned_covariance(
    x: Float[Array, "*n c"],
    dy: Float[Array, "*n c"],
    mean: Float[Array, " c"],
    var: Float[Array, " c"],
) -> Float[Array, " c"]:
    """Mean of (x - mean) dy, in one pass where that is exact enough."""

    def one_pass(x, dy, mean):
        product = at_least_float32(x) * at_least_float32(dy)
        return channel_mean(product) - mean * channel_mean(at_least_float32(dy))

    return jax.lax.cond(_well_conditioned(mean, var), one_pass, covariance, x, dy, mean)


def _well_conditioned(mean, var):
    """Whether E[x y] - E[x] E[y] loses at most some four bits to cancellation."""
    return jnp.all(jnp.square(mean) <= 16 * var)
