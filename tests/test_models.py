"""The network's blocks against naive forms, and the sizes of the paper's rows."""

import jax
import jax.numpy as jnp
import numpy as np
import paper_parts
import pytest
from flax import nnx
from one_program import call

from jreid.config_files import load
from jreid.models.bottleneck import Bottleneck
from jreid.models.channel_attention import ChannelSelfAttention
from jreid.models.modality_heads import ModalityClassifier
from jreid.models.modules.heads import BranchHead
from jreid.models.modules.keys import WeightKeys
from jreid.models.non_local import NonLocal
from jreid.models.pooling import Average, GeM, Maximum, Stripe
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, Project, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.state import network_structure

STEMS = paper_parts.STEMS


def build(part: TwoStream, classes=5, seed=0, dtype=jnp.float32):
    return part.make(classes, WeightKeys(seed), dtype)


def small(*branches: Branch, **options) -> TwoStream:
    """One stage of 8 channels."""
    return TwoStream(
        branches or (Branch("v1"),), ResNet(18, 1 / 8, stages=1), **options
    )


def make_pool(part):
    return part.make(6, WeightKeys(0), jnp.float32)


def parameter_count(network):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))


def random_views(rng, lengths, size=(32, 16)):
    return {
        view: jnp.float32(rng.normal(size=(n, *size, 3))) for view, n in lengths.items()
    }


# By hand: ResNet-50 without fc, a second stem, and five non-local blocks of inner
# width 1, two of 512 and three of 1024 channels, with 3 (C + 1) in theta, phi and g,
# 2 C in the output convolution and 2 C in the BatchNorm.
TRUNK_AND_STEMS = 23_508_032 + 9_536
NON_LOCAL = 2 * (7 * 512 + 3) + 3 * (7 * 1024 + 3)
BRANCH = 2048 + 2048 * 395  # neck scale, classifier
P = 1
BOTTLENECK = (2048 * 1024 + 1024 + 2 * 1024) + (1024 * 512 + 512 + 2 * 512) + 512 * 395
COMMON = TRUNK_AND_STEMS + NON_LOCAL


@pytest.mark.slow
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
    part = load(f"sysu:{variant}").network
    network = nnx.eval_shape(lambda: build(part, 395))
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
    part = ResNet(depth=depth)

    def make():
        rngs = WeightKeys(0)
        trunk = part.make(rngs, jnp.float32)
        return nnx.List([trunk, part.make_stem(rngs, jnp.float32)])

    assert parameter_count(nnx.eval_shape(make)) == expected


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (1, 18, 9, 32)),
        ({"last_stride": 2}, (1, 9, 5, 32)),
        ({"stages": 3}, (1, 18, 9, 16)),
        ({"stages": 1}, (1, 72, 36, 4)),
    ],
)
def test_maps_have_the_sizes_of_facts(options, shape):
    part = ResNet(50, 1 / 64, **options)
    assert part.channels()[-1] == shape[-1]
    maps = nnx.eval_shape(
        lambda x: part.make(WeightKeys(0), jnp.float32)(x, jnp.zeros(1, int)).maps,
        jnp.zeros((1, 72, 36, 1)),
    )
    assert maps.shape == shape


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (ResNet(width=1 / 65), "^width is 0.01.*; allowed is 0.015625 and more"),
        (ResNet(18, after={"2.2": NonLocal()}), "^after has a block at '2.2'"),
        (ResNet(before={"5": NonLocal()}), "^before has a block at '5'"),
        (ResNet(stages=3, after={"4": NonLocal()}), "^after has a block at '4'"),
        (ResNet(after={"x": NonLocal()}), "^after has a block at 'x'"),
        (ResNet(after={"2": 3.0}), "^after.2 is 3.0; it needs make"),
        (Branch("v1", pool="gem"), "^pool is 'gem'; it needs make"),
        (Branch("v1", project=256), "^project is 256; it needs make"),
        (Branch("v1", pool=SGD()), r"^pool is SGD\(.*; it needs make"),
        (Stripe(0, of=3, pool=2.0), "^pool is 2.0; it needs make"),
        (NonLocal(inner_channels=-1), "^inner_channels is -1"),
        (GeM(p=0.5), "^p is 0.5; allowed is 1 to 100"),
        (GeM(epsilon=0.0), "^epsilon is 0.0"),
        (Stripe(3, 3), "^index is 3; allowed is 0 to 2"),
        (Stripe(0, 0), "^of is 0; allowed is 1 and more"),
        (Project(0), "^features is 0; allowed is 1 and more"),
        (small(Branch("v1", adds="v2"), Branch("v2")), "^branches.0.adds is 'v2'"),
        (small(Branch("v1"), Branch("v1")), "^branches.1.name is 'v1'"),
        (small(Branch("fused")), "^branches.0.name is 'fused'"),
        (small(Branch("a.b")), "^branches.0.name is 'a.b'"),
        (
            small(Branch("a"), Branch("b", adds="a", project=Project(3))),
            "^branches.1.adds is 'a', which is 8 wide; allowed is one of the width 3",
        ),
        (TwoStream(()), r"^branches is \(\)"),
        (small(stems=("a", "a")), r"^stems is \('a', 'a'\)"),
        (paper_parts.network(refined=("v1", "v3")), "^refine.of has 'v3'"),
        (
            paper_parts.network((Branch("v1"), Branch("v2", project=Project(3)))),
            "^refine.of is .*several widths",
        ),
    ],
)
def test_fields_that_do_not_fit_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.check()


