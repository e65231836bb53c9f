"""Whole networks of published systems, narrow: what a step and a test vector depend on.

A step is the loss and its gradient, without augmentation and dropout, on random
parameters, so that no block is the identity that some start as. A stage has one block.
"""

import copy
import functools
import pathlib
import sys

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import on_devices
import pytest

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.views import modality_of
from jreid.models.resnet import BLOCK_COUNTS
from jreid.training.build import build_embed, network_maker
from jreid.training.forward import make_forward
from jreid.training.learner import Work
from jreid.training.objective import make_objective
from jreid.training.state import TrainState, network_structure
from jreid.training.subtrees import merged, paths_of, split_by

pytestmark = pytest.mark.long  # each compiles a network, or several

SYSTEMS = (
    *("rle", "strong", "agw", "baseline", "caj", "caj_plus", "hctri", "hc", "vsd"),
    *("vsd_eq8", "mcja", "deen", "mmn", "xmodal", "xmodal_released", "bdtr", "tone"),
    *("tone_batch", "hcml", "cmcen", "mac_like", "mace_like", "dfe_like", "dpmbn_like"),
)
# one for each network and objective: strong has rle's, hcml has tone's
TRAINED = tuple(name for name in SYSTEMS if name not in ("strong", "hcml"))
# one for each way in which rows meet outside of the objective
WHOLE = ("caj", "deen", "mmn", "cmcen")
SHALLOW = {10: (1, 1, 1, 1)}


@pytest.fixture(autouse=True)
def one_block_per_stage(monkeypatch):
    for depth, counts in SHALLOW.items():
        monkeypatch.setitem(BLOCK_COUNTS, depth, counts)


def config_of(name):
    """Narrow and shallow, without what is random in a step."""
    config = narrow.narrow(name)
    for view in config.views.values():
        view.device = ()
    network = config.network
    trunk = network.trunk
    if not getattr(network, "tails", {}):  # which begin after a stage's first block
        trunk.depth = 10
        trunk.after = {x.replace(".1", ".0"): b for x, b in trunk.after.items()}
    if hasattr(network, "dropout"):
        network.dropout = 0.0
    for block in trunk.before.values():
        if hasattr(block, "dropout"):
            block.dropout = 0.0
    return config


# What positive numbers keep a ReLU from being always 0, and small ones the sums of
# cubes from growing.
POSITIVE, SMALL = "adapters", r"trunk/after/\w+/(channel|position)/bn/scale"


def random_state(config):
    """Parameters and statistics that neither grow nor vanish on their way."""
    _, params, stats = narrow.random_structure(config)
    params = jax.tree.map(
        lambda x: x * (5 / np.prod(x.shape[:-1]) ** 0.5 if x.ndim > 1 else 1), params
    )
    params = changed(POSITIVE, lambda x: jnp.abs(x) + 0.1, params)
    return changed(SMALL, lambda x: 1e-3 * x, params), stats


def changed(pattern, function, params):
    mine, others = split_by(pattern, params)
    return merged(jax.tree.map(function, mine), others)


def batch_of(config, slots=8):
    """Random images of identities that have two slots each; TONE's differ in half."""
    rng = np.random.default_rng(0)
    columns = {"images": {}, "ids": {}, "modality": {}}
    for name, view in config.views.items():
        ids = np.arange(slots) // 2
        modality = modality_of(view)
        numbers = np.arange(slots) % 2
        if modality:
            numbers[:] = MODALITY_NAMES.index(modality)
        if hasattr(config.sampling, "pairs") and modality == "infrared":
            ids[::2] = (ids[::2] + 1) % (slots // 2)
        shape = (slots, *config.size, 3)
        columns["images"][name] = rng.integers(0, 256, shape, np.uint8)
        columns["ids"][name] = ids.astype(np.int32)
        columns["modality"][name] = numbers.astype(np.int32)
    return columns


@functools.cache
def step_of(name):
    """A config, random state, and its compiled loss, gradient, scalars, statistics."""
    config = config_of(name)
    run = make_forward(network_structure(network_maker(config, narrow.CLASSES))[0], 0)
    objective = make_objective(config.objective)
    work = Work(config.objective, config.views)

    def step(params, stats, batch):
        state = TrainState(jnp.int32(0), params, stats, {}, {})

        def loss(params):
            return run(params, stats, batch, state, work, objective)

        grads, (scalars, moved, _, _) = jax.grad(loss, has_aux=True)(params)
        return grads, scalars, moved

    return config, random_state(config), jax.jit(step)


def close(one, other, tolerance=2e-3):
    """Leaf by leaf, relative to the largest number of all gradients or statistics."""
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(one))
    for (path, a), b in zip(
        jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True
    ):
        reach = tolerance * max(np.abs(a).max(), 1e-2 * scale)
        np.testing.assert_allclose(b, a, rtol=0, atol=reach, err_msg=str(path))


