"""The largest along an axis, and whom its slope reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.extremes import largest, smallest
from jreid.models.modules.pooling import maximum_pool


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_values_and_slopes_are_those_of_one_entry_each(axis, rng):
    x = rng.normal(size=(4, 5, 3)).astype(np.float32)
    weights = rng.normal(size=np.max(x, axis).shape).astype(np.float32)
    for ours, values, places in (
        (largest, np.max, np.argmax),
        (smallest, np.min, np.argmin),
    ):
        slope = jax.grad(lambda x, f=ours: jnp.sum(weights * f(x, axis)))(jnp.array(x))
        np.testing.assert_array_equal(ours(jnp.array(x), axis), values(x, axis))
        expected = np.zeros_like(x)
        where = np.expand_dims(places(x, axis), axis)
        np.put_along_axis(expected, where, np.expand_dims(weights, axis), axis)
        np.testing.assert_array_equal(slope, expected)


def test_of_equal_entries_the_first_has_the_slope():
    x = jnp.float32([[1, 2, 2], [0, 0, 0], [-jnp.inf, -jnp.inf, 1]])
    slope = jax.grad(lambda x: jnp.sum(largest(x, 1)))(x)
    np.testing.assert_array_equal(slope, [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert smallest(jnp.full((1, 2), jnp.inf), 1)[0] == jnp.inf


def test_slopes_are_numbers_where_entries_are_rounded_twice(rng):
    """x scale + shift is computed anew for the slope, in one rounding or in two."""
    x = jnp.float32(rng.normal(size=(12, 6, 2, 64)))
    scale, shift = jnp.float32(rng.normal(size=(2, 1, 1, 1, 64)))

    def loss(x):
        y = x * scale + shift
        return jnp.sum(maximum_pool(y) ** 2 + jnp.mean(y))

    slope = jax.jit(jax.grad(loss))(x)
    y = np.asarray(x * scale + shift).reshape(12, 12, 64)
    expected = np.full(y.shape, 12 * 64 / y.size)
    for image in range(12):
        for channel in range(64):
            place = y[image, :, channel].argmax()
            expected[image, place, channel] += 2 * y[image, place, channel]
    expected = np.asarray(scale) * expected.reshape(x.shape)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)
