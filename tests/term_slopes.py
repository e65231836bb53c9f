"""Each term's value and slopes in a narrow system, by the forward that trains it."""

import functools
import math

import jax
import jax.numpy as jnp
import narrow
import numpy as np

from jreid.data.datasets import MODALITY_NAMES
from jreid.models.content_style import ContentStyleNetwork
from jreid.training.forward import make_forward
from jreid.training.learner import Work
from jreid.training.state import TrainState

SLOTS = 2 * narrow.IDS
# subtrees of a network that are parts each, as stems/visible
NESTED = {"stems", "branches", "blocks", "generators", "discriminators", "styles"}
NESTED |= {"prototypes", "attributes"}


@functools.cache
def state_of(name):
    """The narrow config, its structure, and random numbers in all places."""
    config = narrow.narrow(name)
    if isinstance(config.network, ContentStyleNetwork):
        config.network.trunk.stages = (
            2  # its encoder is compiled for each kind of image
        )
    graph, params, stats = narrow.random_structure(config)
    return config, graph, jax.tree_util.tree_map_with_path(_bounded, params), stats


def _bounded(path, leaf):
    """A kernel whose outputs are about as large as its inputs; others as they are."""
    if "kernel" not in jax.tree_util.keystr(path):
        return leaf
    return leaf * 5 / math.prod(leaf.shape[:-1]) ** 0.5


def batch_of(config):
    """Noise of three identities, two images of each in every view."""
    rng, shape = np.random.default_rng(1), (SLOTS, *config.size, 3)
    views = {v: view.modality or v for v, view in config.views.items()}
    images = {v: jnp.asarray(rng.integers(0, 256, shape, np.uint8)) for v in views}
    ids = {v: jnp.repeat(jnp.arange(narrow.IDS), 2) for v in views}
    modality = {v: jnp.full(SLOTS, int(m == "infrared")) for v, m in views.items()}
    return {"images": images, "ids": ids, "modality": modality}


def extra_of(config, params):
    """Teachers that are not their pupils, clusters, a pace: of an epoch in between."""
    own = {} if config.memory is None else config.memory.init(params)
    if "average" in own:
        return {"average": jax.tree.map(lambda x: x[..., ::-1], own["average"])}
    if "pace" in own:
        return {"pace": own["pace"] | {"factor": jnp.float32(0.5)}}
    if "clusters" in own:
        vectors = np.random.default_rng(7).normal(size=own["clusters"].shape)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        match = jnp.asarray([[1, 2, 0, 4, -1], [2, 0, 1, -1, 3]])
        return own | {"clusters": jnp.float32(vectors), "match": match}
    return own


def shown(config):
    """Images as generators give them to the later players."""
    rng = np.random.default_rng(2)
    shape = (SLOTS, *getattr(config.network, "size", config.size), 3)
    names = [f"{kind}{m}" for kind in ("", "made_") for m in MODALITY_NAMES]
    return {n: jnp.tanh(jnp.float32(rng.normal(size=shape))) for n in names}


def slopes_of(config, graph, params, stats, player=""):
    """Of each term its weighted value and its slopes in all parameters."""
    terms = config.players[player].objective if player else config.objective
    terms = {name: term for name, term in terms.items() if term.weight}
    more = {"player": player, "made": shown(config)} if player else {}
    work = Work(terms, config.views, epoch=lambda step: step + 1)
    state = TrainState(jnp.int32(0), params, stats, {}, extra_of(config, params))
    run, batch = make_forward(graph, 0), batch_of(config)

    @jax.jit
    def slopes(params, chosen):
        def objective(outputs, rows, rng):
            values = [
                term.weight * term(outputs, rows, jax.random.fold_in(rng, number))
                for number, term in enumerate(terms.values())
            ]
            return jnp.sum(chosen * jnp.stack(values)), {"values": jnp.stack(values)}

        def loss(params):
            return run(params, stats, batch, state, work, objective, **more)

        (_, found), slopes = jax.value_and_grad(loss, has_aux=True)(params)
        return found[0]["values"], slopes

    return narrow.one_by_one(terms, slopes, params)


def parts_of(tree):
    """The parts of a network's parameters by name, without the empty ones."""
    found = {}
    for name, inner in tree.items():
        nested = name in NESTED
        found |= {f"{name}/{k}": x for k, x in inner.items()} if nested else {}
        found |= {} if nested else {name: inner}
    return {name: x for name, x in found.items() if jax.tree.leaves(x)}


def largest(tree):
    """The largest absolute value, which has to be a number."""
    found = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
    assert np.isfinite(found)
    return found