def test_an_unknown_depth_is_refused():
    part = paper_parts.narrow_trunk(depth=20)
    with pytest.raises(
        ValueError, match=r"^depth is 20; allowed are \[18, 34, 50, 101"
    ):
        part.check()


def test_non_local_starts_as_the_identity_and_equals_the_n_by_n_form(rng):
    x = jnp.float32(rng.normal(size=(2, 4, 3, 6)))
    block = NonLocal(inner_channels=2).make(6, WeightKeys(0), jnp.float32)
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


@pytest.mark.parametrize(("inner", "width"), [(1, 1), (7, 7), (0, 64)])
def test_uniform_non_local_weights_are_torchs(inner, width):
    part = NonLocal(inner_channels=inner, init="uniform")
    block = part.make(128, WeightKeys(0), jnp.float32)
    for conv, fan_in in ((block.theta, 128), (block.g, 128), (block.out, width)):
        assert conv.bias is not None
        for array in (conv.kernel[...], conv.bias[...]):
            largest = float(jnp.abs(array).max())
            assert largest <= fan_in**-0.5
            assert array.size < 100 or largest > 0.9 * fan_in**-0.5
    x = jnp.ones((1, 2, 2, 128))
    np.testing.assert_array_equal(block(x), x)


@pytest.mark.parametrize("p", [1.0, 3.0, 10.0])
def test_gem_equals_its_formula(rng, p):
    x = jnp.float32(rng.random((2, 4, 3, 6)))
    mean = (np.float64(x) ** p).mean((1, 2))
    np.testing.assert_allclose(make_pool(GeM(p))(x), mean ** (1 / p), rtol=1e-5)
    agw = make_pool(GeM(p, form="agw"))
    np.testing.assert_allclose(agw(x), (mean + 1e-12) ** (1 / p), rtol=1e-5)
    np.testing.assert_allclose(agw(0 * x), 1e-12 ** (1 / p), rtol=1e-5)
    assert nnx.state(make_pool(GeM(p, learn=False)), nnx.Param) == {}


