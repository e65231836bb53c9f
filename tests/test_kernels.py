"""The fast forms of convolution, BatchNorm and max-pooling against the plain ones."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jreid.models.modules import kernels
from jreid.models.modules.layers import BatchNorm, Conv, folded

SIZES = [(9, 6), (8, 5), (7, 7), (1, 1), (2, 3), (1, 4)]


def value_and_gradients(function, *arguments):
    """The value, and the gradients of its product with fixed random numbers."""

    @jax.jit
    def both(*arguments):
        value, backward = jax.vjp(function, *arguments)
        weights = np.random.default_rng(1).normal(size=value.shape)
        return value, *backward(jnp.asarray(weights, value.dtype))

    return both(*arguments)


def assert_same(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        scale = 1 + np.abs(np.asarray(other, np.float64)).max()
        np.testing.assert_allclose(one, other, atol=tolerance * scale, rtol=0)


def plain_convolution(x, kernel, stride):
    padding = ((kernel.shape[0] - 1) // 2,) * 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        (padding, padding),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (7, 2)])
def test_convolution_is_the_plain_one(rng, kernel, stride, size):
    x = jnp.float32(rng.normal(size=(2, *size, 5)))
    weights = jnp.float32(rng.normal(size=(kernel, kernel, 5, 4)))

    def ours(x, weights):
        if kernel == 1:
            return kernels.pointwise(x, weights[0, 0])
        return kernels.convolution(x, weights, stride)

    found = value_and_gradients(ours, x, weights)
    expected = value_and_gradients(
        lambda x, weights: plain_convolution(x, weights, stride), x, weights
    )
    assert_same(found, expected, 1e-6)


def test_convolution_by_tiles_is_exact_in_float64(rng):
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(2, 9, 6, 5)))
        weights = jnp.asarray(rng.normal(size=(3, 3, 5, 4)))
        found = value_and_gradients(
            lambda x, w: kernels.convolution(x, w, 1), x, weights
        )
        expected = value_and_gradients(
            lambda x, w: plain_convolution(x, w, 1), x, weights
        )
        assert_same(found, expected, 1e-15)


def test_convolution_by_tiles_rounds_as_the_plain_one_does(rng):
    """With as many channels as the trunk has, against float64."""
    x, weights = rng.normal(size=(1, 6, 6, 256)), rng.normal(size=(3, 3, 256, 8))
    with jax.enable_x64(True):
        exact = np.asarray(plain_convolution(jnp.asarray(x), jnp.asarray(weights), 1))
    x, weights = jnp.float32(x), jnp.float32(weights)
    plain = np.abs(np.asarray(plain_convolution(x, weights, 1)) - exact).max()
    tiled = jax.jit(kernels.convolution, static_argnums=2)(x, weights, 1)
    ours = np.abs(np.asarray(tiled) - exact).max()
    assert ours < 4 * plain


@pytest.mark.parametrize("stride", [1, 2])
def test_bfloat16_keeps_the_plain_convolution(rng, stride):
    x = jnp.bfloat16(rng.normal(size=(2, 6, 5, 5)))
    weights = jnp.bfloat16(rng.normal(size=(3, 3, 5, 4)))
    found = value_and_gradients(
        lambda x, w: kernels.convolution(x, w, stride), x, weights
    )
    expected = value_and_gradients(
        lambda x, w: plain_convolution(x, w, stride), x, weights
    )
    assert_same(found, expected, 0)


def test_a_gpu_gets_the_plain_convolution():
    def loss(x, weights):
        return kernels.convolution(x, weights, 1).sum()

    shapes = jnp.zeros((2, 6, 4, 5)), jnp.zeros((3, 3, 5, 4))
    gradient = jax.jit(jax.grad(loss, (0, 1))).trace(*shapes)
    convolutions = {
        platform: len(
            re.findall(
                r"stablehlo\.convolution",
                gradient.lower(lowering_platforms=(platform,)).as_text(),
            )
        )
        for platform in ("cpu", "cuda")
    }
    assert convolutions == {"cpu": 0, "cuda": 2}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("levels", [2, 1000])  # many ties, few ties
def test_max_pool_gives_ties_to_the_first(rng, levels, size):
    x = jnp.float32(rng.integers(0, levels, size=(2, *size, 5)))

    def plain(x):
        padding = ((0, 0), (1, 1), (1, 1), (0, 0))
        window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, padding)

    assert_same(
        value_and_gradients(kernels.max_pool, x), value_and_gradients(plain, x), 1e-7
    )


def plain_norm(x, scale, bias, epsilon):
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes, keepdims=True)
    var = jnp.square(x - mean).mean(axes, keepdims=True)
    normal = (x - mean) / jnp.sqrt(var + epsilon)
    wide = (None,) * (x.ndim - 1)
    return normal * scale[wide] + bias[wide]


@pytest.fixture(params=["cpu", "elsewhere"])
def platform(request, monkeypatch):
    """The form of each platform, here run on the CPU."""
    if request.param == "elsewhere":
        monkeypatch.setattr(kernels, "by_platform", lambda cpu, other, *a: other(*a))
    return request.param


@pytest.mark.parametrize("mean", [0.0, 3.0, 100.0])  # both sides of the condition
@pytest.mark.parametrize("shape", [(4, 5), (3, 7, 2, 5)])
def test_batch_norm_is_the_plain_one(rng, shape, mean, platform):
    near = jnp.full(5, 0.0 if platform == "cpu" else mean + 0.5)
    numbers = mean + rng.normal(size=shape), rng.normal(size=5), rng.normal(size=5)
    found = value_and_gradients(
        lambda x, scale, bias: kernels.normalise_batch(x, scale, bias, near, 1e-5)[0],
        *map(jnp.float32, numbers),
    )
    with jax.enable_x64(True):
        expected = value_and_gradients(
            lambda x, scale, bias: plain_norm(x, scale, bias, 1e-5),
            *(jnp.float64(a) for a in numbers),
        )
        expected = [jnp.float32(array) for array in expected]
    # the mean of float32 numbers near 100 is itself known to 1e-5 only
    assert_same(found, expected, 5e-6 if mean < 100 else 5e-5)


def test_batch_norm_needs_no_good_guess_of_a_moderate_mean(rng, platform):
    numbers = 3 + rng.normal(size=(8, 9, 6, 5))
    given = jnp.float32(numbers), jnp.ones(5), jnp.zeros(5), jnp.zeros(5), 1e-5
    y, mean, var = kernels.normalise_batch(*given)
    np.testing.assert_allclose(mean, numbers.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(var, numbers.var((0, 1, 2)), rtol=5e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), 1, rtol=1e-4)


def test_batch_norm_of_constant_channels_is_its_bias(platform):
    x = jnp.full((2, 3, 3, 2), 1000.1)
    near = jnp.full(2, 1000.0)
    y, mean, var = kernels.normalise_batch(x, jnp.ones(2), jnp.arange(2.0), near, 1e-5)
    np.testing.assert_allclose(y, jnp.broadcast_to(jnp.arange(2.0), y.shape), atol=0.1)
    np.testing.assert_allclose(mean, 1000.1, rtol=1e-6)
    np.testing.assert_allclose(var, 0, atol=1e-6)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_frozen_norm_is_folded_into_its_convolution(rng, dtype, size, stride):
    options = {"dtype": dtype, "rngs": nnx.Rngs(0)}
    conv = Conv(3, 4, size, stride=stride, use_bias=True, **options)
    norm = BatchNorm(4, **options)
    assert conv.bias is not None and norm.bias is not None
    for array in (conv.bias, norm.bias, norm.mean):
        array[...] = jnp.float32(rng.normal(size=4))
    for array in (norm.scale, norm.var):
        array[...] = jnp.float32(rng.uniform(0.5, 2, size=4))
    frozen = nnx.view(norm, use_running_average=True)
    x = jnp.asarray(rng.normal(size=(2, 6, 5, 3)), dtype)
    found, expected = folded(conv, frozen, x), frozen(conv(x))
    assert found.dtype == expected.dtype == dtype
    tolerance = 1e-5 if dtype == jnp.float32 else 0.1
    np.testing.assert_allclose(
        np.float32(found), np.float32(expected), atol=tolerance, rtol=tolerance
    )
