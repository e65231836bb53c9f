"""AlignGAN's own losses, layers and turns, against loops."""

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
import tiny
from flax import nnx
from naive_layers import instance_normed, made, spread, zero_padded
from PIL import Image

from jreid.config_files import load
from jreid.losses.cosine_triplet import CosineTriplet
from jreid.losses.image_distance import ImageDistance
from jreid.losses.least_squares import LeastSquares
from jreid.models.aligned import Generator
from jreid.models.modules.aligned import another_identity
from jreid.models.modules.generators import Generator as GeneratorModule
from jreid.models.modules.generators import TransposedConv, instance_norm
from jreid.models.modules.keys import WeightKeys
from jreid.models.modules.translations import normalised, signed
from jreid.run.translations import first_of_people, save_translations
from jreid.training.normalisation import grey_levels, normalise
from jreid.training.state import TrainState


@pytest.mark.slow
@pytest.mark.parametrize("others", ["other modality", "own modality"])
def test_cosine_triplet_is_that_of_loops(others, rng):
    ids, modality = np.repeat([0, 1, 2], 4), np.tile([0, 0, 1, 1], 3)
    x = rng.normal(size=(12, 5))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = 0.0
    for side in (0, 1):
        hinges = []
        for i in np.flatnonzero(modality == side):
            there = modality == (side if others == "own modality" else 1 - side)
            similar = unit @ unit[i]
            positive = min(
                similar[j] for j in range(12) if there[j] and ids[j] == ids[i]
            )
            negative = max(
                similar[j] for j in range(12) if there[j] and ids[j] != ids[i]
            )
            hinges.append(max(0, 0.4 + negative - positive))
        expected += np.mean(hinges)
    batch = {"ids": jnp.asarray(ids), "modality": jnp.asarray(modality)}
    term = CosineTriplet(margin=0.4, others=others)
    for scale in (1, 1e4):
        outputs = {"embeddings": {"v1": jnp.float32(scale * x)}}
        np.testing.assert_allclose(term(outputs, batch), expected, rtol=1e-5)
    slope = jax.grad(lambda x: term({"embeddings": {"v1": x}}, batch))(
        jnp.zeros((12, 5))
    )
    assert np.isfinite(slope).all()


def test_squares_and_distances_of_images_are_those_of_loops(rng):
    arrays = rng.normal(size=(4, 2, 3, 2, 3)).astype(np.float32)
    names = ("a", "b", "c", "d")
    outputs = {"images": dict(zip(names, map(jnp.asarray, arrays), strict=True))}
    on, target = ("images.a", "images.b"), ("images.c", "images.d")
    pairs = zip(arrays[:2].ravel(), arrays[2:].ravel(), strict=True)
    expected = sum(abs(x - y) for x, y in pairs) / arrays[:2].size
    found = ImageDistance(on=on, target=target)(outputs, {})
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    term = LeastSquares(on=(("images.a", 0.25), ("images.b", 0.75)), target=0.5)
    a, b = (np.mean([(v - 0.5) ** 2 for v in x.ravel()]) for x in arrays[:2])
    np.testing.assert_allclose(term(outputs, {}), 0.25 * a + 0.75 * b, rtol=1e-5)
    with pytest.raises(ValueError, match="allowed are as many names as in on, 2"):
        ImageDistance(on=on, target=("images.c",)).check()


def test_transposed_convolution_spreads_each_pixel(rng):
    conv, x = made(TransposedConv, 2, 3), rng.normal(size=(2, 3, 2, 2))
    np.testing.assert_allclose(conv(jnp.float32(x)), spread(conv, x), atol=1e-5)


