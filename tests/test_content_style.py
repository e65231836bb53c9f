"""JSIA-ReID's own layers, turns and gradients, against loops."""

import functools

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
import tiny
from flax import nnx
from naive_layers import (
    at_half_size,
    convolved,
    instance_normed,
    leaky,
    made,
    map_normed,
    mapped,
)

from jreid import parts
from jreid.config_files import load
from jreid.models.content_style import Decoder, StyleEncoder, TwoScales
from jreid.models.modules.content_decoder import StyleDecoder
from jreid.models.modules.keys import WeightKeys
from jreid.models.modules.reflect_conv import torch_reflect_conv
from jreid.models.modules.scales import Scales
from jreid.models.modules.style_encoder import StyleEncoder as Encoder
from jreid.models.multispectral import ThreeScales
from jreid.run.translations import save_translations
from jreid.training.objective import make_objective
from jreid.training.state import TrainState
from jreid.training.subtrees import merged, split_by

IMAGES = ("visible", "infrared")


def test_a_convolution_begins_as_torchs():
    conv = torch_reflect_conv(2, 3, 4, stride=2, rngs=nnx.Rngs(0))
    bias = np.abs(conv.bias[...])
    assert 0 < bias.max() <= 32**-0.5 and np.abs(conv.kernel[...]).max() <= 32**-0.5


def test_a_style_is_that_of_loops(rng):
    encoder, x = made(Encoder, StyleEncoder(2, 3, 5)), rng.normal(size=(2, 16, 8, 3))
    sizes = [conv.kernel[...].shape for conv in encoder.convs]
    assert sizes == [(7, 7, 3, 2), (4, 4, 2, 4), (4, 4, 4, 8), (4, 4, 8, 8)]
    y = x
    for conv in encoder.convs:
        y = np.maximum(convolved(conv, y), 0)
    assert y.shape == (2, 2, 1, 8)
    kernel, bias = (np.asarray(p[...]) for p in (encoder.out.kernel, encoder.out.bias))
    expected = y.mean((1, 2)) @ kernel[0, 0] + bias
    found = jax.jit(encoder)(jnp.float32(x))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_made_image_is_that_of_loops(rng):
    """Of each convolution's numbers the first are the shift, the others the scale."""
    decoder = made(StyleDecoder, Decoder(2, 6), 4, 5)
    content, style = rng.normal(size=(2, 4, 3, 4)), rng.normal(size=(2, 5))
    first, second, last = decoder.perceptron
    numbers = np.maximum(mapped(first, style), 0)
    numbers = mapped(last, np.maximum(mapped(second, numbers), 0))
    assert numbers.shape == (2, 4 * 8)

    def restyled(number, x):
        own = numbers[:, None, None, 8 * number : 8 * number + 8]
        y = instance_normed(convolved(decoder.blocks[number], x))
        return y * own[..., 4:] + own[..., :4]

    x = content
    for block in range(2):
        y = np.maximum(restyled(2 * block, x), 0)
        x = x + restyled(2 * block + 1, y)
    x = np.kron(x, np.ones((1, 2, 2, 1)))
    x = np.maximum(map_normed(decoder.norm, convolved(decoder.up, x)), 0)
    expected = np.tanh(convolved(decoder.out, x))
    assert expected.shape == (2, 8, 6, 3) and np.abs(expected).max() > 0.1
    found = jax.jit(decoder)(jnp.float32(content), jnp.float32(style))
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("part", "count"), [(TwoScales(2, 2), 2), (ThreeScales(2, 2), 3)]
)
def test_judgements_of_every_scale_are_those_of_loops(part, count, rng):
    judge, x = made(Scales, part, count), rng.normal(size=(2, 32, 16, 3))
    found = jax.jit(judge)(jnp.float32(x))
    assert len(found) == len(judge.scales) == count
    for judgement, scale in zip(found, judge.scales, strict=True):
        y = x
        for conv in scale.convs:
            y = leaky(convolved(conv, y), 0.2)
        kernel, bias = (np.asarray(p[...]) for p in (scale.out.kernel, scale.out.bias))
        expected = y @ kernel[0, 0] + bias
        assert expected.shape == (2, len(x[0]) // 4, len(x[0][0]) // 4, 1)
        np.testing.assert_allclose(judgement, expected, rtol=1e-4, atol=1e-4)
        x = at_half_size(x)


@functools.cache
def prepared():
    """A narrow network's parts, images, and what the generators make of them."""
    config = narrow.narrow("jsia")
    network = config.network.make(narrow.CLASSES, WeightKeys(0), jnp.float32)
    graph, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)
    params, stats = nnx.to_pure_dict(params), nnx.to_pure_dict(stats)
    rng = np.random.default_rng(3)
    shape = (2 * narrow.IDS, *config.size, 3)
    images = {m: jnp.float32(rng.normal(size=shape)) for m in IMAGES}
    rows = narrow.rows_of(config)
    order = np.argsort(rows["slot"], kind="stable")  # as joined columns have them
    rows = {k: rows[k][order] for k in ("ids", "modality", "slot")}

    def run(params, player, made):
        network = nnx.merge(graph, params, stats)
        return network(images, dict.fromkeys(IMAGES, "any"), player=player, made=made)

    made = jax.jit(lambda params: run(params, "generators", {}))(params)["images"]
    return config, params, stats, rows, run, made


