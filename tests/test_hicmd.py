"""Hi-CMD's turns: which images and codes are made of what, and whom a term moves."""

import functools

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
import tiny
from flax import nnx
from PIL import Image

from jreid.config_files import load
from jreid.models.modules.attributes import mixed, split_at, style_of
from jreid.models.modules.combined_features import rows_of_sets
from jreid.models.modules.keys import WeightKeys
from jreid.run.translations import save_translations
from jreid.training.state import TrainState
from jreid.training.subtrees import split_by

VIEWS = ("visible", "infrared")
ENCODERS = {"prototypes", "attributes"}
# player and term -> the parts that have a gradient of it
MOVED = {
    ("discriminators", "real"): {"discriminators"},
    ("discriminators", "fake"): {"discriminators"},
    ("discriminators", "penalty"): {"discriminators"},
    ("generators", "same"): {*ENCODERS, "decoder"},
    ("generators", "cross"): {*ENCODERS, "decoder"},
    ("generators", "cycle"): {*ENCODERS, "decoder"},
    ("generators", "attributes"): {*ENCODERS, "decoder"},
    ("generators", "prior"): {"attributes"},
    ("generators", "fool"): {*ENCODERS, "decoder", "discriminators"},
    # made images are taken as they are
    ("generators", "identity"): {*ENCODERS, "reid"},
    ("generators", "triplet"): {*ENCODERS, "reid"},
    ("reid", "identity"): {"reid"},
    ("reid", "triplet"): {"reid"},
}
HEADS = {"triplet": "reid/classifier", "identity": "reid/embedding"}


def structure():
    """The narrow network, and random parameters, made by no program."""
    config = narrow.narrow("hicmd")
    network = nnx.eval_shape(
        lambda: config.network.make(narrow.CLASSES, WeightKeys(0), jnp.float32)
    )
    graph, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)
    rng = np.random.default_rng(0)

    def numbers(path, leaf):
        name = jax.tree_util.keystr(path)
        if "var" in name or "scale" in name or "share" in name:
            return jnp.float32(rng.uniform(0.3, 0.7, leaf.shape))
        return jnp.float32(rng.normal(size=leaf.shape) * 0.2)

    trees = (nnx.to_pure_dict(params), nnx.to_pure_dict(stats))
    return config, graph, *(jax.tree_util.tree_map_with_path(numbers, t) for t in trees)


def views(slots=3, seed=0):
    shape = (2, slots, 32, 16, 3)
    images = jnp.float32(np.random.default_rng(seed).normal(size=shape))
    return dict(zip(VIEWS, images, strict=True))


@functools.cache
def turns():
    """The config, and `played(player, params, images, made, weights)`, compiled.

    It gives the terms' values, their weighted sum's gradient, outputs and statistics.
    """
    config, graph, params, stats = structure()

    @functools.partial(jax.jit, static_argnums=0)
    def played(player, params, images, made, weights):
        def loss(params):
            network = nnx.merge(graph, params, stats)
            stems = {view: view for view in images}
            outputs = network(
                images, stems, jax.random.key(3), player=player, made=made
            )
            slots = len(images["visible"])
            ids, modality = np.repeat(np.arange(slots), 2), np.tile([0, 1], slots)
            rows = {"ids": ids, "modality": modality}
            source = outputs.get("source", jnp.arange(2 * slots))
            batch = {k: jnp.asarray(v)[source] for k, v in rows.items()}
            batch["source"] = source
            terms = config.players[player].objective.values()
            values = jnp.stack([term(outputs, batch) for term in terms])
            after = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
            return jnp.sum(weights * values), (values, outputs, after)

        (_, found), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return *found, grads

    return config, params, stats, played


def play(player, images, made=None, weights=None):
    config, params, _, played = turns()
    count = len(config.players[player].objective)
    given = jnp.ones(count) if weights is None else jnp.asarray(weights, jnp.float32)
    return played(player, params, images, made or {}, given)


def leaves(*trees):
    """The arrays at the same place of each tree."""
    return zip(*map(jax.tree.leaves, trees), strict=True)


def parts_moved(grads):
    largest = {
        part: max(float(jnp.abs(x).max()) for x in jax.tree.leaves(tree))
        for part, tree in grads.items()
    }
    assert all(np.isfinite(v) for v in largest.values())
    return {part for part, value in largest.items() if value > 0}


