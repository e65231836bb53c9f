"""AlignGAN's encoder and classifier, and the map they are judged by, as released."""

import functools
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
from flax import nnx
from test_aligned_turns import structure, views

from jreid.config_files import load
from jreid.models.aligned import AlignedNetwork, PatchDiscriminator
from jreid.models.modules import aligned, generators
from jreid.models.modules.aligned import Embedder, Encoder
from jreid.models.modules.pooling import average_pool
from jreid.models.modules.translations import signed
from jreid.training.subtrees import split_by

TURNS = {"encoder": ("visible", "infrared"), "generators": ("infrared", "visible")}
"""Player -> whose images pass the encoder first, visible ones as made infrared."""


def interpolated(x, height, width):
    """Each pixel's two by two neighbours by their nearness, at the edge the last one's.

    However much smaller the result is.
    """
    out = np.zeros((len(x), height, width, x.shape[3]))
    for row in range(height):
        for column in range(width):
            weights = []
            for i, new, old in ((row, height, x.shape[1]), (column, width, x.shape[2])):
                at = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
                low = int(at)
                weights.append(((low, 1 - at + low), (min(low + 1, old - 1), at - low)))
            for i, up in weights[0]:
                for j, across in weights[1]:
                    out[:, row, column] += up * across * x[:, i, j]
    return out


def stem_of_size(height, width):
    """An encoder whose map is what its stem is given."""
    seen: Any = SimpleNamespace(
        size=(height, width),
        stem=lambda x: x,
        trunk=lambda x, _: SimpleNamespace(maps=x),
    )
    return functools.partial(Encoder.__call__, seen)


def as_imagenets(images):
    """Of images in [-1, 1], in ImageNet's means and standard deviations."""
    means, stds = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    channels = [
        ((images[..., i] + 1) / 2 - mean) / std
        for i, (mean, std) in enumerate(zip(means, stds, strict=True))
    ]
    return np.stack(channels, axis=-1)


def test_the_encoder_is_given_larger_images_normalised_as_imagenets(rng):
    images = rng.uniform(-1, 1, (2, 4, 4, 3))
    found = stem_of_size(7, 5)(jnp.float32(images))
    expected = as_imagenets(interpolated(images, 7, 5))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_test_vector_is_of_normalised_images_too(rng):
    """The generator makes negatives."""
    network: Any = SimpleNamespace(
        encoder=stem_of_size(4, 2),
        embedder=SimpleNamespace(linear=lambda x: x),
        generators={"infrared": lambda x: -x},
    )
    images = rng.uniform(-1, 1, (2, 4, 2, 3))
    given = jnp.float32(as_imagenets(images))
    for modality, shown in (("infrared", images), ("visible", -images)):
        found = aligned.AlignedNetwork.embed(
            network, {modality: given}, {modality: "any"}, modality={}
        )
        expected = as_imagenets(shown).mean((1, 2))[:, None].repeat(2, axis=1)
        np.testing.assert_allclose(found["features"]["v1"], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 6), (3, 2)])  # of the map: smaller, then larger
def test_a_map_joins_the_image_after_its_activation(size, rng):
    part = PatchDiscriminator(channels=2, levels=2, joined=3)
    judge = generators.PatchDiscriminator(part, 5, dtype=jnp.float32, rngs=nnx.Rngs(0))
    first, second, third = judge.convs
    assert judge.join is not None
    image = jnp.float32(rng.normal(size=(2, 8, 8, 3)))
    maps = rng.normal(size=(2, *size, 5))

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x)

    x = leaky(np.asarray(first(image)))
    joined = leaky(maps @ np.asarray(judge.join.kernel[...])[0, 0])
    x = np.concatenate([x, interpolated(joined, 4, 4)], axis=3)
    for conv in (second, third):
        x = conv(jnp.float32(x))
        x = leaky(np.asarray(generators.instance_norm(x)))
    expected = judge.out(jnp.float32(x))
    np.testing.assert_allclose(judge(image, jnp.float32(maps)), expected, atol=1e-5)


