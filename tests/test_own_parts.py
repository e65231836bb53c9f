"""What makes a system itself: each of its own terms and blocks changes something.

Those of aligngan, d2rl_like, hicmd and jsia's encoder are in their own files; masks,
prototypes and gates in test_system_blocks.py.
"""

import copy
import functools

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
from parameters import slow
from term_slopes import largest, parts_of, slopes_of, state_of

from jreid import parts
from jreid.models.embedding import unit_rows
from jreid.models.pooling import Average
from jreid.training.build import build_embed

LONG = pytest.mark.long  # most compile a network's step
STEMS = {"stems/visible", "stems/infrared"}
TWO, ONE = {*STEMS, "trunk"}, {"stems/any", "trunk"}  # of which the last map is made
HEAD = "branches/v1"
TOKENS = {"patches", "class_token", "positions", "blocks/0", "blocks/1", "norm"}
MADE = {"generators/visible", "generators/infrared"}
JUDGES = {"discriminators/visible", "discriminators/infrared"}
STYLES = {"styles/visible", "styles/infrared"}
# system and player -> its own terms, and the parts that have a gradient of each
TERMS = {
    "ddag": {
        "identity_parts": {*TWO, HEAD, "branches/parts"},
        "graph": {*TWO, "graph"},
    },
    "cmcen_adv": {
        "modality": {*TWO, "discriminators/modality"},
        "centres": {*TWO, HEAD},
        "scales": {"trunk"},
    },
    "dscnet_paper": {
        "divergence": {*TWO, HEAD},
        "stems": STEMS,
        "channels": STEMS,
    },
    "cmgan": {"modality": {*ONE, "discriminators/modality"}, "triplet": ONE},
    "mpanet": dict.fromkeys(
        ("identity_own", "centres", "overlap", "teacher"), {*ONE, HEAD}
    ),
    "saai": dict.fromkeys(
        ("identity_own", "centres", "spread", "teacher"), {*ONE, HEAD}
    ),
    "pdm": {
        **dict.fromkeys(
            ("identity_parts", "spread", "centres", "pair_mining"),
            {*TWO, "branches/v2"},
        ),
        "orthogonality": TWO,
    },
    "fbp_like": {
        **dict.fromkeys(
            ("identity_parts", "triplet_cross", "triplet_within", "spread"),
            {*TWO, "branches/parts"},
        ),
        "modality": {*TWO, "discriminators/modality"},
    },
    "pmt": dict.fromkeys(("shared", "centres"), TOKENS),
    # rows of both modalities have their norms' statistics in common
    "adca": dict.fromkeys(("visible", "infrared"), {*TWO, HEAD}),
    "pgm": dict.fromkeys(("visible", "infrared", "cross"), {*TWO, HEAD}),
    "mtgan_like generators": {"fool": {*MADE, *JUDGES}, "cycle": MADE, "same": MADE},
    "mtgan_like visible": dict.fromkeys(("real", "fake"), {"discriminators/visible"}),
    "mtgan_like encoder": dict.fromkeys(("identity", "triplet"), {"reid"}),
    "jsia generators": {
        "fool": {*STYLES, *JUDGES, "encoder"},
        **dict.fromkeys(("same", "cycle", "content", "style"), {*STYLES, "encoder"}),
    },
    "jsia discriminators": dict.fromkeys(("real", "fake"), JUDGES),
}
# system -> what the vector of an image of one modality depends on
VECTORS = {
    "ddag": {"stems/{own}", "trunk", HEAD, "branches/parts"},
    "cmcen_adv": {"stems/{own}", "trunk", HEAD},
    "cmgan": ONE,
    "fbp_like": {"stems/{own}", "trunk", "branches/global", "branches/parts"},
    "mtgan_like": {"reid", "generators/{other}"},
    "hicmd": {"prototypes/{own}", "attributes/{own}", "reid"},
    "jsia": {"encoder"},
    "pmt": {*TOKENS, "neck"},
    "adca": {"stems/{own}", "trunk", HEAD},
    "pgm": {"stems/{own}", "trunk", HEAD},
}


def mostly_long(names, *quicker):
    """Parameters, long but for those that take seconds."""
    return [slow(n) if n in quicker else pytest.param(n, marks=LONG) for n in names]


@functools.cache
def found(name):
    """Each term's share of the loss and its slopes, at random parameters."""
    system, _, player = name.partition(" ")
    return slopes_of(*state_of(system), player)


