"""The layers and losses of Hi-CMD's images, against loops and differences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from naive_layers import (
    at_half_size,
    convolved,
    filled,
    instance_normed,
    leaky,
    made,
    map_normed,
    mapped,
)
from paper_parts import state_of

from jreid.losses.gradient_penalty import GradientPenalty
from jreid.losses.squared_cosine_triplet import SquaredCosineTriplet
from jreid.models import disentangled as parts
from jreid.models.modules.adain import AdainResidual, adain
from jreid.models.modules.combined_features import CombinedFeatures
from jreid.models.modules.halved import halved
from jreid.models.modules.image_layer_norm import ImageLayerNorm
from jreid.models.modules.multiscale_discriminator import (
    MultiscaleDiscriminator,
)
from jreid.models.modules.prototype_encoder import Aspp, PrototypeEncoder
from jreid.models.modules.reflect_conv import ReflectConv, ReflectResidual
from jreid.models.modules.style_decoder import Perceptron, StyleDecoder
from jreid.models.resnet import ResNet


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [(1, 1, 1), (3, 2, 1), (4, 2, 1), (5, 1, 1), (3, 1, 6)],
)
def test_a_reflecting_convolution_is_that_of_loops(kernel, stride, dilation, rng):
    conv = made(ReflectConv, 2, 3, kernel, stride=stride, dilation=dilation)
    x = rng.normal(size=(1, 4, 6, 2))
    found = conv(jnp.float32(x))
    np.testing.assert_allclose(found, convolved(conv, x), atol=1e-4)


def test_a_residual_has_norms_where_they_are_given(rng):
    block, x = made(ReflectResidual, 2, slope=0.3), rng.normal(size=(2, 3, 4, 2))
    plain = x + convolved(block.conv2, leaky(convolved(block.conv1, x)))
    np.testing.assert_allclose(block(jnp.float32(x)), plain, atol=1e-4)
    y = leaky(2 * convolved(block.conv1, x))
    found = block(jnp.float32(x), lambda y: 2 * y)
    np.testing.assert_allclose(found, x + 2 * convolved(block.conv2, y), atol=1e-4)


def test_adain_gives_each_image_its_scale_and_shift(rng):
    x, (scale, shift) = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 2, 5))
    expected = np.zeros_like(x)
    for image, channel in itertools.product(range(2), range(5)):
        own = x[image, :, :, channel]
        unit = (own - own.mean()) / np.sqrt(own.var() + 1e-5)
        expected[image, :, :, channel] = (
            unit * scale[image, channel] + shift[image, channel]
        )
    found = adain(*map(jnp.float32, (x, scale, shift)))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_adain_block_splits_its_scales_between_its_convolutions(rng):
    block, x = made(AdainResidual, 3, slope=0.3), rng.normal(size=(2, 3, 4, 3))
    scale, shift = rng.normal(size=(2, 2, 1, 1, 6))
    y = instance_normed(convolved(block.conv1, x)) * scale[..., :3] + shift[..., :3]
    y = instance_normed(convolved(block.conv2, leaky(y)))
    expected = x + y * scale[..., 3:] + shift[..., 3:]
    vectors = (jnp.float32(v[:, 0, 0]) for v in (scale, shift))
    np.testing.assert_allclose(block(jnp.float32(x), *vectors), expected, atol=1e-3)


def test_a_maps_layer_norm_is_torchs_and_has_a_slope_everywhere(rng):
    norm = filled(lambda: ImageLayerNorm(3, rngs=nnx.Rngs(0)))
    x = 5 + 3 * rng.normal(size=(2, 4, 2, 3))
    np.testing.assert_allclose(norm(jnp.float32(x)), map_normed(norm, x), atol=1e-4)
    slope = jax.jit(jax.grad(lambda x: norm(x).sum()))(jnp.ones((1, 2, 2, 3)))
    assert np.isfinite(slope).all()
    first = ImageLayerNorm(64, rngs=nnx.Rngs(0)).scale[...]
    assert first.min() >= 0 and 0.7 < first.max() <= 1


def test_a_pyramid_sees_three_dilations(rng):
    pyramid, x = made(Aspp, 4, 6), rng.normal(size=(1, 5, 4, 4))
    seen = [instance_normed(convolved(pyramid.plain, x))]
    for rate, narrow, dilated in zip(
        (3, 6, 9), pyramid.narrow, pyramid.dilated, strict=True
    ):
        assert dilated.dilation == rate
        y = leaky(instance_normed(convolved(narrow, x)))
        seen.append(instance_normed(convolved(dilated, y)))
    expected = instance_normed(convolved(pyramid.fuse, np.concatenate(seen, -1)))
    found = jax.jit(pyramid)(jnp.float32(x))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_an_encoder_quarters_an_image_and_a_decoder_makes_one(rng):
    encoder = made(PrototypeEncoder, parts.PrototypeEncoder(2, blocks=1), 8)
    prototype = jax.jit(encoder)(jnp.float32(rng.normal(size=(2, 16, 8, 3))))
    assert prototype.shape == (2, 4, 2, 8)
    decoder = made(StyleDecoder, parts.StyleDecoder(hidden=4), 8, 16)
    codes = jnp.float32(rng.normal(size=(2, 4, 16)))
    decode = jax.jit(decoder)
    images = decode(prototype, codes)
    assert images.shape == (2, 16, 8, 3)
    for group in range(4):  # every group of codes counts, and for its own image alone
        other = decode(prototype, codes.at[0, group].add(1.0))
        assert np.abs(other - images)[0].max() > 1e-4
        np.testing.assert_array_equal(other[1], images[1])


def test_a_perceptron_is_three_maps(rng):
    layers = filled(lambda: Perceptron(3, 4, 2, rngs=nnx.Rngs(0)))
    x = expected = rng.normal(size=(5, 3))
    for number, linear in enumerate(layers.linears):
        expected = leaky(expected) if number else expected
        expected = mapped(linear, expected)
    np.testing.assert_allclose(layers(jnp.float32(x)), expected, atol=1e-5)


def test_an_image_is_halved_by_what_is_there(rng):
    x = rng.normal(size=(1, 5, 4, 3))
    expected = at_half_size(x)
    assert expected.shape == (1, 3, 2, 3)
    np.testing.assert_allclose(expected[0, 0, 0], x[0, :2, :2].mean((0, 1)))
    np.testing.assert_allclose(expected[0, 1, 1], x[0, 1:4, 1:].mean((0, 1)))
    np.testing.assert_allclose(halved(jnp.float32(x)), expected, atol=1e-5)


@pytest.mark.slow
def test_a_vector_is_a_share_of_the_prototype_and_the_rest_of_the_style(rng):
    """Each of length 1 before; a share above 1 is taken for 1."""
    part = parts.DisentangledNetwork(trunk=ResNet(width=1 / 32), hidden=4, features=3)
    graph, params, stats = state_of(made(CombinedFeatures, part, 5))
    prototypes, styles = rng.normal(size=(2, 8, 4, 8)), rng.normal(size=(2, 32))

    @jax.jit
    def run(share, prototypes, styles):
        layers = nnx.merge(graph, params | {"share": share}, stats)
        maps = layers.trunk(prototypes, jnp.zeros(2, jnp.int32)).maps
        return maps, layers.directions(prototypes, styles)

    for share, content, style in ((0.25, 0.25, 0.75), (1.5, 1, 0)):
        maps, halves = run(*map(jnp.float32, (share, prototypes, styles)))
        assert maps.shape == (2, 2, 1, 32)  # of stage 3, a quarter as high and wide
        for image in range(2):
            pooled = np.asarray(maps[image]).mean((0, 1))
            expected = (
                content * pooled / np.sqrt(np.sum(pooled**2)),
                style * styles[image] / np.sqrt(np.sum(styles[image] ** 2)),
            )
            for half, vector in zip(halves, expected, strict=True):
                np.testing.assert_allclose(half[image], vector, atol=1e-5)


@pytest.mark.slow
def test_slopes_are_those_of_each_sizes_judgements(rng):
    judge = made(MultiscaleDiscriminator, parts.Discriminator(2, blocks=1))
    x, step = jnp.float32(rng.normal(size=(2, 2, 16, 8, 3)))
    judgements, rates = jax.jit(lambda x: jax.jvp(judge, (x,), (step,)))(x)
    assert [j.shape for j in judgements] == [(2, 4, 2, 1), (2, 2, 1, 1), (2, 1, 1, 1)]
    for slope, rate in zip(jax.jit(judge.slopes)(x), rates, strict=True):
        assert abs(rate.sum()) > 1e-3
        np.testing.assert_allclose((slope * step).sum(), rate.sum(), rtol=1e-3)


@pytest.mark.slow
def test_a_penalty_moves_the_discriminator(rng):
    """It is differentiated twice, through convolutions, means and activations."""
    judge = made(MultiscaleDiscriminator, parts.Discriminator(2, blocks=0))
    x = jnp.float32(rng.normal(size=(2, 8, 8, 3)))
    structure, params = nnx.split(judge)
    on = tuple((f"slopes.{number}", 1.0) for number in range(3))

    @jax.jit
    @jax.value_and_grad
    def penalty(params):
        slopes = nnx.merge(structure, params).slopes(x)
        named = {str(number): slope for number, slope in enumerate(slopes)}
        return GradientPenalty(on=on)({"slopes": named}, {})

    def moved(distance):
        return jax.tree.map(lambda p, s: p + distance * s, params, step)

    step = jax.tree.map(lambda p: jnp.float32(rng.normal(size=p.shape)), params)
    products = jax.tree.map(lambda g, s: (g * s).sum(), penalty(params)[1], step)
    found = sum(jax.tree.leaves(products))
    assert abs(found) > 1e-2
    expected = (penalty(moved(1e-4))[0] - penalty(moved(-1e-4))[0]) / 2e-4
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_a_penalty_is_a_mean_of_squared_lengths(rng):
    a, b = rng.normal(size=(2, 3, 2, 2, 3))
    lengths = [sum(v**2 for v in image.ravel()) for image in a]
    others = [sum(v**2 for v in image.ravel()) for image in b]
    on = (("slopes.a", 1.0), ("slopes.b", 0.5))
    outputs = {"slopes": {"a": jnp.float32(a), "b": jnp.float32(b)}}
    found = GradientPenalty(on=on)(outputs, {})
    expected = np.mean(lengths) + 0.5 * np.mean(others)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="weight is -1"):
        GradientPenalty(-1.0).check()


def triplet_of_loops(x, ids, modality, anchors, margin, pull):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    total = 0.0
    for side in (0, 1):
        losses = []
        for i in np.flatnonzero((modality == side) & anchors):
            similar = unit @ unit[i]
            p, n = similar[ids == ids[i]].min(), similar[ids != ids[i]].max()
            squares = (1 + n) ** 2 + (1 - p) ** 2
            losses.append(max(0, margin + n - p) + pull * squares)
        total += np.mean(losses)
    return total


def test_squared_cosine_triplet_is_that_of_loops(rng):
    ids = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    modality = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 1])
    source = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 5])  # the last two are no anchors
    x = rng.normal(size=(10, 5))
    keys = ("ids", "modality", "source")
    batch = dict(zip(keys, map(jnp.asarray, (ids, modality, source)), strict=True))
    term = SquaredCosineTriplet(margin=0.4, pull=0.7)
    expected = triplet_of_loops(x, ids, modality, np.arange(10) < 8, 0.4, 0.7)

    @jax.jit
    @jax.value_and_grad
    def found(x, batch):
        return term({"embeddings": {"v1": x}}, batch)

    for scale in (1, 1e4):
        value, slope = found(jnp.float32(scale * x), batch)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert np.abs(slope).max() > 1e-3 / scale
    order = rng.permutation(10)
    shuffled = {key: value[order] for key, value in batch.items()}
    value, _ = found(jnp.float32(x[order]), shuffled)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for start in (jnp.zeros((10, 5)), jnp.ones((10, 5))):
        assert np.isfinite(found(start, batch)[1]).all()
    alone = batch | {"ids": jnp.zeros(10, batch["ids"].dtype)}
    assert found(jnp.float32(x), alone)[0] == 0
    with pytest.raises(ValueError, match="pull is -1"):
        SquaredCosineTriplet(pull=-1.0).check()