def test_a_generator_is_that_of_loops(rng):
    generator = made(GeneratorModule, Generator(2, blocks=2))

    def normed(norm, x):
        scale, bias = (np.asarray(p[...]) for p in (norm.scale, norm.bias))
        return instance_normed(x) * scale + bias

    norms, x = list(generator.norms), rng.normal(size=(2, 16, 8, 3))
    assert [len(conv.kernel[...]) for conv in generator.convs] == [7, 4, 4]
    y = x
    for conv, norm in zip(generator.convs, norms[:3], strict=True):
        y = np.maximum(normed(norm, zero_padded(conv, y)), 0)
    assert y.shape == (2, 4, 2, 8)
    for block in generator.blocks:
        z = np.maximum(normed(block.norm1, zero_padded(block.conv1, y)), 0)
        y = y + normed(block.norm2, zero_padded(block.conv2, z))
    for conv, norm in zip(generator.up, norms[3:], strict=True):
        y = np.maximum(normed(norm, spread(conv, y)), 0)
    expected = np.tanh(zero_padded(generator.out, y))
    assert len(generator.blocks) == 2 and np.abs(expected).max() > 0.1
    found = jax.jit(generator)(jnp.float32(x))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_an_image_and_a_channel_have_their_own_statistics(rng):
    x = rng.normal(size=(2, 4, 3, 2)) * 3 + 1
    expected = np.zeros_like(x)
    for image in range(2):
        for channel in range(2):
            own = x[image, :, :, channel]
            expected[image, :, :, channel] = (own - own.mean()) / np.sqrt(
                own.var() + 1e-5
            )
    np.testing.assert_allclose(instance_norm(jnp.float32(x)), expected, atol=1e-5)


def test_wrong_pairs_are_rolled_by_one_identity():
    ids = jnp.asarray([5, 5, 3, 3, 9, 9])
    np.testing.assert_array_equal(another_identity(ids), [2, 3, 4, 5, 0, 1])
    mixed = np.array([1, 2, 1, 1, 2, 3])
    assert (mixed[np.asarray(another_identity(jnp.asarray(mixed)))] != mixed).all()


def test_grey_levels_come_back(rng):
    x = jnp.float32(rng.normal(size=(1, 2, 2, 3)))
    np.testing.assert_allclose(normalised(signed(x)), x, atol=1e-5)


def test_phases_and_players_are_the_released_ones():
    config = load("sysu:aligngan")
    assert [phase.epochs for phase in config.phases] == [50, 100, 101]
    assert {name for phase in config.phases for name in phase.players} == set(
        config.players
    )
    assert narrow.narrow("aligngan").phases[2].players[0] == "encoder"
    config.phases[0].players = ("coder",)
    with pytest.raises(ValueError, match=r"phases.0.players has 'coder'; allowed are"):
        config.check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aligngan", "d2rl_like", "mtgan_like"])
def test_a_picture_shows_images_their_translations_and_back(name, tmp_path):
    config = narrow.narrow(name)
    config.data.root = str(tiny.make_tree(tmp_path / "tree"))
    images = config.data.read().test
    network = config.network.make(3, WeightKeys(0), jnp.float32)
    _, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)
    params, stats = nnx.to_pure_dict(params), nnx.to_pure_dict(stats)
    state = TrainState(jnp.int32(0), params, stats, {}, {})
    path = save_translations(config, tmp_path, state, images, 3)
    assert path is not None and path.name == "translations.png"
    assert save_translations(load("demo"), tmp_path, state, images, 3) is None
    with Image.open(path) as picture:
        shown = np.asarray(picture)
    people = len(np.unique(images.ids))
    assert shown.shape == (34 + 6 * 134, 110 + people * 70, 3)
    cell = shown[34 : 34 + 128, 110:174].astype(int)
    row = first_of_people(images, 0)[0]
    with Image.open(str(images.paths[row])) as first:
        height, width = config.size
        small = first.resize((width, height), Image.Resampling.BILINEAR)
        given = small.resize((64, 128), Image.Resampling.BICUBIC)
    assert np.abs(cell - np.asarray(given)).mean() < 8
    made = shown[34 + 134 : 34 + 134 + 128, 110:174]
    assert np.abs(made - np.asarray(given, int)).mean() > 20  # untrained: noise


def test_grey_levels_are_the_inverse_of_normalising(rng):
    images = rng.integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    found = grey_levels(normalise(jnp.asarray(images)))
    np.testing.assert_array_equal(found, images)
    bright = jnp.full((1, 1, 1, 3), 99.0)
    np.testing.assert_array_equal(grey_levels(bright), 255)
    np.testing.assert_array_equal(grey_levels(-bright), 0)