def test_groups_of_codes_are_mixed_at_a_share(rng):
    first, last = rng.normal(size=(2, 2, 4, 8))
    found = mixed(jnp.float32(first), jnp.float32(last), 3 / 4)
    for image in range(2):
        for group in range(4):
            for place in range(8):
                source = first if place < 6 else last
                expected = np.float32(source[image, group, place])
                assert found[image, group, place] == expected
    style = style_of(jnp.float32(first))
    expected = np.array([[v for g in image for v in g[:4]] for image in first])
    np.testing.assert_array_equal(style, expected.astype(np.float32))
    assert [x.shape[-1] for x in split_at(found, 1 / 2)] == [4, 4]


def test_the_sets_of_a_modality_are_the_released_five():
    content, style, slot, copy = rows_of_sets(4)  # two pairs, two negatives
    # rows of the encoders: real 0 1, made 2 3, negatives 4 5
    np.testing.assert_array_equal(content, [0, 1, 2, 3, 4, 5, 0, 1, 2, 3])
    np.testing.assert_array_equal(style, [0, 1, 2, 3, 4, 5, 2, 3, 0, 1])
    np.testing.assert_array_equal(slot, [0, 1, 0, 1, 2, 3, 0, 1, 0, 1])
    np.testing.assert_array_equal(copy, [0, 0, 1, 1, 0, 0, 2, 2, 3, 3])
    assert [len(x) for x in rows_of_sets(1)] == [4, 4, 4, 4]  # no negatives


def test_terms_weigh_what_the_released_ones_do():
    config = load("sysu:hicmd")
    weights = {
        (name, term): part.weight
        for name, player in config.players.items()
        for term, part in player.objective.items()
    }
    assert set(weights) == set(MOVED) and list(config.players) == [
        "discriminators",
        "generators",
        "reid",
    ]
    released = {"same": 50, "cross": 50, "cycle": 50, "attributes": 20}
    for term, weight in released.items():  # a mean of two modalities, theirs a sum
        assert weights["generators", term] == 2 * weight
    assert weights["generators", "fool"] == weights["discriminators", "fake"] == 20
    assert weights["discriminators", "real"] == 2 * 20
    assert weights["discriminators", "penalty"] == pytest.approx(2 * 20 * 0.01)
    on = config.players["generators"].objective["fool"].on
    assert len(on) == 2 * 2 * 3 and all(share == 1 for _, share in on)
    assert config.players["reid"].optimizer is None


def test_a_network_that_does_not_fit_is_refused():
    network = load("sysu:hicmd").network
    network.trunk.stages = 3
    with pytest.raises(ValueError, match=r"trunk.stages is 3; allowed is 4"):
        network.check()
    network.trunk.stages, network.trunk.width = 4, 1 / 64
    network.trunk.depth = 18
    with pytest.raises(ValueError, match="8 attributes; allowed is a multiple of 16"):
        network.check()
    network = load("sysu:hicmd").network
    network.decoder.hidden = 0
    with pytest.raises(ValueError, match="hidden is 0; allowed is 1"):
        network.decoder.check()


@pytest.mark.long
@pytest.mark.parametrize("player", ["discriminators", "generators", "reid"])
def test_each_term_moves_whom_it_should(player):
    images = views()
    made = play("generators", images)[1]["images"] if player == "reid" else {}
    terms = list(turns()[0].players[player].objective)
    for number, term in enumerate(terms):
        weights = np.arange(len(terms)) == number
        grads = play(player, images, made, weights)[3]
        assert parts_moved(grads) == MOVED[player, term], term
        if player == "reid":
            without = split_by(HEADS[term], grads)[0]
            assert all((x == 0).all() for x in jax.tree.leaves(without))


@pytest.mark.long
def test_reid_learns_from_the_codes_that_the_encoders_learned_from():
    images = views()
    values, outputs, stats, grads = play("generators", images)
    before = turns()[2]
    # the ReID layers' statistics are those of their own turn
    for new, old in leaves(stats["reid"], before["reid"]):
        np.testing.assert_array_equal(new, old)
    for part in ("attributes", "illumination"):
        pairs = leaves(stats[part], before[part])
        assert all((new != old).any() for new, old in pairs)
    own_values, own, after, own_grads = play("reid", images, outputs["images"])
    assert any((new != old).any() for new, old in leaves(after["reid"], before["reid"]))
    for kind in ("features", "embeddings", "logits"):
        np.testing.assert_allclose(own[kind]["v1"], outputs[kind]["v1"], atol=1e-4)
    np.testing.assert_allclose(own_values, values[-2:], rtol=1e-4)
    for one, other in leaves(own_grads["reid"], grads["reid"]):
        largest = float(jnp.abs(one).max())
        np.testing.assert_allclose(one, other, atol=1e-4 + 1e-3 * largest)