@pytest.mark.long
@pytest.mark.parametrize("name", ["generators", "discriminators", "encoder"])
def test_every_term_moves_what_its_player_has(name):
    config, params, _, rows, run, made = prepared()
    player = config.players[name]
    mine, others = split_by(player.params, params)
    terms = {
        term: make_objective({term: player.objective[term]})
        for term in player.objective
    }

    @jax.jit
    def slopes(mine):
        def losses(mine):
            outputs = run(merged(mine, others), name, made)
            return {t: term(outputs, rows)[0] for t, term in terms.items()}

        return losses(mine), jax.jacrev(losses)(mine)

    values, found = slopes(mine)
    for term, value in values.items():
        slope = sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(found[term]))
        assert np.isfinite(float(value)) and np.isfinite(slope) and slope > 0, term
    if name == "encoder":
        for term, moves in (("fool", False), ("identity", True)):
            rest = jax.tree.leaves(found[term]["encoder"]["rest"])
            assert any(jnp.abs(x).max() > 0 for x in rest) == moves, term
    if name == "generators":
        at = found["style"]["styles"]["visible"]
        assert max(jnp.abs(x).max() for x in jax.tree.leaves(at["encoder"])) > 0


@pytest.mark.long
def test_made_images_are_of_ones_content_and_the_others_style():
    config, params, stats, _, run, made = prepared()
    outputs = jax.jit(lambda p: run(p, "generators", {}))(params)
    sizes = {k: x.shape for k, x in outputs["images"].items()}
    assert set(sizes.values()) == {(2 * narrow.IDS, *config.network.size, 3)}
    changed = jax.tree.map(lambda x: x, params)
    changed["styles"]["infrared"] = jax.tree.map(
        lambda x: x * 1.5, params["styles"]["infrared"]
    )
    other = jax.jit(lambda p: run(p, "generators", {}))(changed)["images"]
    moved = {k for k, x in made.items() if np.abs(x - other[k]).max() > 1e-6}
    # the visible decoder reconstructs infrared images, of the infrared style
    assert {"made_infrared", "same_infrared", "cycle_infrared"} <= moved
    assert not moved & {"visible", "infrared", "made_visible", "same_visible"}


def test_phases_and_players_are_the_released_ones():
    for name, alone, rate, by in (
        ("jsia", 600, 1e-4, "visible"),
        ("jsia_paper", 100, 2e-4, "infrared"),
    ):
        config = load(f"sysu:{name}")
        assert [phase.epochs for phase in config.phases] == [alone, 50]
        assert config.phases[0].players == ("generators", "discriminators")
        assert config.players["generators"].optimizer.lr == rate
        assert config.network.reconstructs == by
    config.network.reconstructs = "thermal"
    with pytest.raises(ValueError, match="reconstructs is 'thermal'; allowed are vis"):
        config.network.check()
    config.network.reconstructs, config.network.size = "visible", (24, 12)
    with pytest.raises(ValueError, match=r"size is \(24, 12\); allowed are even sides"):
        parts.check(config)


@pytest.mark.long
def test_a_picture_of_translations_is_written(tmp_path):
    config, params, stats, *_ = prepared()
    config.data.root = str(tiny.make_tree(tmp_path / "tree"))
    images = config.data.read().test
    state = TrainState(jnp.int32(0), params, stats, {}, {})
    path = save_translations(config, tmp_path, state, images, narrow.CLASSES)
    assert path is not None and path.stat().st_size > 1000
