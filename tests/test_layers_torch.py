"""Layers against PyTorch: padding, stride, BatchNorm's statistics, max-pooling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jreid.models.modules.kernels import max_pool
from jreid.models.modules.layers import BatchNorm, Conv

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch


def to_torch(images):
    return torch.tensor(np.asarray(images).transpose(0, 3, 1, 2).copy())


def to_numpy(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("size", [(9, 6), (8, 5)])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_convolution_agrees(rng, kernel, stride, size):
    conv = Conv(3, 4, kernel, stride=stride, use_bias=True, rngs=nnx.Rngs(0))
    assert conv.bias is not None
    conv.bias[...] = jnp.arange(4.0)
    images = jnp.float32(rng.normal(size=(2, *size, 3)))
    expected = torch.nn.functional.conv2d(
        to_torch(images),
        torch.tensor(np.asarray(conv.kernel[...]).transpose(3, 2, 0, 1).copy()),
        torch.arange(4.0),
        stride=stride,
        padding=(kernel - 1) // 2,
    )
    np.testing.assert_allclose(conv(images), to_numpy(expected), atol=1e-5)


@pytest.mark.parametrize("size", [(9, 6), (8, 5)])
def test_max_pool_agrees_on_negative_maps(rng, size):
    images = jnp.float32(-1 - rng.random((2, *size, 3)))
    expected = torch.nn.functional.max_pool2d(to_torch(images), 3, 2, 1)
    np.testing.assert_array_equal(max_pool(images), to_numpy(expected))


def test_batch_norm_agrees_in_output_gradient_and_running_statistics(rng):
    ours = BatchNorm(5, rngs=nnx.Rngs(0))
    theirs = torch.nn.BatchNorm2d(5)
    weights = jnp.float32(rng.normal(size=(4, 3, 2, 5)))
    for _ in range(3):
        images = jnp.float32(rng.normal(size=(4, 3, 2, 5)) * 3 + 7)
        given = to_torch(images).requires_grad_()
        output = theirs(given)
        (output * to_torch(weights)).sum().backward()
        np.testing.assert_allclose(ours(images), to_numpy(output), atol=2e-5)
    graphdef, state = nnx.split(ours)
    state = nnx.to_pure_dict(state)
    gradient = jax.grad(
        lambda images: (nnx.merge(graphdef, state)(images) * weights).sum()
    )(images)
    np.testing.assert_allclose(gradient, to_numpy(given.grad), atol=1e-5)
    np.testing.assert_allclose(ours.mean[...], theirs.running_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.var[...], theirs.running_var, rtol=1e-5)
    frozen, theirs = nnx.view(ours, use_running_average=True), theirs.eval()
    np.testing.assert_allclose(
        frozen(images), to_numpy(theirs(to_torch(images))), atol=1e-5
    )


def test_batch_norm_of_vectors_stores_the_unbiased_variance(rng):
    vectors = jnp.float32(rng.normal(size=(4, 5)))
    norm = BatchNorm(5, rngs=nnx.Rngs(0))
    norm(vectors)
    expected = 0.9 + 0.1 * vectors.var(0, ddof=1)
    np.testing.assert_allclose(norm.var[...], expected, rtol=1e-5)


def test_batch_norm_survives_a_large_mean():
    images = 1e4 + jnp.array([[-1.0], [1.0]])
    norm = BatchNorm(1, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(norm(images), [[-1.0], [1.0]], atol=1e-3)
