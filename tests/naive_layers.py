"""Layers of image generators as loops, and modules with numbers in all parameters."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


def made(kind, *given, seed=0, **options):
    """The module with random numbers in all parameters, biases too."""

    def make():
        return kind(*given, dtype=jnp.float32, rngs=nnx.Rngs(0), **options)

    return filled(make, seed)


def filled(make, seed=0):
    """What `make` gives, with random numbers in all parameters."""
    structure, state = nnx.split(nnx.eval_shape(make))
    rng = np.random.default_rng(seed)
    values = jax.tree.map(lambda x: jnp.float32(0.3 * rng.normal(size=x.shape)), state)
    return nnx.merge(structure, values)


def reflected(place, size):
    """Where a place outside 0 to size - 1 is looked up; the edge is not repeated."""
    while not 0 <= place < size:
        place = -place if place < 0 else 2 * (size - 1) - place
    return place


def convolved(conv, x):
    """A ReflectConv of maps."""
    kernel, bias = np.asarray(conv.kernel[...]), np.asarray(conv.bias[...])
    k, stride, rate = len(kernel), conv.stride, conv.dilation
    b, h, w, _ = x.shape
    out = np.zeros((b, -(-h // stride), -(-w // stride), kernel.shape[3])) + bias
    for row, column, i, j in itertools.product(
        range(out.shape[1]), range(out.shape[2]), range(k), range(k)
    ):
        y = reflected(row * stride + (i - (k - 1) // 2) * rate, h)
        z = reflected(column * stride + (j - (k - 1) // 2) * rate, w)
        out[:, row, column] += x[:, y, z] @ kernel[i, j]
    return out


def zero_padded(conv, x):
    """A Conv without bias of maps: what is outside counts as 0."""
    kernel, stride = np.asarray(conv.kernel[...]), conv.stride
    k, (b, h, w, _) = len(kernel), x.shape
    out = np.zeros((b, -(-h // stride), -(-w // stride), kernel.shape[3]))
    for row, column, i, j in itertools.product(
        range(out.shape[1]), range(out.shape[2]), range(k), range(k)
    ):
        y, z = row * stride + i - (k - 1) // 2, column * stride + j - (k - 1) // 2
        if 0 <= y < h and 0 <= z < w:
            out[:, row, column] += x[:, y, z] @ kernel[i, j]
    return out


def spread(conv, x):
    """A TransposedConv of maps: each pixel is added to 4 x 4 of twice as many."""
    kernel = np.asarray(conv.kernel[...])[::-1, ::-1]
    b, h, w, _ = x.shape
    framed = np.zeros((b, 2 * h + 2, 2 * w + 2, kernel.shape[3]))
    for row, column, i, j in itertools.product(range(h), range(w), range(4), range(4)):
        framed[:, 2 * row + i, 2 * column + j] += x[:, row, column] @ kernel[i, j]
    return framed[:, 1:-1, 1:-1]


def mapped(linear, x):
    """A Linear of rows."""
    return x @ np.asarray(linear.kernel[...]) + np.asarray(linear.bias[...])


def at_half_size(x):
    """Means over 3 x 3 pixels in steps of 2, at the edge over those that are there."""
    b, h, w, c = x.shape
    out = np.zeros((b, -(-h // 2), -(-w // 2), c))
    for row, column in itertools.product(range(out.shape[1]), range(out.shape[2])):
        rows = slice(max(2 * row - 1, 0), 2 * row + 2)
        columns = slice(max(2 * column - 1, 0), 2 * column + 2)
        out[:, row, column] = x[:, rows, columns].mean((1, 2))
    return out


def instance_normed(x):
    """Each channel of each image at mean 0, variance 1."""
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


def leaky(x, slope=0.3):
    return np.where(x > 0, x, slope * x)


def map_normed(norm, x):
    """PyTorch's standard deviation, with n - 1 below, of each image's whole map."""
    scale, bias = (np.asarray(p[...]) for p in (norm.scale, norm.bias))
    return np.stack([(y - y.mean()) / (y.std(ddof=1) + 1e-5) * scale + bias for y in x])