@pytest.mark.parametrize("name", TRAINED)
def test_every_weight_is_trained_whatever_the_order_of_a_batch(name):
    config, (params, stats), step = step_of(name)
    batch = batch_of(config)
    found = jax.device_get(step(params, stats, batch))
    grads, scalars, _ = found
    for path, leaf in jax.tree.leaves_with_path(grads):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, path
    terms = [term for term, part in config.objective.items() if part.weight]
    assert all(np.isfinite(scalars[f"loss/{term}"]) for term in terms)
    order = np.random.default_rng(1).permutation(8)
    mixed = jax.tree.map(lambda x: x[order], batch)
    again = jax.device_get(step(params, stats, mixed))
    for one, other in zip(found, again, strict=True):
        close(one, other)


# name -> parameters by pattern, and the modalities whose test vectors they change
BOTH = MODALITY_NAMES
CHANGES = {
    "rle": {"branches/s0/neck": BOTH, "branches/global/neck": BOTH}
    | {f"stems/{m}": (m,) for m in BOTH},
    "strong": {"branches/s2/neck": BOTH, "trunk/layer4": BOTH},
    "agw": {"trunk/after/layer2_0": BOTH, "trunk/after/layer3_0": BOTH},
    "baseline": {"branches/v1/neck": BOTH, "branches/v1/classifier": ()},
    "caj": {"trunk/after/layer2_0": BOTH} | {f"stems/{m}": (m,) for m in BOTH},
    "hctri": {f"stems/{m}/trunk/layer1": (m,) for m in BOTH}
    | {"branches/s5/project": BOTH, "branches/s0/classifier": ()},
    "hc": {f"stems/{m}/trunk/layer4": (m,) for m in BOTH}
    | {"branches/s5/project": BOTH},
    "vsd": {
        **{f"{net}/trunk": BOTH for net in (*BOTH, "shared")},
        **{f"{net}/trunk/before/layer4": BOTH for net in (*BOTH, "shared")},
        **{f"{net}/bottleneck": () for net in (*BOTH, "shared")},
    },
    "mcja": {"stems/any": BOTH, "trunk/after/layer2_0": BOTH},
    "deen": {
        **{f"trunk/after/layer{stage}": BOTH for stage in (1, 2, 3)},
        **{f"trunk/before/layer4/expanders/{k}": BOTH for k in (0, 1)},
    },
    "mmn": {f"adapters/of/{m}": (m,) for m in BOTH} | {"adapters/then": BOTH},
    "xmodal": {"stems/any": BOTH, "adapters": (), "branches/v1/neck": ()},
    "bdtr": {f"stems/{m}": (m,) for m in BOTH} | {"branches/v1/classifier": ()},
    "tone": {f"stems/{m}": (m,) for m in BOTH},
    "hcml": {f"stems/{m}": (m,) for m in BOTH},
    "cmcen": {"trunk/before/layer3": BOTH, "trunk/after/layer3_0": BOTH}
    | {f"stems/{m}/trunk/layer2": (m,) for m in BOTH}
    | {f"stems/{m}/trunk/after/layer2_0": (m,) for m in BOTH},
    "mac_like": {"branches/v1/own": (), "branches/v1/neck": BOTH},
    "mace_like": {"branches/v1/own": (), "trunk": BOTH},
    "dfe_like": {"stems/any": BOTH, "branches/s3/project": BOTH},
    "dpmbn_like": {f"tails/{tail}": BOTH for tail in ("one", "two", "three")}
    | {"branches/three_2/project": BOTH},
}


def images_of(config):
    return np.random.default_rng(2).integers(0, 256, (3, *config.size, 3), np.uint8)


@functools.cache
def embedder(name):
    config = config_of(name)
    return config, random_state(config), build_embed(config, narrow.CLASSES)


