"""Networks of systems with learned parts, narrow: every weight counts."""

import copy
import functools

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
from flax import nnx

from jreid.models.embedding import unit_rows
from jreid.models.expansion import DiverseExpansion
from jreid.models.modules.keys import WeightKeys
from jreid.models.pooling import Average
from jreid.run.leaves import named_leaves
from jreid.training.build import build_embed, network_maker, stems
from jreid.training.objective import make_objective
from jreid.training.state import network_structure, params_and_stats

pytestmark = pytest.mark.long  # each compiles a network's step, or several networks

WITH_BLOCKS = ("mpanet", "saai", "pdm")
SYSTEMS = (*WITH_BLOCKS, "fbp_like")


def random_like(tree):
    """Small random numbers in the place of all values, so that none is 0."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(x + 0.05 * rng.normal(size=x.shape), jnp.float32), tree
    )


@functools.cache
def state_of(name):
    config = narrow.narrow(name)
    made = network_maker(config, narrow.CLASSES)(WeightKeys(0))
    params, stats = params_and_stats(made)
    return config, random_like(params), stats


def images_of(config, seed=0):
    rng = np.random.default_rng(seed)
    shape = (2 * narrow.IDS, *config.size, 3)
    return {
        view: jnp.asarray(rng.normal(size=shape), jnp.float32) for view in config.views
    }


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_weight_has_a_gradient_and_masks_are_given(name):
    config, params, stats = state_of(name)
    _, frozen = network_structure(network_maker(config, narrow.CLASSES))
    objective = make_objective(config.objective)
    rows, images = narrow.rows_of(config), images_of(config)
    own = {}
    if config.memory is not None:
        own = config.memory.init(params)["average"]
        own = {"average": jax.tree.map(lambda x: x[..., ::-1], own)}
    numbers = {"visible": 0, "infrared": 1}
    modality = {v: jnp.full(2 * narrow.IDS, numbers[v], jnp.int32) for v in images}

    def run(params):
        network = nnx.merge(frozen, params, stats)
        entered = {view: part.stem for view, part in config.views.items()}
        outputs = network(images, entered, modality=modality)
        order = [outputs.get(column, rows[column]) for column in ("source", "copy")]
        return objective(outputs, rows | {"extra": own, "params": params})[0], (
            outputs["masks"],
            order,
        )

    (_, found), gradient = jax.jit(jax.value_and_grad(run, has_aux=True))(params)
    masks, order = found
    for column, made in zip(("source", "copy"), order, strict=True):
        np.testing.assert_array_equal(made, rows[column])
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path
    (mask,) = masks.values()
    assert mask.shape[:3] == (len(rows["ids"]), 6, 2)
    assert mask.min() >= 0 and mask.max() <= 1 and mask.std() > 0


def three_images(config):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (3, *config.size, 3), np.uint8)


def embedder(config):
    """Parameters and statistics to the vectors of three images of a modality."""
    images = three_images(config)
    embed = build_embed(config, narrow.CLASSES)

    def vectors(params, stats, modality="visible"):
        return np.asarray(unit_rows(embed(params, stats, images, modality)["fused"]))

    return vectors


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_without_any_of_its_blocks_the_embedding_is_another(name):
    config, params, stats = state_of(name)
    whole = embedder(config)(params, stats)
    trunk = config.network.trunk
    places = [("before", p) for p in trunk.before if p != max(trunk.before)]
    places += [("after", p) for p in trunk.after]
    assert places
    for where, place in places:
        less = copy.deepcopy(config)
        del getattr(less.network.trunk, where)[place]
        found = embedder(less)(
            *(without(tree, where, f"layer{place}") for tree in (params, stats))
        )
        assert np.abs(found - whole).max() > 1e-4, (where, place)


def average_for_parts(config):
    """Of the branch with masks the map's mean alone is left."""
    config.network.branches[-1].pool = Average()


def nothing_between(config):
    (expansion,) = (
        block
        for block in config.network.trunk.before.values()
        if isinstance(block, DiverseExpansion)
    )
    expansion.between = None


# Blocks of a branch or inside of a block: what takes one away, and where it is.
INNER = {
    ("mpanet", "masks"): (average_for_parts, "branches/v1/pool/"),
    ("saai", "prototypes"): (average_for_parts, "branches/v1/pool/"),
    ("pdm", "prototypes"): (average_for_parts, "branches/v2/pool/"),
    ("pdm", "attention"): (nothing_between, "/between/"),
}


@functools.cache
def vectors_and_slopes(name):
    """Of three images, and what a projection of their vectors has in all parameters."""
    config, params, stats = state_of(name)
    images, embed = three_images(config), build_embed(config, narrow.CLASSES)

    def projected(params):
        vectors = unit_rows(embed(params, stats, images, "visible")["fused"])
        onto = np.random.default_rng(2).normal(size=vectors.shape)
        return jnp.sum(vectors * jnp.float32(onto)), vectors

    slopes, vectors = jax.jit(jax.grad(projected, has_aux=True))(params)
    return vectors, named_leaves(slopes)


@pytest.mark.parametrize("name, block", INNER)
def test_vectors_depend_on_an_inner_block(name, block):
    """Without it images are compared otherwise; with it they have a slope in it.

    The slope is of the vectors alone, as terms stand on masks too. It is cosines that
    are compared, as vectors without parts are shorter.
    """
    whole, slopes = vectors_and_slopes(name)
    take_away, path = INNER[name, block]
    own = {key: x for key, x in slopes.items() if path in key}
    assert own
    for key, slope in own.items():
        assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-6, key
    config, params, stats = state_of(name)
    less = copy.deepcopy(config)
    take_away(less)
    _, *shapes = narrow.structure_of(less)
    trees = zip((params, stats), shapes, strict=True)
    fewer_params, fewer_stats = (last_of(*pair) for pair in trees)
    fewer = embedder(less)(fewer_params, fewer_stats)
    assert (fewer.shape == whole.shape) == (block == "attention")
    assert np.abs(fewer @ fewer.T - whole @ whole.T).max() > 1e-4


def last_of(tree, shapes):
    """What a smaller network has as well: of an axis that is shorter, the last values.

    The map's own mean comes after those of its parts.
    """
    if isinstance(shapes, dict):
        return {key: last_of(tree[key], value) for key, value in shapes.items()}
    return tree[tuple(slice(-n, None) for n in shapes.shape)]


def without(tree, where, name):
    kept = copy.deepcopy(tree)
    kept["trunk"].get(where, {}).pop(name, None)
    return kept


def test_modalities_have_their_own_necks():
    """SAAI's: the statistics of one modality are not the other's."""
    config, params, stats = state_of("saai")
    assert stems(config.views) == {"visible": "any", "infrared": "any"}
    neck = stats["branches"]["v1"]["neck"]
    moved = copy.deepcopy(stats)
    moved["branches"]["v1"]["neck"]["var"] = neck["var"].at[1, ::2].mul(9.0)
    vectors = embedder(config)
    for modality, differs in (("visible", False), ("infrared", True)):
        before, after = (vectors(params, s, modality) for s in (stats, moved))
        assert (np.abs(before - after).max() > 1e-3) == differs