def test_a_learned_exponent_below_1_is_average_pooling_with_a_gradient(rng):
    x = jnp.float32(rng.random((2, 4, 3, 6)))
    graphdef, _ = nnx.split(make_pool(GeM()))
    average = make_pool(Average())

    def pooled(p):
        return nnx.merge(graphdef, {"p": p})(x)

    for p in (0.9, 0.0, -3.0):
        np.testing.assert_allclose(pooled(jnp.float32(p)), average(x), rtol=1e-5)
        gradient = jax.grad(lambda p: pooled(p).sum())
        expected = gradient(jnp.float32(1.0))
        np.testing.assert_allclose(gradient(jnp.float32(p)), expected, rtol=1e-5)


def test_gem_lies_between_average_and_maximum(rng):
    x = jnp.float32(rng.random((2, 4, 3, 6)))
    average, maximum = make_pool(Average()), make_pool(Maximum())
    np.testing.assert_allclose(make_pool(GeM(1.0))(x), average(x), rtol=1e-5)
    np.testing.assert_allclose(make_pool(GeM(1e4))(x), maximum(x), rtol=1e-3)


def test_the_first_maximum_has_the_whole_gradient(rng):
    """By a loop, of whole numbers with ties; never 0 / 0."""
    x = jnp.float32(rng.integers(0, 3, (2, 4, 3, 6)))
    slopes = rng.normal(size=(2, 6))
    pool = make_pool(Maximum())
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(pool(x) * slopes)))(x)
    expected = np.zeros(x.shape)
    for row in range(2):
        for channel in range(6):
            place = np.unravel_index(np.argmax(x[row, ..., channel]), (4, 3))
            expected[(row, *place, channel)] = slopes[row, channel]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


@pytest.mark.parametrize("form", ["clamp", "agw"])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1e3])
def test_gem_and_its_gradients_are_finite(scale, form):
    x = scale * jnp.ones((1, 2, 2, 3)).at[0, 0, 0].set(0.0)
    graphdef, params = nnx.split(make_pool(GeM(10.0, form=form)))

    def loss(params, x):
        return nnx.merge(graphdef, params)(x).sum()

    value, grads = jax.value_and_grad(loss, argnums=(0, 1))(nnx.to_pure_dict(params), x)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    ("height", "of", "rows"),
    [(6, 3, [(0, 2), (2, 4), (4, 6)]), (5, 2, [(0, 3), (2, 5)]), (4, 1, [(0, 4)])],
)
def test_stripes_are_those_of_adaptive_pooling(rng, height, of, rows):
    x = jnp.float32(rng.normal(size=(2, height, 3, 6)))
    for index, (start, stop) in enumerate(rows):
        found = make_pool(Stripe(index, of, Maximum()))(x)
        np.testing.assert_array_equal(found, x[:, start:stop].max((1, 2)))
    with pytest.raises(ValueError, match=f"7 stripes of a map of {height} rows"):
        make_pool(Stripe(0, 7))(x)


