"""The Vision Transformer against loops, what it drops, and what is refused."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
from flax import nnx

from jreid.explanation import explain
from jreid.models.embedding import unit_rows
from jreid.models.modules.keys import WeightKeys
from jreid.models.modules.vision_transformer import (
    Attention,
    Patches,
    _without_some,
    gelu,
)
from jreid.models.vision_transformer import VisionTransformer
from jreid.processes.sharding import data_mesh
from jreid.run.frozen import FrozenRun
from jreid.training.build import build_embed
from jreid.training.normalisation import normalise
from jreid.training.objective import make_objective
from jreid.training.state import abstract_params_and_stats, network_structure

PART = VisionTransformer(
    (28, 20), patch=8, stride=6, width=8, blocks=2, heads=2, hidden=12
)
FIELDS = dataclasses.astuple(PART)
STEMS = {"visible": "any", "infrared": "any"}


@functools.cache
def made(fields=FIELDS):
    """The training and the frozen structure, random parameters, new statistics."""
    part = VisionTransformer(*fields)

    def make(rngs):
        return part.make(narrow.CLASSES, rngs, jnp.float32)

    params, stats = abstract_params_and_stats(make, data_mesh())
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: jnp.float32(0.5 * rng.normal(size=x.shape) + (x.ndim == 1)), params
    )
    stats = {"neck": {"mean": jnp.zeros(part.width), "var": jnp.ones(part.width)}}
    return network_structure(make), params, stats


def images(count=4, seed=1):
    shape = (count, *PART.size, 3)
    return jnp.float32(np.random.default_rng(seed).normal(size=shape))


@jax.jit
def vectors(params, x):
    (_, frozen), _, stats = made()
    network = nnx.merge(frozen, params, stats)
    return network.embed({"visible": x}, STEMS)["embeddings"]["v1"]


def test_patches_are_products_with_what_they_cover(rng):
    patches = Patches(PART, dtype=jnp.float32, rngs=nnx.Rngs(0))
    patches.bias[...] = jnp.arange(8.0)
    x = images(2)
    kernel = np.asarray(patches.kernel[...])
    assert PART.grid() == (4, 3)
    expected = np.zeros((2, 12, 8))
    for row in range(4):
        for column in range(3):
            seen = x[:, 6 * row : 6 * row + 8, 6 * column : 6 * column + 8]
            expected[:, 3 * row + column] = np.einsum("bhwc,hwcd->bd", seen, kernel)
    np.testing.assert_allclose(patches(x), expected + np.arange(8.0), atol=1e-5)


def test_attention_is_that_of_loops(rng):
    attention = Attention(PART, dtype=jnp.float32, rngs=nnx.Rngs(0))
    for linear in (attention.qkv, attention.out):
        shape = linear.kernel[...].shape
        linear.kernel[...] = jnp.float32(rng.normal(size=shape))
        assert linear.bias is not None
        linear.bias[...] = jnp.float32(rng.normal(size=shape[1]))
    x = rng.normal(size=(2, 5, 8))
    qkv = x @ np.asarray(attention.qkv.kernel[...]) + np.asarray(attention.qkv.bias)
    heads = np.zeros((2, 5, 8))
    for image in range(2):
        for head in range(2):
            own = slice(4 * head, 4 * head + 4)
            q, k, v = (qkv[image, :, 8 * i : 8 * i + 8][:, own] for i in range(3))
            for token in range(5):
                weights = [math.exp(q[token] @ k[j] / 2) for j in range(5)]
                mean = sum(w * v[j] for j, w in enumerate(weights)) / sum(weights)
                heads[image, token, own] = mean
    expected = heads @ np.asarray(attention.out.kernel[...])
    expected += np.asarray(attention.out.bias)
    np.testing.assert_allclose(attention(jnp.float32(x), None), expected, atol=1e-4)


def test_gelu_is_that_of_the_normal_distribution():
    x = np.linspace(-4, 4, 33)
    expected = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x]
    np.testing.assert_allclose(gelu(jnp.float32(x)), expected, atol=1e-6)


def test_each_image_has_its_own_vector_in_any_order():
    params, x = made()[1], images(4)
    found = vectors(params, x)
    assert found.shape == (4, 8) and np.isfinite(found).all()
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(vectors(params, x[order]), found[order], atol=1e-5)


def test_each_part_changes_the_vectors():
    params, x = made()[1], images()
    whole = vectors(params, x)
    for name in ("class_token", "positions", "patches"):
        without = params | {name: jax.tree.map(jnp.zeros_like, params[name])}
        assert np.abs(vectors(without, x) - whole).max() > 1e-3, name
    for index in range(2):
        for module in ("attention", "perceptron"):
            blocks = dict(params["blocks"])
            own = blocks[index] | {
                module: jax.tree.map(jnp.zeros_like, blocks[index][module])
            }
            without = params | {"blocks": blocks | {index: own}}
            assert np.abs(vectors(without, x) - whole).max() > 1e-3, (index, module)


@functools.partial(jax.jit, static_argnums=0)
def features_of(fields, x, rng=None):
    (graph, _), params, stats = made(fields)
    network = nnx.merge(graph, params, stats)
    return network.embed({"visible": x}, STEMS, rng)["features"]["v1"]


@pytest.mark.slow
def test_dropping_is_random_in_a_step_and_nowhere_else():
    still = dataclasses.replace(PART, dropout=0.0, drop_path=0.0)
    plain = features_of(dataclasses.astuple(still), images())
    keys = [jax.random.key(n) for n in (0, 1, 0)]
    for fields in ({"dropout": 0.3}, {"drop_path": 0.5}):
        part = dataclasses.astuple(dataclasses.replace(still, **fields))
        one, two, again = (features_of(part, images(), key) for key in keys)
        assert np.abs(one - two).max() > 1e-3
        np.testing.assert_array_equal(one, again)
        assert np.abs(one - plain).max() > 1e-3
    np.testing.assert_allclose(features_of(FIELDS, images()), plain, atol=1e-6)


def test_a_skipped_summand_is_skipped_for_whole_images_and_the_mean_stays():
    y = jnp.ones((4000, 2, 3))
    kept = np.asarray(_without_some(y, 0.25, jax.random.key(0)))
    assert ((kept == kept[:, :1, :1]).all(axis=(1, 2))).all()
    assert set(np.unique(kept.round(5))) == {0, np.float32(1 / 0.75).round(5)}
    assert abs(kept.mean() - 1) < 0.05
    part = dataclasses.replace(PART, blocks=5, drop_path=0.2)
    network = nnx.eval_shape(lambda: part.make(2, WeightKeys(0), jnp.float32))
    np.testing.assert_allclose(network.skipped, [0, 0.05, 0.1, 0.15, 0.2])


@pytest.mark.long
def test_every_weight_has_a_gradient_from_pmts_objective():
    config = narrow.narrow("pmt")
    config.network.dropout = config.network.drop_path = 0.0
    (graph, _), params, stats = made(dataclasses.astuple(config.network))
    rng = np.random.default_rng(0)
    shape = (2 * narrow.IDS, *config.size, 3)
    given = {view: jnp.float32(rng.normal(size=shape)) for view in config.views}
    rows = narrow.rows_of(config)
    # as `joined` puts two columns of one length together
    rows |= {
        name: rows[name].reshape(2, -1).T.reshape(-1) for name in ("ids", "modality")
    }
    objective = make_objective(config.objective)

    @jax.jit
    def slopes(params):
        def loss(params):
            network = nnx.merge(graph, params, stats)
            return objective(network(given, STEMS), rows)[0]

        return jax.grad(loss)(params)

    for path, leaf in jax.tree.leaves_with_path(slopes(params)):
        # that of keys' bias is 0: it moves all of a query's products alike
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 1e-9, path


def test_rows_are_in_the_order_of_joined_views():
    (graph, _), params, stats = made()
    one, two = images(4), images(4, 2)

    @jax.jit
    def outputs(one, two):
        network = nnx.merge(graph, params, stats)
        return network({"infrared": two, "visible": one}, STEMS)

    found = outputs(one, two)
    assert {kind: x["v1"].shape for kind, x in found.items()} == {
        "features": (8, 8),
        "embeddings": (8, 8),
        "logits": (8, 5),
    }
    each = [features_of(FIELDS, x) for x in (one, two)]
    expected = np.stack(each, 1).reshape(8, 8)  # visible, infrared, visible ...
    np.testing.assert_allclose(found["features"]["v1"], expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.long)]
)
def test_embedding_is_one_vector(precision):
    config = narrow.narrow("pmt")
    config.precision = precision
    _, params, stats = made(dataclasses.astuple(config.network))
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (4, *config.size, 3), dtype=np.uint8)
    made_of = build_embed(config, narrow.CLASSES)(params, stats, grey, "infrared")
    assert made_of["fused"].shape == (4, 8) and made_of["fused"].dtype == jnp.float32
    lengths = np.linalg.norm(made_of["fused"], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    (_, frozen), *_ = made(dataclasses.astuple(config.network))
    pixels = normalise(jnp.asarray(grey))
    plain = nnx.merge(frozen, params, stats).embed({"infrared": pixels}, STEMS)
    limit = 1e-4 if precision == "float32" else 0.1
    expected = unit_rows(plain["embeddings"]["v1"])
    np.testing.assert_allclose(made_of["fused"], expected, atol=limit)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 3}, "heads is 3; allowed are divisors of the width, 8"),
        ({"patch": 24}, r"size is \(28, 20\); allowed is 24 and more, the patch"),
        ({"blocks": 0}, "blocks is 0; allowed is 1 and more"),
        ({"drop_path": 1.0}, "drop_path is 1.0; allowed is 0 to 0.99"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PART, **fields).check()


def test_heat_maps_are_refused_with_a_sentence():
    unused, run = np.zeros((9, 9, 3), np.uint8), object.__new__(FrozenRun)
    object.__setattr__(run, "config", narrow.narrow("pmt"))
    with pytest.raises(ValueError, match="VisionTransformer with Embedding cannot be"):
        explain(run, unused, "visible", unused, "infrared")


@pytest.mark.torch
def test_pytorch_files_are_refused_by_name():
    pytest.importorskip("torch")
    from jreid.export.torch_network.from_config import network_arguments

    config = narrow.narrow("pmt")
    with pytest.raises(
        ValueError, match="config.network is VisionTransformer.*has not"
    ):
        network_arguments(config, 5)