def test_the_classifier_begins_as_the_released_one():
    part = AlignedNetwork()
    embedder = Embedder(part, 2048, 395, rngs=nnx.Rngs(0))
    hidden, norm, last = embedder.hidden, embedder.norm, embedder.classifier
    assert hidden.kernel.shape == (2048, 256) and last.kernel.shape == (256, 395)
    for weights, mean, std in (
        (hidden.kernel, 0, (2 / 256) ** 0.5),  # kaiming's by the width that comes out
        (norm.scale, 1, 0.02),
        (last.kernel, 0, 0.001),
    ):
        values = np.asarray(weights[...])
        error = 5 * std / values.size**0.5
        np.testing.assert_allclose(values.mean(), mean, atol=error)
        np.testing.assert_allclose(values.std(), std, atol=error)
        assert np.abs(values - mean).max() > 2 * std  # normal, not uniform
    for zero in (hidden.bias, norm.bias, last.bias):
        assert zero is not None and not zero[...].any()
    # that of the triplets is PyTorch's own
    assert 0.99 < np.abs(embedder.linear.kernel[...]).max() * 2048**0.5 <= 1


@functools.cache
def turn(player):
    """Outputs without dropout, and the statistics afterwards."""
    _, graph, params, stats = structure()

    @jax.jit
    def run(params):
        network = nnx.merge(graph, params, stats)
        ids = dict.fromkeys(views(), jnp.repeat(jnp.arange(narrow.IDS), 2))
        stems = dict.fromkeys(views(), "any")
        outputs = network(views(), stems, ids=ids, player=player, made={})
        return outputs, nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))

    return run(params)


@functools.cache
def passes(order):
    """Of each modality's images the heads' outputs, and the statistics afterwards."""
    _, graph, params, stats = structure()

    @jax.jit
    def run(params):
        network, found = nnx.merge(graph, params, stats), {}
        for modality in order:
            x = signed(views()[modality])
            x = network.generators["infrared"](x) if modality == "visible" else x
            pooled = average_pool(network.encoder(x))
            found[modality] = {
                "features": pooled,
                "embeddings": network.embedder.linear(pooled),
                "logits": network.embedder.logits(pooled, None),
            }
        return found, nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))

    return run(params)


def assert_alike(one, other):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), one, other
    )


@pytest.mark.slow
@pytest.mark.parametrize("player", TURNS)
def test_made_and_real_images_have_batch_statistics_of_their_own(player):
    """Rows are in turns a visible image's and an infrared one's, whoever is first."""
    (outputs, stats), (found, expected) = turn(player), passes(TURNS[player])
    assert_alike(stats, expected)
    for kind in ("features", "embeddings", "logits"):
        rows = np.asarray(outputs[kind]["v1"])
        assert_alike(rows[0::2], found["visible"][kind])
        assert_alike(rows[1::2], found["infrared"][kind])
    (_, before), (_, other) = (structure()[2:], passes(TURNS[player][::-1]))
    for unlike in (before, other):
        one, two = (tree["embedder"]["norm"]["mean"] for tree in (stats, unlike))
        assert np.abs(one - two).max() > 1e-4


@pytest.mark.slow
def test_the_encoder_guides_the_generators_alone_as_in_the_joint_phase():
    (alone, stats), (joint, expected) = turn("generators_alone"), turn("generators")
    assert_alike(stats, expected)
    for kind in ("features", "embeddings", "logits"):
        assert_alike(alone[kind], joint[kind])
    players = load("sysu:aligngan").players
    alone, joint = (
        dict(players[name].objective) for name in ("generators_alone", "generators")
    )
    assert alone.pop("fool").on == "judgements.made"
    assert joint.pop("fool").on == "judgements.made_with_real"
    assert alone == joint
    assert alone["triplet"].weight == 0.1
    # of as many made as real images, of which the latter move no generator
    assert alone["identity"].weight / 2 == 0.1


def test_the_phases_discriminators_are_apart():
    config = load("sysu:aligngan")
    assert [phase.players for phase in config.phases] == [
        ("encoder_alone",),
        ("generators_alone", "visible_alone", "infrared_alone"),
        ("encoder", "generators", "visible", "infrared"),
    ]
    names = ("visible_alone", "infrared_alone", "visible", "infrared")
    *_, params, _ = structure()
    assert set(params["discriminators"]) == set(names)
    for name in names:
        mine, _ = split_by(config.players[name].params, params)
        assert list(mine) == ["discriminators"]
        assert list(mine["discriminators"]) == [name]