@pytest.mark.slow
def test_branches_pool_project_add_and_classify(rng):
    """By the modules of the network, one after the other."""
    part = small(
        Branch("global", Average()),
        Branch("top", Stripe(0, 2), project=Project(6, relu=True)),
        Branch("sum", Maximum(), adds="global", neck=False),
    )
    assert part.names()[:3] == ("features.global", "features.top", "features.sum")
    assert part.stem_names() == ("visible", "infrared")
    network = build(part)
    images = random_views(rng, {"visible": 4, "infrared": 4})
    call(network, images, STEMS)  # running statistics that are not 0 and 1
    network = nnx.view(network, use_running_average=True)
    outputs = call(network, images, STEMS)
    named = {f"{k}.{n}" for k, v in outputs.items() for n in v}
    assert named == set(part.names())
    stems = [network.stems[name](images[name]) for name in STEMS]
    slots = jnp.stack(stems, axis=1).reshape(8, *stems[0].shape[1:])
    maps = network.trunk(slots, jnp.tile(jnp.arange(2), 4)).maps
    top = network.branches["top"]
    pooled = maps[:, : maps.shape[1] // 2].mean((1, 2))
    mean, var = top.project.bn.mean[...], top.project.bn.var[...]
    expected = {
        "global": maps.mean((1, 2)),
        "top": np.maximum(
            (pooled @ top.project.linear.kernel[...] - mean[None])
            / np.sqrt(var + 1e-5)[None],
            0,
        ),
        "sum": maps.max((1, 2)) + outputs["embeddings"]["global"],
    }
    widths = {"global": 8, "top": 6, "sum": 8}
    for name, feature in expected.items():
        assert feature.shape == (8, widths[name])
        found = outputs["features"][name]
        np.testing.assert_allclose(found, feature, rtol=1e-3, atol=1e-4)
        head = network.branches[name]
        assert head.classifier is not None
        logits = outputs["embeddings"][name] @ head.classifier.kernel[...]
        np.testing.assert_allclose(
            outputs["logits"][name], logits, rtol=1e-3, atol=1e-5
        )
    np.testing.assert_array_equal(
        outputs["embeddings"]["sum"], outputs["features"]["sum"]
    )


@pytest.mark.slow
def test_a_branch_without_a_classifier_keeps_its_own_and_its_bottleneck(rng):
    """Its names promise their logits."""
    branch = Branch("v1", Average(), classifier=None, own=ModalityClassifier())
    part = TwoStream((branch,), ResNet(18, width=1 / 16), Bottleneck((8,), 0, ("v1",)))
    images = random_views(rng, {"visible": 2, "infrared": 2})
    outputs = call(build(part), images, STEMS)
    found = {f"logits.{name}" for name in outputs["logits"]}
    assert found == {n for n in part.names() if n.startswith("logits.")}
    assert found == {"logits.own_v1", "logits.z1"}


def test_refined_branches_share_one_bottleneck(rng):
    part = paper_parts.network(refined=("v2",), after=(), stages=1)
    network = build(part)
    outputs = call(network, random_views(rng, {"visible": 2, "infrared": 2}), STEMS)
    assert outputs["refined"].keys() == {"z2"}
    assert outputs["refined"]["z2"].shape == (4, 12)
    assert {"logits.z2", "refined.z2"} <= set(part.names())


def test_a_neck_stands_between_z_and_its_classifier(rng):
    part = paper_parts.network(after=(), stages=1)
    part.refine.neck = True
    network = build(part)
    outputs = call(network, random_views(rng, {"visible": 3, "infrared": 3}), STEMS)
    z = np.asarray(outputs["refined"]["z1"], np.float64)
    normal = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)
    assert network.bottleneck is not None
    expected = normal @ np.asarray(network.bottleneck.classifier.kernel[...])
    np.testing.assert_allclose(outputs["logits"]["z1"], expected, rtol=1e-3, atol=1e-5)
    assert network.bottleneck.neck.bias is None


def test_in_training_a_share_of_z_is_hidden_from_its_classifier(rng):
    part = Bottleneck((16,), 0, dropout=0.25)
    module = part.make(8, 3000, WeightKeys(0), jnp.float32)
    v = jnp.float32(rng.normal(size=(5, 8)))
    z, logits = module(v)
    weights = np.asarray(module.classifier.kernel[...])
    np.testing.assert_allclose(logits, z @ weights, rtol=1e-4, atol=1e-5)
    same, hidden = module(v, jax.random.key(1))
    np.testing.assert_array_equal(same, z)
    seen = np.linalg.lstsq(weights.T, np.asarray(hidden).T)[0].T  # what it was given
    kept = np.abs(seen) > 1e-3
    np.testing.assert_allclose(seen[kept], np.asarray(z / 0.75)[kept], rtol=1e-2)
    live = np.asarray(z) > 1e-2
    assert 0.5 < kept[live].mean() < 0.95


