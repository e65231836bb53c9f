"""Rows in a network: views, stems, modalities, and blocks that multiply rows."""

from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from one_program import call, embed

from jreid.data.rows import joined
from jreid.losses.identity import Identity
from jreid.models.graph_attention import GraphAttention, GraphTwoStream
from jreid.models.modules.keys import WeightKeys
from jreid.models.pooling import Average
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.objective import make_objective


def small(
    stems=("visible", "infrared"), stages: Literal[1, 2] = 1, **places
) -> TwoStream:
    """Stages of 8 and 16 channels, one branch."""
    trunk = ResNet(18, 1 / 8, stages=stages, **places)
    return TwoStream((Branch("v1", Average()),), trunk, stems=stems)


def build(part, seed=0):
    return part.make(5, WeightKeys(seed), jnp.float32)


def random_views(rng, **lengths):
    return {
        view: jnp.float32(rng.normal(size=(n, 32, 16, 3)))
        for view, n in lengths.items()
    }


# --- Views and stems ------------------------------------------------------------------


@pytest.mark.slow
def test_each_stem_is_its_own_and_rows_go_slot_by_slot(rng):
    network = nnx.view(build(small()), use_running_average=True)
    images = random_views(rng, visible=2, infrared=2)
    stems = {"visible": "visible", "infrared": "infrared"}
    together = embed(network, images, stems)["embeddings"]["v1"]
    for row in range(4):
        slot, column = divmod(row, 2)
        view = list(images)[column]
        alone = embed(network, {view: images[view][slot : slot + 1]}, stems)
        np.testing.assert_allclose(
            together[row], alone["embeddings"]["v1"][0], rtol=1e-4, atol=1e-5
        )
    exchanged = {"visible": "infrared", "infrared": "visible"}
    swapped = embed(network, images, exchanged)["embeddings"]["v1"]
    assert np.abs(swapped - together).max() > 1e-3


def test_a_graph_of_identities_takes_its_rows_in_the_order_of_the_stems(rng):
    """As features do, whatever the order of the images, whose names jit sorts."""
    branches, trunk = (Branch("v1", Average()),), ResNet(18, 1 / 8, stages=1)
    graph = GraphAttention(heads=2, features=8)
    network = build(GraphTwoStream(branches, trunk, graph=graph))
    network = nnx.view(network, use_running_average=True)
    images = random_views(rng, visible=3, infrared=3)
    stems = {view: view for view in images}
    ids = {"visible": jnp.array([0, 0, 1]), "infrared": jnp.array([2, 3, 3])}
    outputs = call(network, images, stems, ids=ids)
    nodes, rows = outputs["features"]["v1"], joined([ids[view] for view in images])
    np.testing.assert_allclose(
        outputs["logits"]["graph"], network.graph(nodes, rows), atol=1e-5
    )


def test_two_views_of_one_stem_give_one_statistic(rng):
    images = random_views(rng, visible=4, other=4, infrared=4)
    images["other"] = 3 + 2 * images["other"]  # far from the first view's statistics
    stems = {"visible": "visible", "other": "visible", "infrared": "infrared"}
    views, together = build(small()), build(small())
    call(views, images, stems)
    both = {
        "visible": jnp.concatenate([images["visible"], images["other"]]),
        "infrared": images["infrared"],
    }
    call(together, both, stems)
    for name in ("visible", "infrared"):
        mine, expected = views.stems[name].bn1, together.stems[name].bn1
        np.testing.assert_allclose(mine.mean[...], expected.mean[...], atol=1e-6)
        np.testing.assert_allclose(mine.var[...], expected.var[...], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lengths",
    [
        {"visible": 4, "infrared": 4, "other": 4},  # the second visible view comes last
        {"visible": 4, "other": 4, "infrared": 6},
        {"visible": 4, "other": 2, "infrared": 8},
    ],
)
def test_rows_say_which_image_they_are(rng, lengths):
    network = nnx.view(build(small()), use_running_average=True)
    images = random_views(rng, **lengths)
    stem_of = {"visible": "visible", "other": "visible", "infrared": "infrared"}
    stems = {view: stem_of[view] for view in lengths}
    modality = {view: jnp.full(n, 7) for view, n in lengths.items()}
    outputs = call(network, images, stems, modality=modality)
    alone = {view: call(network, {view: x}, stems) for view, x in images.items()}
    canonical = joined([alone[view]["features"]["v1"] for view in images])
    source = outputs.get("source", np.arange(len(canonical)))
    assert sorted(np.asarray(source).tolist()) == list(range(len(canonical)))
    np.testing.assert_allclose(
        outputs["features"]["v1"], canonical[source], rtol=1e-3, atol=1e-4
    )
    if "source" in outputs:
        np.testing.assert_array_equal(outputs["copy"], 0)
    embedded = embed(network, images, stems)["features"]["v1"]
    np.testing.assert_allclose(embedded, canonical, rtol=1e-3, atol=1e-4)


