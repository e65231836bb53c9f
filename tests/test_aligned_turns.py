"""AlignGAN's turns: whom a term moves, what a vector depends on, what is taken away."""

import functools

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
from flax import nnx

from jreid.export.embedding import Network, program_of
from jreid.training.build import build_embed

SLOTS = 2 * narrow.IDS
REID = {"encoder", "embedder"}
MADE = {"generators/visible", "generators/infrared"}
# player and term -> the parts that have a gradient of it; of the player's own they move
MOVED = {
    ("encoder_alone", "identity"): REID,
    ("encoder_alone", "triplet"): REID,
    ("encoder", "identity"): REID,
    ("encoder", "triplet"): REID,
    ("encoder", "fool"): {"encoder", "discriminators/infrared"},
    ("generators_alone", "fool"): {
        "generators/infrared",
        "discriminators/infrared_alone",
    },
    ("generators_alone", "fool_visible"): {
        "generators/visible",
        "discriminators/visible_alone",
    },
    ("generators_alone", "cycle"): MADE,
    ("generators_alone", "same"): MADE,
    ("generators_alone", "triplet"): {"generators/infrared", *REID},
    ("generators_alone", "identity"): {"generators/infrared", *REID},
    # of a made image with the real one's map
    ("generators", "fool"): {
        "generators/infrared",
        "encoder",
        "discriminators/infrared",
    },
    ("generators", "fool_visible"): {"generators/visible", "discriminators/visible"},
    ("generators", "cycle"): MADE,
    ("generators", "same"): MADE,
    ("generators", "triplet"): {"generators/infrared", *REID},
    ("generators", "identity"): {"generators/infrared", *REID},
    ("visible_alone", "real"): {"discriminators/visible_alone"},
    ("visible_alone", "fake"): {"discriminators/visible_alone"},
    ("infrared_alone", "real"): {"discriminators/infrared_alone"},
    ("infrared_alone", "fake"): {"discriminators/infrared_alone"},
    ("visible", "real"): {"discriminators/visible"},
    ("visible", "fake"): {"discriminators/visible"},
    ("infrared", "real"): {"discriminators/infrared"},
    ("infrared", "fake"): {"discriminators/infrared"},
}
OF_LINEAR, OF_LOGITS = {"linear"}, {"hidden", "norm", "classifier"}
PLAYERS = tuple(dict.fromkeys(player for player, _ in MOVED))
JUDGES = ("visible_alone", "infrared_alone", "visible", "infrared")


@functools.cache
def structure():
    """The narrow config, its network, and random parameters, made by no program."""
    config = narrow.narrow("aligngan")
    narrow.shrink(config)
    return config, *narrow.random_structure(config)


def views(seed=0):
    config = structure()[0]
    shape = (2, SLOTS, *config.size, 3)
    images = jnp.float32(np.random.default_rng(seed).normal(size=shape))
    return dict(zip(("visible", "infrared"), images, strict=True))


def shown_to(player):
    """Its images, and what the generators made of others."""
    images, rng = views(), np.random.default_rng(2)
    made = {f"made_{m}": jnp.tanh(x) for m, x in views(1).items()}
    if player == "encoder_alone":
        return {"infrared": images["infrared"]}, {}
    if player == "infrared":
        # as the encoder's: an image is halved three times up to its second stage
        shape = (SLOTS, 4, 2, structure()[0].network.trunk.channels()[-1])
        for m in images:
            made[f"map_{m}"] = jnp.float32(rng.normal(size=shape))
    return images, made if player in JUDGES else {}