def test_each_branch_hides_another_share(rng):
    part = paper_parts.network(after=(), stages=1)
    part.refine.dropout = 0.5
    images = random_views(rng, {"visible": 3, "infrared": 3})
    first, again, other = (
        build(part)(images, STEMS, jax.random.key(seed))["logits"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first["z1"], again["z1"])
    assert np.any(first["z1"] != other["z1"])
    np.testing.assert_array_equal(first["v1"], other["v1"])


def test_what_a_branch_adds_can_be_detached_or_normalised(rng):
    maps = jnp.float32(rng.uniform(size=(3, 4, 2, 8)))
    v1 = jnp.float32(rng.normal(size=(3, 8))).at[0].set(0)

    def sum_and_slope(added):
        part = Branch("v2", adds="v1", added=added, neck=False)
        head = BranchHead(part, 8, 5, dtype=jnp.float32, rngs=WeightKeys(0))
        slope = jax.grad(lambda v1: jnp.sum(jnp.sin(head(maps, v1)[0])))(v1)
        return head(maps, v1)[0], slope

    whole, slope = sum_and_slope("whole")
    detached, no_slope = sum_and_slope("detached")
    np.testing.assert_array_equal(whole, detached)
    assert np.any(slope) and not np.any(no_slope)
    normalised, finite = sum_and_slope("normalised")
    pooled = np.float64(whole - v1)
    length = np.linalg.norm(v1, axis=1, keepdims=True)
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    expected += np.float64(v1) / np.where(length == 0, 1, length)
    np.testing.assert_allclose(normalised, expected, atol=1e-5)
    assert np.isfinite(finite).all() and not np.any(finite[0])


@pytest.mark.slow
def test_bfloat16_activations_leave_float32_parameters_and_logits(rng):
    part = paper_parts.network(after=("1.1",), stages=1)
    network = build(part, dtype=jnp.bfloat16)
    images = random_views(rng, {"visible": 2, "infrared": 2})
    stem = network.stems["visible"](images["visible"])
    assert stem.dtype == jnp.bfloat16
    assert network.trunk(stem, jnp.zeros(2, int)).maps.dtype == jnp.bfloat16
    outputs = call(network, images, STEMS)
    assert {x.dtype for x in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}
    state = nnx.state(network, (nnx.Param, nnx.BatchStat))
    assert {x.dtype for x in jax.tree.leaves(state)} == {jnp.dtype("float32")}


def test_training_and_frozen_structures_hold_the_same_state():
    part = small()
    training, frozen = network_structure(lambda rngs: part.make(5, rngs, jnp.float32))
    _, params, stats = paper_parts.state_of(build(part))
    assert nnx.merge(frozen, params, stats).stems["visible"].bn1.use_running_average
    merged = nnx.merge(training, params, stats)
    assert not merged.stems["visible"].bn1.use_running_average


@pytest.mark.parametrize("rematerialise", [False, True])
def test_blocks_between_others_are_rematerialised_too(rematerialise):
    """Channel attention has c x c numbers for each image."""
    part = ResNet(18, 1 / 8, stages=2, before={"2": ChannelSelfAttention()})
    part.rematerialise = rematerialise
    trunk = part.make(WeightKeys(0), jnp.float32)
    graphdef, params, stats = paper_parts.state_of(trunk)

    def maps(params):
        x, modality = jnp.ones((2, 1, 1, 8)), jnp.zeros(2, int)
        return nnx.merge(graphdef, params, stats)(x, modality).maps

    _, backward = jax.vjp(maps, params)
    kept = {leaf.shape for leaf in jax.tree.leaves(backward)}
    assert ((2, 8, 8) in kept) != rematerialise


@pytest.mark.slow
def test_rematerialised_blocks_give_the_same_gradients(rng):
    images = random_views(rng, {"visible": 2, "infrared": 2})

    def gradients(rematerialise):
        part = small()
        part.trunk.rematerialise = rematerialise
        graphdef, params, stats = paper_parts.state_of(build(part))

        @jax.jit
        @jax.grad
        def gradient(params):
            outputs = nnx.merge(graphdef, params, stats)(images, STEMS)
            return jnp.square(outputs["features"]["v1"]).sum()

        return gradient(params)

    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4),
        gradients(False),
        gradients(True),
    )