@pytest.mark.long
def test_images_are_made_of_the_partners_style_and_an_images_own_rest():
    """A negative changes no image; the other's image changes a cross, not the pose."""
    images = views()
    found = play("generators", images)[1]
    other = {m: x.at[2].set(0.0) for m, x in images.items()}  # of three, the negative
    changed = play("generators", other)[1]
    for name in ("cross_visible", "same_infrared", "cycle_visible"):
        np.testing.assert_array_equal(changed["images"][name], found["images"][name])
    assert (changed["logits"]["v1"] != found["logits"]["v1"]).any()
    source = np.asarray(found["source"])
    assert sorted(set(source)) == list(range(6))
    counts = np.bincount(source)
    np.testing.assert_array_equal(counts, [4, 4, 4, 4, 1, 1])
    infrared = images | {"infrared": images["infrared"][:, ::-1]}
    changed = play("generators", infrared)[1]
    decoded, before = (x["codes"]["decoded_visible"] for x in (changed, found))
    half = decoded.shape[-1] // 2
    assert (decoded[..., :half] != before[..., :half]).any()
    np.testing.assert_allclose(decoded[..., half:], before[..., half:], atol=1e-5)
    rest = found["codes"]["rest_visible"]
    np.testing.assert_array_equal(before[..., half:], rest)


@pytest.mark.long
def test_the_order_of_slots_matters_by_its_halves_alone():
    """A slot of the first half is a pair, of the second a negative, wherever in it."""
    config, graph, params, stats = structure()
    terms = config.players["generators"].objective.values()

    @jax.jit
    def run(images, ids):
        network = nnx.merge(graph, params, stats)
        stems = {view: view for view in images}
        # without random numbers, which are of a place in the batch
        outputs = network(images, stems, player="generators", made={})
        source = outputs["source"]
        rows = {"ids": jnp.repeat(ids, 2), "modality": jnp.tile(jnp.arange(2), 5)}
        batch = {key: row[source] for key, row in rows.items()} | {"source": source}
        values = jnp.stack([term(outputs, batch) for term in terms])
        return values, outputs, batch

    given = views(slots=5)

    def in_order(*order):
        """Values, and by identity the images that are made and the rows' logits."""
        ids = np.array(order)
        moved = {view: x[ids] for view, x in given.items()}
        values, outputs, batch = run(moved, jnp.asarray(ids))
        rows = np.lexsort((outputs["copy"], batch["modality"], batch["ids"]))
        made = {
            name: x[np.argsort(ids[:3])]
            for name, x in outputs["images"].items()
            if name not in ("prototypes", "styles")
        }
        assert {len(x) for x in made.values()} == {3}
        return values, made, outputs["logits"]["v1"][rows]

    before = in_order(0, 1, 2, 3, 4)
    for found, expected in leaves(in_order(1, 0, 2, 4, 3), before):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    values, made, _ = in_order(3, 1, 2, 0, 4)
    assert np.abs(made["cross_visible"] - before[1]["cross_visible"]).max() > 0.1
    assert (np.abs(values - before[0]) > 1e-2 * np.abs(before[0])).any()


@pytest.mark.long
def test_a_network_embeds_and_translates_one_image_as_many():
    config, graph, params, stats = structure()
    network = nnx.view(nnx.merge(graph, params, stats), use_running_average=True)
    structure_of, state = nnx.split(network)
    images = views()["visible"]

    @jax.jit
    def embedded(images):
        return nnx.merge(structure_of, state).embed(
            {"visible": images}, {"visible": "visible"}
        )

    @jax.jit
    def translated(images):
        return nnx.merge(structure_of, state).translate(images, "visible")

    vectors = config.embedding(embedded(images))["fused"]
    assert vectors.shape == (3, config.network.hidden)
    np.testing.assert_allclose(jnp.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    found = translated(images)
    for name in ("translated", "cycle"):
        assert found[name].shape == images.shape
        assert np.isfinite(found[name]).all()
    alone = config.embedding(embedded(images[:1]))["fused"]
    np.testing.assert_allclose(alone, vectors[:1], atol=1e-4)
    np.testing.assert_allclose(
        translated(images[:1])["translated"], found["translated"][:1], atol=1e-3
    )


@pytest.mark.long
def test_a_picture_shows_what_is_made_of_test_images(tmp_path):
    config, _, params, stats = structure()
    config.data.root = str(tiny.make_tree(tmp_path / "tree"))
    images = config.data.read().test
    state = TrainState(jnp.int32(0), params, stats, {}, {})
    path = save_translations(config, tmp_path, state, images, narrow.CLASSES)
    assert path is not None and path.name == "translations.png"
    with Image.open(path) as picture:
        shown = np.asarray(picture)
    assert shown.shape == (34 + 6 * 134, 110 + len(np.unique(images.ids)) * 70, 3)