@functools.cache
def played(player):
    """The player's terms' values, and the slope of each in all parameters."""
    config, graph, params, stats = structure()
    images, made = shown_to(player)
    terms = config.players[player].objective
    modality = np.tile([0, 1] if len(images) == 2 else [1], SLOTS)
    ids = np.repeat(np.arange(narrow.IDS), len(modality) // narrow.IDS)
    batch = {"ids": jnp.asarray(ids), "modality": jnp.asarray(modality)}

    @jax.jit
    def run(params, weights):
        def loss(params):
            network = nnx.merge(graph, params, stats)
            stems = {view: view for view in images}
            own = {view: jnp.repeat(jnp.arange(narrow.IDS), 2) for view in images}
            outputs = network(
                images, stems, jax.random.key(3), ids=own, player=player, made=made
            )
            values = jnp.stack([term(outputs, batch) for term in terms.values()])
            return jnp.sum(weights * values), values

        (_, values), slopes = jax.value_and_grad(loss, has_aux=True)(params)
        return values, slopes

    return narrow.one_by_one(terms, run, params)


def parts_of(slopes):
    """Of each part the largest slope; generators and discriminators are parts each."""
    parts = {name: slopes[name] for name in ("encoder", "embedder")}
    for kind in ("generators", "discriminators"):
        parts |= {f"{kind}/{name}": tree for name, tree in slopes[kind].items()}
    return {name: largest(tree) for name, tree in parts.items()}


def largest(tree):
    found = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
    assert np.isfinite(found)
    return found


def test_the_table_has_every_term():
    config = structure()[0]
    assert list(MOVED) == [
        (name, term) for name in PLAYERS for term in config.players[name].objective
    ]
    assert set(PLAYERS) == set(config.players)


@pytest.mark.long
@pytest.mark.parametrize("player", PLAYERS)
def test_each_term_has_a_slope_in_its_parts_alone(player):
    """A term that is left out leaves a value behind that is not 0."""
    config = structure()[0]
    for term, (value, slopes) in played(player).items():
        assert np.isfinite(value) and value > 0, term
        steep = {name for name, slope in parts_of(slopes).items() if slope > 0}
        assert steep == MOVED[player, term], term
        own = config.players[player].params
        assert any(part.startswith(tuple(own.split("|"))) for part in steep), term
        if "embedder" in steep:
            used = {name for name, tree in slopes["embedder"].items() if largest(tree)}
            assert used == (OF_LINEAR if term == "triplet" else OF_LOGITS), term


@functools.cache
def embed():
    config = structure()[0]
    return build_embed(config, narrow.CLASSES)


def vectors(params, modality):
    images = np.random.default_rng(4).integers(
        0, 256, (3, *structure()[0].size, 3), np.uint8
    )
    return np.asarray(embed()(params, structure()[3], images, modality)["fused"])


@pytest.mark.long
def test_a_vector_depends_on_the_encoder_and_a_visible_one_on_its_generator():
    _, _, params, _ = structure()
    for modality, needed in (
        ("visible", {"encoder", "generators/infrared"}),
        ("infrared", {"encoder"}),
    ):
        before, differs = vectors(params, modality), set()
        for part in parts_of(params):
            moved = jax.tree_util.tree_map_with_path(
                lambda path, x, part=part: (
                    1.3 * x + 0.1
                    if jax.tree_util.keystr(
                        path, simple=True, separator="/"
                    ).startswith(f"{part}/")
                    else x
                ),
                params,
            )
            if np.abs(vectors(moved, modality) - before).max() > 1e-4:
                differs.add(part)
        assert differs == needed, modality


@pytest.mark.long
def test_without_a_block_something_else_comes_out():
    """Residual blocks, the mirror image, the joint discriminator's map, the dropout."""
    config, graph, params, stats = structure()
    network = nnx.merge(graph, params, stats)
    images = views()

    def less(module):
        module.blocks = nnx.List([])
        return module

    def far(one, other):
        return float(jnp.abs(one - other).max()) > 1e-3

    x, maps = images["visible"], shown_to("infrared")[1]["map_visible"]
    maker = network.generators["infrared"]
    assert far(maker(x), less(nnx.clone(maker))(x))
    judge = network.discriminators["infrared"]
    assert far(judge(x, maps), judge(x, 0 * maps))
    seen = network.embed({"infrared": x}, {"infrared": "any"}, modality={})
    assert seen["features"]["v1"].shape[1] == 2
    assert far(*jnp.unstack(seen["features"]["v1"], axis=1))
    pooled = seen["features"]["v1"][:, 0]
    logits = [network.embedder.logits(pooled, rng) for rng in (None, jax.random.key(0))]
    assert far(*logits)


@pytest.mark.long
def test_a_run_is_not_exported_but_used_as_it_is():
    config, _, params, stats = structure()
    network = Network(embed(), params, stats, "fused", config.size)
    told = r"not the same for both .* operations and .*jreid.embed, .* take --workdir"
    with pytest.raises(ValueError, match=told):
        program_of(network)
