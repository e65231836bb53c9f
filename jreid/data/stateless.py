"""Random numbers of a seed inside tf.data: the same seed gives the same numbers.

The algorithm is pinned, so that all machines agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jreid.lazy import tf

_ALGORITHM = "philox"


def uniform(
    seed: tf.Tensor,
    shape: tf.Tensor | Sequence[int],
    low: int | float = 0.0,
    high: int | float = 1.0,
    dtype: tf.DType | None = None,
) -> tf.Tensor:
    """Uniform in [low, high), float32 unless another type is given."""
    dtype = dtype or tf.float32
    return tf.random.stateless_uniform(shape, seed, low, high, dtype, alg=_ALGORITHM)


def split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Seeds of their own for `count` uses."""
    return tf.unstack(tf.random.split(seed, count, alg=_ALGORITHM))


def numbered(seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The seed of one turn of a loop."""
    fold_in: Any = tf.random.fold_in  # the stubs know it for integers alone
    return fold_in(seed, number, alg=_ALGORITHM)


def beta(seed: tf.Tensor, shape: Sequence[int], concentration: float) -> tf.Tensor:
    """Samples of Beta(concentration, concentration), float32."""
    # float64: for a small concentration a gamma sample underflows float32
    both = tf.constant(concentration, tf.float64)
    pair = tf.random.stateless_gamma([2, *shape], seed, both, dtype=tf.float64)
    total = pair[0] + pair[1]
    half = tf.fill(tf.shape(total), tf.constant(0.5, tf.float64))
    return tf.cast(tf.where(total > 0, pair[0] / total, half), tf.float32)


def sometimes(
    p: float,
    image: tf.Tensor,
    seed: tf.Tensor,
    change: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """`change(seed)` with probability p, otherwise the image as it is."""
    # The coin is the first of the numbers that follow from the seed; the second of
    # the split comes from later ones, and is drawn only when it is needed.
    heads = uniform(seed, ()) < p
    result = tf.cond(heads, lambda: change(split(seed, 2)[1]), lambda: image)
    return tf.ensure_shape(result, image.shape)