@pytest.mark.parametrize("name", mostly_long(TERMS, "pmt"))
def test_each_own_term_changes_the_loss_and_moves_its_parts(name):
    for term, moved in TERMS[name].items():
        share, slopes = found(name)[term]
        assert np.isfinite(share) and abs(share) > 1e-6, term
        steep = {n for n, x in parts_of(slopes).items() if largest(x) > 0}
        assert steep == moved, term


@LONG
@pytest.mark.parametrize("system", ["cmcen_adv", "cmgan", "fbp_like"])
def test_an_adversary_hides_the_modality_by_its_reversal(system):
    """Without it the discriminator learns as it did, and the network nothing of it."""
    config, graph, params, stats = state_of(system)
    calm = copy.deepcopy(config)
    for adversary in calm.network.discriminators.values():
        adversary.reversal = 0.0
    calm.objective = {"modality": calm.objective["modality"]}
    _, slopes = slopes_of(calm, narrow.structure_of(calm)[0], params, stats)["modality"]
    before = found(system)["modality"][1]["discriminators"]
    for pair in zip(
        *map(jax.tree.leaves, (slopes["discriminators"], before)), strict=True
    ):
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-7)
    steep = {n for n, x in parts_of(slopes).items() if largest(x) > 0}
    assert steep == {"discriminators/modality"}


def embedder(config):
    """`vectors(params, stats, modality)` of three images."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (3, *config.size, 3), np.uint8)
    embed = build_embed(config, narrow.CLASSES)

    def vectors(params, stats, modality):
        return np.asarray(unit_rows(embed(params, stats, images, modality)["fused"]))

    return vectors


def changed(part, params):
    """Parameters of which those of one part are others, by a tenth."""
    rng = np.random.default_rng(3)

    def other(leaf):
        return jnp.float32(leaf * (1 + 0.1 * rng.normal(size=leaf.shape)))

    first, _, second = part.partition("/")
    inner = params[first]
    key = int(second) if second.isdecimal() else second
    moved = jax.tree.map(other, inner[key] if second else inner)
    return params | {first: inner | {key: moved} if second else moved}


@pytest.mark.parametrize("system", mostly_long(VECTORS, "pmt"))
def test_a_vector_depends_on_its_own_parts_alone(system):
    config, _, params, stats = state_of(system)
    vectors, both = embedder(config), ("visible", "infrared")
    for own, other in (both, both[::-1]):
        before, needed = vectors(params, stats, own), set()
        for part in parts_of(params):
            after = vectors(changed(part, params), stats, own)
            assert np.isfinite(after).all(), part
            needed |= {part} if np.abs(after - before).max() > 1e-4 else set()
        assert needed == {x.format(own=own, other=other) for x in VECTORS[system]}


def without(where, *places):
    """Takes blocks out of a trunk."""

    def less(config):
        for place in places:
            del getattr(config.network.trunk, where)[place]

    return less


def plain_parts(config):
    config.network.branches[1].pool = Average()


def parts_alone(config):
    config.network.branches[1].adds = ""


def no_block_after(config):
    config.network.trunk.after.clear()


# system -> blocks that a test vector is made by, and what takes one away
BLOCKS = {
    "ddag": {"attention": plain_parts, "sum": parts_alone},
    "cmcen_adv": {"exchange": without("before", "3"), "non-local": no_block_after},
    "pgm": {"non-local": no_block_after},
}


def pairs(table):
    return [(system, name) for system, names in table.items() for name in names]


def kept(tree, shapes):
    """The arrays that a smaller network has as well, which are all of its own."""
    if not isinstance(shapes, dict):
        assert tree.shape == shapes.shape
        return tree
    return {key: kept(tree[key], value) for key, value in shapes.items()}


@LONG
@pytest.mark.parametrize("system, block", pairs(BLOCKS))
def test_without_an_own_block_the_embedding_is_another(system, block):
    config, _, params, stats = state_of(system)
    less = copy.deepcopy(config)
    BLOCKS[system][block](less)
    parts.check(less)
    _, *shapes = narrow.structure_of(less)
    trees = [kept(*pair) for pair in zip((params, stats), shapes, strict=True)]
    whole, fewer = embedder(config), embedder(less)
    for modality in ("visible", "infrared"):
        before, after = whole(params, stats, modality), fewer(*trees, modality)
        assert after.shape == before.shape
        assert np.abs(after - before).max() > 1e-3
