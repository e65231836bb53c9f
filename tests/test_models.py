"""The network's blocks against naive forms, and its variants' sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import sysu
from jreid import system
from jreid.config import BranchConfig, Config, ModelConfig
from jreid.models.non_local import NonLocal
from jreid.models.pooling import GeM, average_pool, maximum_pool
from jreid.models.resnet import Trunk
from jreid.models.two_stream import Branch, TwoStreamNetwork
from jreid.training.learner import network_structure

STREAMS = ("visible", "infrared")


def tiny(**model) -> Config:
    config = Config(model=ModelConfig(depth=18, width=0.125, non_local_after=()))
    for name, value in model.items():
        setattr(config.model, name, value)
    return config


def build(config, classes=5, seed=0):
    return system.make_network(config, classes, nnx.Rngs(seed))


def parameter_count(network):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))


# By hand: ResNet-50 without fc, a second stem, and five non-local blocks of inner
# width 1, two of 512 and three of 1024 channels, with 3 (C + 1) in theta, phi and g,
# 2 C in the output convolution and 2 C in the BatchNorm.
TRUNK_AND_STEMS = 23_508_032 + 9_536
NON_LOCAL = 2 * (7 * 512 + 3) + 3 * (7 * 1024 + 3)
BRANCH = 2048 + 2048 * 395  # neck scale, classifier
P = 1
BOTTLENECK = (
    (2048 * 1024 + 1024 + 2 * 1024)
    + (1024 * 512 + 512 + 2 * 512)
    + (512 * 512 + 512)
    + 512 * 395
)
COMMON = TRUNK_AND_STEMS + NON_LOCAL


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("base", COMMON + BRANCH + P),
        ("ours1", COMMON + 2 * (BRANCH + P)),
        ("ours2", COMMON + 2 * (BRANCH + P) + BOTTLENECK),
        ("ours3", COMMON + 2 * (BRANCH + P) + BOTTLENECK),
        ("ours4", COMMON + 2 * (BRANCH + P) + BOTTLENECK),
        ("full", COMMON + 2 * (BRANCH + P) + BOTTLENECK),
        ("gem_only", COMMON + BRANCH + P),
        ("average_only", COMMON + BRANCH),
        ("gem_max", COMMON + 2 * BRANCH + P),
        ("gem_average", COMMON + 2 * BRANCH + P),
    ],
)
def test_parameter_counts_on_sysu(variant, expected):
    config = sysu.get_config(variant)
    network = nnx.eval_shape(lambda: system.make_network(config, 395, nnx.Rngs(0)))
    assert parameter_count(network) == expected


@pytest.mark.parametrize(
    ("depth", "expected"),  # torchvision's counts without its fc layer
    [
        (18, 11_689_512 - 513_000),
        (34, 21_797_672 - 513_000),
        (50, 25_557_032 - 2_049_000),
        (101, 44_549_160 - 2_049_000),
    ],
)
def test_trunk_and_one_stem_have_torchvisions_size(depth, expected):
    stem = 9_408 + 128
    trunk = nnx.eval_shape(lambda: Trunk(depth, rngs=nnx.Rngs(0)))
    assert stem + parameter_count(trunk) == expected


def test_maps_have_the_sizes_of_facts():
    maps = nnx.eval_shape(
        lambda x: Trunk(50, width=1 / 64, rngs=nnx.Rngs(0))(x),
        jnp.zeros((1, 72, 36, 1)),
    )
    assert maps.shape == (1, 18, 9, 32)


def test_unknown_depth_block_and_branch_are_refused():
    with pytest.raises(ValueError, match=r"depth is 20; allowed are \[18, 34, 50, 101"):
        build(tiny(depth=20))
    with pytest.raises(ValueError, match="no block 2 in stage 2 of a ResNet-18"):
        build(tiny(non_local_after=("2.2",)))
    branches = (BranchConfig(name="v1", adds="v2"), BranchConfig(name="v2"))
    with pytest.raises(ValueError, match="branch v1 adds 'v2'; allowed are earlier"):
        build(tiny(branches=branches))


def test_non_local_starts_as_the_identity_and_equals_the_n_by_n_form(rng):
    x = jnp.float32(rng.normal(size=(2, 4, 3, 6)))
    block = NonLocal(6, inner_channels=2, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(block(x), x)
    block.bn.scale[...] = jnp.linspace(0.5, 1.5, 6)
    block = nnx.view(block, use_running_average=True)
    theta, phi, g = (
        np.asarray(conv(x)).reshape(2, 12, 2)
        for conv in (block.theta, block.phi, block.g)
    )
    attended = np.stack(
        [t @ p.T / 12 @ v for t, p, v in zip(theta, phi, g, strict=True)]
    )
    expected = block.bn(block.out(jnp.asarray(attended.reshape(2, 4, 3, 2)))) + x
    np.testing.assert_allclose(block(x), expected, atol=1e-6)


@pytest.mark.parametrize("p", [1.0, 3.0, 10.0])
def test_gem_equals_its_formula(rng, p):
    x = jnp.float32(rng.random((2, 4, 3, 6)))
    expected = (np.float64(x) ** p).mean((1, 2)) ** (1 / p)
    np.testing.assert_allclose(GeM(p)(x), expected, rtol=1e-5)
    assert nnx.state(GeM(p, learnable=False), nnx.Param) == {}


def test_a_learned_exponent_below_1_is_average_pooling_with_a_gradient(rng):
    x = jnp.float32(rng.random((2, 4, 3, 6)))
    graphdef, params = nnx.split(GeM())

    def pooled(p):
        return nnx.merge(graphdef, {"p": p})(x)

    for p in (0.9, 0.0, -3.0):
        np.testing.assert_allclose(pooled(jnp.float32(p)), average_pool(x), rtol=1e-5)
        gradient = jax.grad(lambda p: pooled(p).sum())
        expected = gradient(jnp.float32(1.0))
        np.testing.assert_allclose(gradient(jnp.float32(p)), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"p is 0.5; it must be at least 1"):
        GeM(0.5)


def test_gem_lies_between_average_and_maximum(rng):
    x = jnp.float32(rng.random((2, 4, 3, 6)))
    np.testing.assert_allclose(GeM(1.0)(x), average_pool(x), rtol=1e-5)
    np.testing.assert_allclose(GeM(1e4)(x), maximum_pool(x), rtol=1e-3)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1e6])
def test_gem_and_its_gradients_are_finite(scale):
    x = scale * jnp.ones((1, 2, 2, 3)).at[0, 0, 0].set(0.0)
    graphdef, params = nnx.split(GeM(10.0))

    def loss(params, x):
        return nnx.merge(graphdef, params)(x).sum()

    value, grads = jax.value_and_grad(loss, argnums=(0, 1))(nnx.to_pure_dict(params), x)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_second_branch_adds_the_first_embedding(rng):
    network = build(tiny())
    images = jnp.float32(rng.normal(size=(2, 2, 32, 16, 3)))
    outputs = network(images, STREAMS)
    first, second = network.branches["v1"], network.branches["v2"]
    maps = network._shared_maps(images, STREAMS)
    np.testing.assert_allclose(outputs["features"]["v1"], first.pool(maps), rtol=1e-5)
    np.testing.assert_allclose(
        outputs["features"]["v2"],
        outputs["embeddings"]["v1"] + second.pool(maps),
        rtol=1e-4,
        atol=1e-5,
    )
    assert outputs["logits"].keys() == {"v1", "v2", "z1", "z2"}


def test_each_stream_has_its_own_stem_and_rows_go_slot_by_slot(rng):
    network = nnx.view(build(tiny(refined=())), use_running_average=True)
    images = jnp.float32(rng.normal(size=(2, 2, 32, 16, 3)))
    together = network.embed(images, STREAMS)["embeddings"]["v1"]
    for row in range(4):
        slot, column = divmod(row, 2)
        alone = network.embed(
            images[slot : slot + 1, column : column + 1], STREAMS[column : column + 1]
        )
        np.testing.assert_allclose(
            together[row], alone["embeddings"]["v1"][0], rtol=1e-4, atol=1e-5
        )
    swapped = network.embed(images, STREAMS[::-1])["embeddings"]["v1"]
    assert np.abs(swapped - together).max() > 1e-3


def test_refined_branches_share_one_bottleneck(rng):
    network = build(tiny(refined=("v2",)))
    images = jnp.float32(rng.normal(size=(2, 2, 32, 16, 3)))
    outputs = network(images, STREAMS)
    assert outputs["refined"].keys() == {"z2"}
    assert outputs["refined"]["z2"].shape == (4, 512)
    with pytest.raises(ValueError, match="refined branches need a bottleneck"):
        TwoStreamNetwork(
            stems=network.stems,
            trunk=network.trunk,
            branches=[Branch("v1", average_pool)],
            channels=64,
            classes=5,
            refined=("v1",),
            rngs=nnx.Rngs(0),
        )


def test_bfloat16_activations_leave_float32_parameters_and_logits(rng):
    network = build(tiny(bfloat16=True))
    images = jnp.float32(rng.normal(size=(2, 2, 32, 16, 3)))
    assert network._shared_maps(images, STREAMS).dtype == jnp.bfloat16
    outputs = network(images, STREAMS)
    assert {x.dtype for x in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}
    state = nnx.state(network, (nnx.Param, nnx.BatchStat))
    assert {x.dtype for x in jax.tree.leaves(state)} == {jnp.dtype("float32")}


def test_training_and_frozen_structures_hold_the_same_state():
    config = tiny()
    make = functools.partial(system.make_network, config, 5)
    training, frozen = network_structure(make)
    network = build(config)
    params, stats = nnx.state(network, nnx.Param, nnx.BatchStat)
    merged = nnx.merge(frozen, params, stats)
    assert merged.stems["visible"].bn1.use_running_average
    assert (
        not nnx.merge(training, params, stats).stems["visible"].bn1.use_running_average
    )