def fused(name, params, modality):
    config, (_, stats), embed = embedder(name)
    vectors = np.asarray(embed(params, stats, images_of(config), modality)["fused"])
    assert vectors.ndim == 2 and len(vectors) == 3 and np.isfinite(vectors).all()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("name", CHANGES)
def test_parameters_change_the_vectors_of_these_modalities(name):
    _, (params, _), _ = embedder(name)
    whole = {m: fused(name, params, m) for m in BOTH}
    rng = np.random.default_rng(3)
    for pattern, modalities in CHANGES[name].items():
        assert split_by(pattern, params)[0], (pattern, paths_of(params))
        moved = changed(
            pattern,
            lambda x: jnp.float32(x * rng.uniform(0.5, 2, x.shape)),
            params,
        )
        for modality in BOTH:
            gap = np.abs(fused(name, moved, modality) - whole[modality]).max()
            assert (gap > 1e-4) == (modality in modalities), (pattern, modality, gap)


PLACED = {
    "agw": ("after",),
    "cmcen": ("before", "after"),
    "mcja": ("after",),
    "deen": ("before", "after"),
    "vsd": ("before",),
}


@pytest.mark.parametrize("name", PLACED)
def test_without_any_of_its_blocks_the_vectors_are_others(name):
    config, (params, stats), _ = embedder(name)
    images, whole = images_of(config), fused(name, params, "infrared")
    if name == "deen":  # without what makes three rows of one there is a third of it
        config = copy.deepcopy(config)
        config.embedding.copies = "mean"
        embed = build_embed(config, narrow.CLASSES)
        whole = np.asarray(embed(params, stats, images, "infrared")["fused"])
    places = [(w, p) for w in PLACED[name] for p in getattr(config.network.trunk, w)]
    assert len(places) >= 2
    for where, place in places:
        less = copy.deepcopy(config)
        del getattr(less.network.trunk, where)[place]
        trees = (without(tree, where, place) for tree in (params, stats))
        embed = build_embed(less, narrow.CLASSES)
        found = np.asarray(embed(*trees, images, "infrared")["fused"])
        assert np.abs(found - whole).max() > 1e-4, (where, place)


def without(tree, where, place):
    """The tree without the block, be it in the trunk or in stems."""
    kept = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            kept[name] = without(value, where, place)
            if name == where:
                kept[name].pop(f"layer{place.replace('.', '_')}", None)
        else:
            kept[name] = value
    return kept


def test_xmodals_stem_has_no_relu():
    config, (params, stats), _ = embedder("xmodal")
    whole = fused("xmodal", params, "visible")
    other = copy.deepcopy(config)
    other.network.trunk.stem_relu = True
    embed = build_embed(other, narrow.CLASSES)
    found = np.asarray(embed(params, stats, images_of(config), "visible")["fused"])
    assert np.abs(found - whole).max() > 1e-4


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> pathlib.Path:
    """All on one, two and four devices."""
    folder = tmp_path_factory.mktemp("devices")
    on_devices.start(__file__, folder)
    return folder


@pytest.mark.parametrize("name", TRAINED)
def test_the_number_of_devices_changes_no_term(name, written):
    on_devices.check(written / f"{name}-terms.json")


@pytest.mark.parametrize("name", WHOLE)
def test_the_number_of_devices_changes_no_step(name, written):
    on_devices.check(written / f"{name}-step.json")


def terms_of(name):
    """Rows and made-up outputs, and the compiled slopes and values of all terms."""
    config = narrow.narrow(name)
    rows = narrow.rows_of(config, alike=not name.startswith("tone"))
    fixed = {key: rows.pop(key) for key in ("step", "epoch", "extra")}
    objective = make_objective(config.objective)
    slopes = jax.grad(lambda o, r: objective(o, r | fixed), has_aux=True)
    return (narrow.outputs_of(config, rows), rows), jax.jit(slopes)


def main():
    """Terms and steps of the systems, in the folder."""
    (folder,) = map(pathlib.Path, sys.argv[1:])
    BLOCK_COUNTS.update(SHALLOW)
    narrow.IDS = 4  # so that each device has as many rows
    for name in TRAINED:
        sharded, function = terms_of(name)
        on_devices.write(folder / f"{name}-terms.json", function, (), sharded)
    for name in WHOLE:
        config, state, step = step_of(name)
        on_devices.write(folder / f"{name}-step.json", step, state, (batch_of(config),))


if __name__ == "__main__":
    main()