def test_the_order_of_views_and_modalities_stays_within_jit(rng):
    """jit sorts the keys of dicts, and nnx those of modules."""
    network = build(small(after={"1": Shift()}))
    graphdef, state = nnx.split(nnx.view(network, use_running_average=True))
    images = random_views(rng, visible=2, infrared=2)
    stems = {"visible": "visible", "infrared": "infrared"}

    def features(images, modality=None):
        network = nnx.merge(graphdef, state)
        return network(images, stems, modality=modality)["features"]["v1"]

    modality = {"visible": jnp.zeros(2, int), "infrared": jnp.ones(2, int)}
    np.testing.assert_allclose(
        jax.jit(features)(images), features(images, modality), rtol=1e-3, atol=1e-4
    )


def test_rows_in_order_need_no_source(rng):
    network = build(small())
    stems = {"visible": "visible", "other": "visible", "infrared": "infrared"}
    equal = call(network, random_views(rng, visible=2, other=2, infrared=2), stems)
    assert "source" not in equal and "copy" not in equal


def test_a_network_of_one_stem_takes_rows_of_any_modality(rng):
    part = small(stems=("any",), after={"1": Shift()})
    network = nnx.view(build(part), use_running_average=True)
    images = random_views(rng, mixed=6)
    modality = jnp.asarray([0, 1, 1, 0, 1, 0])
    outputs = call(network, images, {"mixed": "any"}, modality={"mixed": modality})
    for row in range(6):
        rows = slice(row, row + 1)
        alone = call(
            network,
            {"mixed": images["mixed"][rows]},
            {"mixed": "any"},
            modality={"mixed": modality[rows]},
        )
        np.testing.assert_allclose(
            outputs["features"]["v1"][row],
            alone["features"]["v1"][0],
            rtol=1e-3,
            atol=1e-4,
        )
    flipped = call(network, images, {"mixed": "any"}, modality={"mixed": 1 - modality})
    assert np.abs(flipped["features"]["v1"] - outputs["features"]["v1"]).min() > 1e-6


def test_an_unknown_stem_is_named(rng):
    with pytest.raises(ValueError, match=r"'a': 'thermal'.*allowed are \['visible'"):
        call(build(small()), random_views(rng, a=1), {"a": "thermal"})


# --- Blocks before and after ----------------------------------------------------------


class ShiftModule(nnx.Module):
    """Adds the row's modality and one, so that what it gets can be seen."""

    def __call__(self, x, modality, stage_input=None, rng=None):
        return x + 1.0 + modality[:, None, None, None]


@dataclass(slots=True)
class Shift:
    """A block that uses the modality."""

    def make(self, channels, rngs, dtype):
        return ShiftModule()


class Recorded(nnx.Module):
    """Passes maps on, and keeps the shapes of what it got in a list."""

    def __init__(self, channels, seen):
        self.channels, self.seen = channels, seen

    def __call__(self, x, modality, stage_input=None, rng=None):
        assert stage_input is not None
        given = (self.channels, x.shape, stage_input.shape)
        note = self.seen.append
        jax.debug.callback(lambda m: note((*given, m.tolist())), modality, ordered=True)
        return x


SEEN: list = []


@dataclass(slots=True)
class Record:
    """A block that says at its place what it gets."""

    def make(self, channels, rngs, dtype):
        return Recorded(channels, nnx.static(SEEN))


@pytest.mark.slow
def test_blocks_stand_before_and_after_stages_and_blocks(rng):
    SEEN.clear()
    places = {place: Record() for place in ("2", "2.0", "2.1", "1.1", "1")}
    network = build(small(stages=2, before=places, after=places))
    images = random_views(rng, visible=1, infrared=1)
    call(network, images, {view: view for view in images})
    jax.effects_barrier()
    first, second = (2, 8, 4, 8), (2, 4, 2, 16)
    modality = [0, 1]
    assert [
        *[(8, first, first, modality)] * 2,  # before 1, before 1.1
        *[(8, first, first, modality)] * 2,  # after 1.1, after 1
        *[(8, first, first, modality)] * 2,  # before 2, before 2.0
        (16, second, first, modality),  # after 2.0
        (16, second, first, modality),  # before 2.1
        *[(16, second, first, modality)] * 2,  # after 2.1, after 2
    ] == SEEN


@pytest.mark.slow
def test_a_block_after_a_stage_sees_the_input_of_the_stage(rng):
    images = random_views(rng, visible=2)
    stems = {"visible": "visible"}
    plain = nnx.view(build(small(stages=2)), use_running_average=True)
    network = nnx.view(
        build(small(stages=2, after={"2": StageInput()})), use_running_average=True
    )
    outputs = call(network, images, stems)["features"]["v1"]
    x = plain.stems["visible"](images["visible"])
    for block in getattr(plain.trunk, "layer1"):  # noqa: B009 (set by name)
        x = block(x)
    expected = jnp.tile(x.mean((1, 2)), (1, 2))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


class StageInputModule(nnx.Module):
    """The stage's input, in the size of its output."""

    def __call__(self, x, modality, stage_input=None, rng=None):
        assert stage_input is not None
        pooled = stage_input.mean((1, 2), keepdims=True)
        pooled = jnp.concatenate([pooled, pooled], axis=-1)
        return jnp.broadcast_to(pooled, x.shape)


