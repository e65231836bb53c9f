"""Blocks, adapters and pools of published systems against naive NumPy, and counts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from one_program import run

from jreid.losses.swapped_teacher import swapped_logits
from jreid.models.adapters import Decoder, Encoder, GreyCopy, PixelAdapter
from jreid.models.channel_attention import ChannelSelfAttention
from jreid.models.context_gate import ContextGate
from jreid.models.expansion import DiverseExpansion
from jreid.models.gates import ConvolutionalAttention, EnergyGate, ModalityAlleviation
from jreid.models.graph_attention import GraphAttention
from jreid.models.modality_heads import ModalityClassifier
from jreid.models.modality_norm import ModalityNorm, PairExchange
from jreid.models.modules.graph_attention import dropped
from jreid.models.modules.layers import BatchNorm
from jreid.models.multilevel_fusion import MultilevelFusion
from jreid.models.part_attention import WeightedParts
from jreid.models.part_classifiers import PartClassifiers
from jreid.models.perceptrons import Discriminator, HiddenClassifier
from jreid.models.pooling import Maximum
from jreid.models.prototype_pool import MaskPool, PrototypePool

MODALITY = np.array([0, 1, 1, 0, 0, 1], np.int32)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(part, channels=8):
    return part.make(channels, nnx.Rngs(0), jnp.float32)


def count(module):
    return sum(x.size for x in jax.tree.leaves(nnx.state(module, nnx.Param)))


def shaken(module):
    """The module with random weights, so that nothing starts as the identity."""
    graphdef, params, rest = nnx.split(module, nnx.Param, ...)
    leaves, treedef = jax.tree.flatten(params)
    leaves = [jnp.asarray(draw(*x.shape, seed=k)) for k, x in enumerate(leaves)]
    return nnx.merge(graphdef, jax.tree.unflatten(treedef, leaves), rest)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def close(ours, expected, tolerance=1e-5):
    np.testing.assert_allclose(
        np.asarray(ours), expected, rtol=tolerance, atol=tolerance
    )


BLOCKS = {
    "fusion": MultilevelFusion(),
    "gate": ContextGate(masks=3),
    "channel_attention": ChannelSelfAttention(),
    "alleviation": ModalityAlleviation(reduction=2),
    "convolutional": ConvolutionalAttention(reduction=2, kernel=3),
    "modality_norm": ModalityNorm(),
    "exchange": PairExchange(threshold=0.8),
    "expansion": DiverseExpansion(dropout=0.0),
    "expansion_attended": DiverseExpansion(
        dropout=0.0, between=ConvolutionalAttention(reduction=1, kernel=3)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_every_weight_of_a_block_has_a_gradient(name):
    module = made(BLOCKS[name])
    module = nnx.view(
        shaken(module), use_running_average=True, raise_if_not_found=False
    )
    graphdef, params, stats = nnx.split(module, nnx.Param, nnx.BatchStat)
    params, stats = nnx.to_pure_dict(params), nnx.to_pure_dict(stats)
    x, low = jnp.asarray(draw(6, 4, 2, 8)), jnp.asarray(draw(6, 4, 2, 4, seed=1))
    modality = jnp.asarray(MODALITY)

    def loss(params):
        block = nnx.merge(graphdef, params, stats)
        out = block(x, modality, stage_input=low)
        return jnp.sum(jnp.sin(out[0] if isinstance(out, tuple) else out))

    gradient = jax.jit(jax.grad(loss))(params)
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path


@pytest.mark.parametrize("name", ["fusion", "gate", "channel_attention"])
def test_block_starts_as_the_identity(name):
    x, low = jnp.asarray(draw(2, 4, 2, 8)), jnp.asarray(draw(2, 4, 2, 4, seed=1))
    close(run(made(BLOCKS[name]), x, None, stage_input=low), x)


def test_folded_attention_is_the_attention_of_reshaped_maps():
    """[c, n] read as [2 c, n / 2], with loops over places."""
    module = shaken(made(MultilevelFusion())).position
    high, low = jnp.asarray(draw(2, 4, 2, 8)), jnp.asarray(draw(2, 4, 2, 4, seed=1))
    module.bn.use_running_average = True
    theta, phi, g = (
        np.asarray(conv(x)).reshape(2, 8, -1)
        for conv, x in ((module.theta, high), (module.phi, low), (module.g, low))
    )
    y = np.zeros_like(theta)
    for r in range(2):
        a, b, v = (m[r].T.reshape(4, 4) for m in (theta, phi, g))
        out = np.zeros((4, 4))
        for i, j in itertools.product(range(4), range(4)):
            out[:, i] += (a[:, i] @ b[:, j]) / 4 * v[:, j]
        y[r] = out.reshape(2, 8).T
    expected = module.bn(module.out(jnp.asarray(y).reshape(2, 4, 2, 2))) + high
    close(run(module, high, low), expected, 1e-4)


def test_odd_maps_cannot_be_folded():
    high, low = jnp.asarray(draw(1, 3, 3, 8)), jnp.asarray(draw(1, 3, 3, 4))
    with pytest.raises(ValueError, match="3 x 3 cannot be folded"):
        made(MultilevelFusion())(high, stage_input=low)
    made(MultilevelFusion(folded=False))(high, stage_input=low)


def test_channel_attention():
    module = made(ChannelSelfAttention(), 5)
    module.gamma[...] = jnp.float32(0.7)
    x = draw(2, 3, 2, 5)
    expected = np.empty_like(x)
    for r in range(2):
        rows = x[r].reshape(-1, 5).T
        energy = rows @ rows.T
        weights = np.exp(-(energy - energy.min(1, keepdims=True)))
        weights /= weights.sum(1, keepdims=True)
        expected[r] = ((0.7 * weights @ rows) + rows).T.reshape(3, 2, 5)
    close(run(module, jnp.asarray(x)), expected)


def test_context_gate():
    module = shaken(made(ContextGate(masks=3)))
    for bn in (module.gate_bn, module.bn):
        bn.use_running_average = True
    x, root = draw(2, 4, 3, 8), np.sqrt(1 + 1e-5)
    kernel, bias = np.asarray(module.mask.kernel)[0, 0], np.asarray(module.mask.bias)
    ours, weights = run(module, jnp.asarray(x)), np.asarray(module.weights[...])
    gate_bn, bn = (
        [np.asarray(norm.scale[...]), np.asarray(norm.bias[...])]
        for norm in (module.gate_bn, module.bn)
    )
    for r in range(2):
        places = x[r].reshape(-1, 8)
        seen = np.zeros(8)
        for m in range(3):
            mask = softmax(np.array([p @ kernel[:, m] + bias[m] for p in places]))
            context = sum(share * p for share, p in zip(mask, places, strict=True))
            seen += weights[:, m] * context
        gate = sigmoid(seen / root * gate_bn[0] + gate_bn[1])
        close(ours[r], x[r] * gate / root * bn[0] + bn[1] + x[r], 1e-4)


def test_expansion():
    """By loops over places, taps and dilations; made rows follow their own."""
    module, x = shaken(made(DiverseExpansion(dropout=0.0))), draw(2, 4, 3, 8)
    ours, source, copies = run(module, jnp.asarray(x))
    np.testing.assert_array_equal(source, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(copies, [0, 1, 2, 0, 1, 2])
    close(ours[::3], x)
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    for number, expander in enumerate(module.expanders):
        mean = np.zeros((2, 4, 3, 2))
        for dilation, conv in enumerate(expander.convs, 1):
            kernel = np.asarray(conv.kernel[...])
            for i, j, a, b in itertools.product(*map(range, (4, 3, 3, 3))):
                at = 3 + i + (a - 1) * dilation, 3 + j + (b - 1) * dilation
                mean[:, i, j] += padded[:, at[0], at[1]] @ kernel[a, b] / 3
        out, bias = (
            np.asarray(p[...]) for p in (expander.out.kernel, expander.out.bias)
        )
        close(ours[1 + number :: 3], np.maximum(mean, 0) @ out[0, 0] + bias, 1e-4)


def test_modality_alleviation():
    module = shaken(made(ModalityAlleviation(reduction=2)))
    x = draw(2, 4, 3, 8)
    ours = run(module, jnp.asarray(x))
    first, second = (np.asarray(c.kernel[0, 0]) for c in (module.first, module.second))
    for r in range(2):
        mean, std = x[r].mean((0, 1)), np.sqrt(x[r].var((0, 1)) + 1e-5)
        m = sigmoid(np.maximum(mean @ first, 0) @ second)
        close(ours[r], x[r] * m + (x[r] - mean) / std * (1 - m))


def test_energy_gate():
    x = draw(2, 4, 3, 5)
    mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), ddof=1, keepdims=True)
    gate = sigmoid((x - mean) ** 2 / (4 * (var + 1e-4)) + 0.5)
    close(made(EnergyGate())(jnp.asarray(x)), x * gate)
    place = x[:, :1, :1]
    close(made(EnergyGate())(jnp.asarray(place)), place * sigmoid(0.5))


def test_convolutional_attention():
    module = shaken(made(ConvolutionalAttention(reduction=2, kernel=3)))
    x = draw(1, 4, 3, 8)
    first, second = (np.asarray(c.kernel[0, 0]) for c in (module.first, module.second))
    gate = sum(
        np.maximum(m @ first, 0) @ second for m in (x[0].max((0, 1)), x[0].mean((0, 1)))
    )
    y = x[0] * sigmoid(gate)
    seen = np.pad(np.stack([y.max(-1), y.mean(-1)], -1), ((1, 1), (1, 1), (0, 0)))
    kernel = np.asarray(module.spatial.kernel[...])[..., 0]
    spatial = np.array(
        [
            [(seen[i : i + 3, j : j + 3] * kernel).sum() for j in range(3)]
            for i in range(4)
        ]
    )
    spatial = sigmoid(spatial + float(module.spatial.bias[0]))
    close(run(module, jnp.asarray(x))[0], y * spatial[..., None] + x[0], 1e-4)


@pytest.mark.parametrize("shape", [(6, 8), (6, 3, 2, 8)])
def test_modality_norm_is_a_batchnorm_for_each_modality(shape):
    module = shaken(made(ModalityNorm()))
    x = 3 * draw(*shape) + 1
    ours = np.asarray(run(module, jnp.asarray(x), jnp.asarray(MODALITY)))
    for m in (0, 1):
        single = BatchNorm(8, rngs=nnx.Rngs(0))
        single.scale[...] = module.scale[m]
        single.bias = nnx.Param(module.bias[m])
        own = jnp.asarray(x[m == MODALITY])
        close(ours[m == MODALITY], run(single, own), 1e-4)
        close(module.mean[m], single.mean[...])
        close(module.var[m], single.var[...])
        frozen = nnx.view(module, use_running_average=True)
        single.use_running_average = True
        rows = run(frozen, jnp.asarray(x), jnp.full(6, m, jnp.int32))
        close(rows, run(single, jnp.asarray(x)), 1e-4)


def test_modality_norm_keeps_the_statistics_of_an_absent_modality():
    module = made(ModalityNorm())
    run(module, jnp.asarray(5 + draw(6, 8)), jnp.zeros(6, jnp.int32))
    assert (np.asarray(module.mean[1]) == 0).all() and (module.var[1] == 1).all()
    assert (np.asarray(module.mean[0]) > 0.3).all()


def test_pair_exchange():
    module = made(PairExchange(threshold=0.7))
    scale = draw(2, 8)
    module.norm.scale[...] = jnp.asarray(scale)
    x, modality = jnp.asarray(draw(6, 3, 2, 8)), jnp.asarray(MODALITY)
    own = np.asarray(made_norm(module, x, modality))
    pairs = {0: 1, 1: 0, 2: 3, 3: 2, 4: 5, 5: 4}  # k-th visible, k-th infrared
    ours = np.asarray(run(module, x, modality))
    for row, channel in itertools.product(range(6), range(8)):
        strong = abs(scale[MODALITY[row], channel]) >= 0.7
        from_row = row if strong else pairs[row]
        close(ours[row, ..., channel], own[from_row, ..., channel])


def made_norm(module, x, modality):
    norm = made(ModalityNorm())
    norm.scale[...] = module.norm.scale[...]
    return run(norm, x, modality)


def test_pair_exchange_in_a_test():
    x = draw(3, 3, 2, 8)
    module = made(PairExchange(threshold=0.7))
    scale = draw(2, 8)
    module.norm.scale[...] = jnp.asarray(scale)
    maps = jnp.asarray(x)
    visible, infrared = (jnp.full(3, m, jnp.int32) for m in (0, 1))
    frozen = nnx.view(module, use_running_average=True)
    root = np.sqrt(1 + 1e-5)
    strong = np.abs(scale[0]) >= 0.7
    close(run(frozen, maps, infrared), x * scale[1] / root)
    mixed = np.where(strong, x * scale[0] / root, x * scale[1] / root)
    close(run(frozen, maps, visible), mixed)
    released = made(PairExchange(threshold=0.7, released_test=True))
    released.norm.scale[...] = jnp.asarray(scale)
    released = nnx.view(released, use_running_average=True)
    close(run(released, maps, infrared), mixed)


def test_classifier_of_the_rows_modality():
    module = ModalityClassifier().make(8, 5, nnx.Rngs(0), jnp.float32)
    x, kernel = draw(6, 8), np.asarray(module.kernel[...])
    arguments = jnp.asarray(x), jnp.asarray(MODALITY)
    own = module(*arguments)
    other = swapped_logits(arguments[0], module.kernel[...], arguments[1])
    for row, m in enumerate(MODALITY):
        close(own[row], x[row] @ kernel[m])
        close(other[row], x[row] @ kernel[1 - m])


def test_each_part_has_its_own_classifier():
    module = PartClassifiers(parts=2).make(8, 5, nnx.Rngs(0))
    x, kernel = draw(6, 8), np.asarray(module.kernel[...])
    assert kernel.shape == (2, 4, 5) and not np.asarray(module.scores[...]).any()
    logits = module(jnp.asarray(x))
    assert logits.shape == (6, 2, 5)
    for row in range(6):
        close(logits[row, 0], x[row, :4] @ kernel[0])
        close(logits[row, 1], x[row, 4:] @ kernel[1])


def test_a_discriminator_learns_what_its_maps_unlearn():
    part = Discriminator((16, 12), outputs=1, reversal=0.05, pool=Maximum())
    module, x = made(part), draw(6, 3, 2, 8)
    assert count(module) == 8 * 16 + 16 + 16 * 12 + 12 + 12 + 1

    def by_hand(x):
        y = x.max((1, 2))
        for number, layer in enumerate(module.perceptron.layers):
            y = y @ np.asarray(layer.kernel) + np.asarray(layer.bias)
            y = np.maximum(y, 0) if number < 2 else y
        return y

    def told(factor):
        module.reversal = factor
        graphdef, params = nnx.split(module, nnx.Param)

        def total(params, x):
            logits = nnx.merge(graphdef, params)(x)
            return logits.sum(), logits

        slopes = jax.jit(jax.grad(total, (0, 1), has_aux=True))
        return slopes(nnx.to_pure_dict(params), jnp.asarray(x))

    (own, back), logits = told(0.05)
    (again, once), _ = told(1.0)
    close(logits, by_hand(x))
    jax.tree.map(close, own, again)
    close(20 * back, once)
    descended = x - 0.01 * np.asarray(once)
    assert by_hand(descended).sum() > by_hand(x).sum()


def test_weighted_parts():
    module, x = shaken(made(WeightedParts(parts=3))), draw(2, 6, 2, 8)
    linear = [
        (np.asarray(conv.kernel)[0, 0], np.asarray(conv.bias))
        for conv in (module.query, module.key, module.value)
    ]
    gate, expected = softmax(np.asarray(module.gate)), np.zeros((2, 8))
    for row, part in itertools.product(range(2), range(3)):
        means = [x[row, 2 * i : 2 * i + 2].mean((0, 1)) for i in range(3)]
        q, k, v = ([mean @ w + b for mean in means] for w, b in linear)
        weights = softmax(np.array([q[part] @ other for other in k]))
        for weight, value in zip(weights, v, strict=True):
            expected[row] += gate[part] * weight * value
    close(jax.jit(lambda x: module(x))(jnp.asarray(x)), expected, 1e-4)


def test_graph_attention():
    """Of five classes; loops over heads, rows and their neighbours, without dropout."""
    part = GraphAttention(heads=2, features=3, dropout=0.0)
    module = shaken(part.make(8, 5, nnx.Rngs(0)))
    assert count(module) == 2 * (8 * 3 + 6) + 6 * 5 + 10
    x, ids = 0.3 * draw(6, 8), np.array([0, 1, 0, 2, 1, 0])

    def layer(x, layer):
        heads = []
        kernels, vectors = np.asarray(layer.kernel), np.asarray(layer.attention)
        for kernel, a in zip(kernels, vectors[..., 0], strict=True):
            h, out = x @ kernel, np.zeros((6, kernel.shape[1]))
            for i in range(6):
                near = [j for j in range(6) if ids[i] == ids[j]]
                e = [np.concatenate([h[i], h[j]]) @ a for j in near]
                weights = softmax(np.array([s if s > 0 else 0.2 * s for s in e]))
                for weight, j in zip(weights, near, strict=True):
                    out[i] += weight * h[j]
            heads.append(out)
        y = np.concatenate(heads, axis=1)
        return np.where(y > 0, y, np.expm1(np.minimum(y, 0)))

    expected = layer(layer(x, module.first), module.last)
    graph = jax.jit(lambda x, ids: module(x, ids))
    close(graph(jnp.asarray(x), jnp.asarray(ids)), expected, 1e-4)


def test_dropout_leaves_out_its_share():
    ones = dropped(jnp.ones((400, 400)), 0.2, jax.random.key(0))
    assert {0.0, 1.25} == set(np.unique(ones)) and abs(float(ones.mean()) - 1) < 0.01


def test_a_hidden_classifier():
    module, x = HiddenClassifier((6,)).make(8, 5, nnx.Rngs(0)), draw(3, 8)
    first, last = ((np.asarray(m.kernel), np.asarray(m.bias)) for m in module.layers)
    hidden = np.maximum(x @ first[0] + first[1], 0)
    logits = jax.jit(lambda x: module(x))(jnp.asarray(x))
    close(logits, hidden @ last[0] + last[1])


def test_adapters_by_hand_and_their_counts():
    x = draw(2, 4, 3, 3)
    adapter = PixelAdapter().make(nnx.Rngs(0), jnp.float32)
    grey = np.maximum(0.333 * x.sum(-1, keepdims=True), 0)
    close(run(adapter, jnp.asarray(x)), np.repeat(0.333 * grey, 3, axis=-1))
    encoder = Encoder().make(nnx.Rngs(0), jnp.float32)
    decoder = Decoder().make(nnx.Rngs(0), jnp.float32)
    code = 0.333 * grey
    code = (code - code.mean()) / np.sqrt(code.var() + 1e-5)
    expected = np.maximum(np.repeat(0.333 * code, 3, axis=-1), 0)
    close(run(decoder, run(encoder, jnp.asarray(x))), expected, 1e-4)
    assert count(adapter) == 10
    assert 2 * count(encoder) + count(decoder) == 22  # MMN's


def test_grey_copy():
    x = draw(2, 4, 3, 3)
    grey = 0.2989 * x[..., :1] + 0.587 * x[..., 1:2] + 0.114 * x[..., 2:]
    copy = GreyCopy().make(nnx.Rngs(0), jnp.float32)
    close(copy(jnp.asarray(x)), np.repeat(grey, 3, axis=-1))


def mask_scores(module, vector, place):
    kernel, bias = np.asarray(module.conv.kernel[0, 0]), np.asarray(module.conv.bias)
    return [vector @ kernel[:, m] + bias[m] for m in range(3)]


def prototype_scores(module, vector, place):
    """Places are numbered row by row."""
    moved = vector + np.asarray(module.positions[place])
    return [moved @ np.asarray(prototype) for prototype in module.prototypes[...]]


def test_pools_of_parts():
    x = np.abs(draw(2, 4, 3, 8))
    maps = jnp.asarray(x)
    for part, scores in (
        (MaskPool(masks=3), mask_scores),
        (PrototypePool(prototypes=3, size=(4, 3)), prototype_scores),
    ):
        module = shaken(made(part))
        masks, vector = np.zeros((2, 4, 3, 3)), module(maps)
        for image, row, column in np.ndindex(2, 4, 3):
            at = scores(module, x[image, row, column], 3 * row + column)
            masks[image, row, column] = [sigmoid(score) for score in at]
        close(module.masks(maps), masks)
        assert vector.shape == (2, part.width(8)) == (2, 32)
        parts = [(x * masks[..., [m]]).mean((1, 2)) for m in range(3)]
        close(vector, np.concatenate([*parts, x.mean((1, 2))], axis=1))
    with pytest.raises(ValueError, match="size of the pool"):
        module(maps[:, :2])


def test_counts_of_published_modules():
    """At the published widths, counted in the released code."""
    sizes = {
        "masks": (MaskPool(6), 2048, 12_294),
        "prototypes_6": (PrototypePool(6), 2048, 344_064),
        "prototypes_7": (PrototypePool(7), 2048, 346_112),
        "expansion": (DiverseExpansion(), 1024, 14_682_112),
        "fusion_1": (MultilevelFusion(ratio=4), 256, 63_264),
        "fusion_2": (MultilevelFusion(), 512, 594_048),
        "fusion_3": (MultilevelFusion(), 1024, 2_367_744),
    }
    for name, (part, channels, expected) in sizes.items():
        found = nnx.eval_shape(lambda p=part, c=channels: made(p, c))
        assert count(found) == expected, name