@dataclass(slots=True)
class StageInput:
    """A block that uses the stage's input."""

    def make(self, channels, rngs, dtype):
        return StageInputModule()


# --- Blocks that multiply rows --------------------------------------------------------


class MultiplyModule(nnx.Module):
    """Row i becomes `times` rows, copy c of them shifted by c."""

    def __init__(self, times, shift):
        self.times, self.shift = times, shift

    def __call__(self, x, modality, stage_input=None, rng=None):
        source = jnp.repeat(jnp.arange(len(x)), self.times)
        copy = jnp.tile(jnp.arange(self.times), len(x))
        y = x[source] + self.shift * copy[:, None, None, None]
        return y, source, copy


@dataclass(slots=True)
class Multiply:
    """A block that multiplies rows."""

    times: int = 2
    shift: float = 10.0

    def make(self, channels, rngs, dtype):
        return MultiplyModule(self.times, self.shift)


@pytest.mark.slow
def test_rows_that_two_blocks_multiply_have_one_source_and_copy(rng):
    part = small(
        stages=2, before={"2": Multiply(3)}, after={"2": Multiply(2), "2.0": Shift()}
    )
    network = nnx.view(build(part), use_running_average=True)
    images = random_views(rng, visible=2, infrared=2)
    stems = {view: view for view in images}
    outputs = call(network, images, stems)
    source, copy = (np.asarray(outputs[name]).tolist() for name in ("source", "copy"))
    # by hand: row 6 i + 2 j + k is copy k of copy j of image i
    assert source == [i for i in range(4) for _ in range(6)]
    assert copy == [2 * j + k for _ in range(4) for j in range(3) for k in range(2)]
    assert all(x.shape[0] == 24 for x in outputs["features"].values())
    # the last block's copies differ by its shift alone, before them the network's
    features = np.asarray(outputs["features"]["v1"]).reshape(4, 3, 2, -1)
    np.testing.assert_allclose(features[:, :, 1] - features[:, :, 0], 10, rtol=1e-4)
    single = nnx.view(
        build(small(stages=2, after={"2.0": Shift()})), use_running_average=True
    )
    alone = np.asarray(call(single, images, stems)["features"]["v1"])
    np.testing.assert_allclose(features[:, 0, 0], alone, rtol=1e-3, atol=1e-4)
    copies = features.reshape(4, 6, -1)
    found = embed(network, images, stems)["features"]["v1"]
    np.testing.assert_allclose(found, copies, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_multiplied_rows_come_from_the_images_of_views_out_of_order(rng):
    """Sources of rows that are neither in order nor single."""
    images = random_views(rng, visible=2, infrared=2, other=2)
    stems = {"visible": "visible", "infrared": "infrared", "other": "visible"}
    plain = nnx.view(build(small()), use_running_average=True)
    plain = call(plain, images, stems)
    network = nnx.view(
        build(small(stages=2, after={"2": Multiply(2)})), use_running_average=True
    )
    outputs = call(network, images, stems)
    expected = np.asarray(plain["source"]).repeat(2)
    np.testing.assert_array_equal(outputs["source"], expected)
    np.testing.assert_array_equal(outputs["copy"], np.tile([0, 1], 6))


# --- Randomness -----------------------------------------------------------------------


class DropoutModule(nnx.Module):
    """Half of the maps' values become 0; all stay where there is no rng."""

    def __call__(self, x, modality, stage_input=None, rng=None):
        if rng is None:
            return x
        return jnp.where(jax.random.bernoulli(rng, 0.5, x.shape), 2 * x, 0)


@dataclass(slots=True)
class Dropout:
    """A random block."""

    def make(self, channels, rngs, dtype):
        return DropoutModule()


@dataclass(slots=True)
class NoisyIdentity(Identity):
    """A random term."""

    on: str = "logits.v1"
    weight: float = 1.0
    smoothing: float = 0.0
    scale: float = field(default=1.0)

    def __call__(self, outputs, batch, rng=None):
        value = Identity.__call__(self, outputs, batch)
        return value if rng is None else value + jax.random.normal(rng)


@pytest.mark.slow
def test_random_numbers_reach_blocks_and_terms(rng):
    network = nnx.view(
        build(small(stages=2, after={"1": Dropout(), "2": Dropout()})),
        use_running_average=True,
    )
    images = random_views(rng, visible=2, infrared=2)
    stems = {view: view for view in images}

    def features(key):
        return np.asarray(call(network, images, stems, rng=key)["features"]["v1"])

    one, again, other = (features(jax.random.key(n)) for n in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    plain = nnx.view(build(small(stages=2)), use_running_average=True)
    plain = call(plain, images, stems)
    np.testing.assert_array_equal(features(None), plain["features"]["v1"])
    objective = make_objective({"a": NoisyIdentity(), "b": NoisyIdentity()})
    batch = {"ids": jnp.arange(4)}
    _, noisy = objective(plain, batch, jax.random.key(0))
    assert noisy["loss/a"] != noisy["loss/b"]
    assert objective(plain, batch)[1]["loss/a"] == objective(plain, batch)[1]["loss/b"]
