"""The paper's rows compute what they computed before networks were made of parts.

The numbers were computed by the program of configs that were one bag of values
(version 0.1.0), with the same widths, seed and images.
"""

import jax
import jax.numpy as jnp
import numpy as np
import paper_parts
import pytest
from flax import nnx

from jreid.models.embedding import Embedding
from jreid.models.two_stream import Branch
from jreid.run.leaves import named_leaves
from jreid.training.objective import make_objective
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

ROWS = {
    "full": {
        "options": {},
        "parameters": (100, 797.7832265518747, 11113.185422883285),
        "first": {
            "loss": 9.107548713684082,
            "loss/identity_v1": 1.6107317209243774,
            "loss/identity_v2": 1.6104955673217773,
            "loss/identity_z1": 1.6111719608306885,
            "loss/identity_z2": 1.6111648082733154,
            "loss/vsd_1": 2.9211227229097858e-05,
            "loss/vsd_2": 3.0135448469081894e-05,
            "loss/wrt": 1.3978599309921265,
            "loss/hc_tri": 1.266065001487732,
            "grad_norm": 82.8575210571289,
        },
        "third": (6.690854072570801, 47.68702697753906),
        "trained": (11120.210609841282, 891.711958861159),
        "infrared": {
            "fused": 65.77481634698051,
            "v1": 46.39157432960201,
            "v2": 46.62806630982959,
        },
        "flipped": {
            "fused": 66.77027159947738,
            "v1": 47.08586614325941,
            "v2": 47.34155990716681,
        },
    },
    "base": {
        "options": {"branches": (Branch("v1"),), "refined": ()},
        "parameters": (86, 692.0166921081226, 10497.214809432622),
        "first": {
            "loss": 2.9257688522338867,
            "loss/identity_v1": 1.609730839729309,
            "loss/wrt": 1.316037893295288,
            "grad_norm": 37.70750427246094,
        },
        "third": (2.0358362197875977, 14.351240158081055),
        "trained": (10499.923631654663, 681.2516602785978),
        "infrared": {"fused": 44.26173571124673, "v1": 44.261735159670934},
        "flipped": {"fused": 47.12049163613119, "v1": 47.12049027797184},
    },
}


def total(tree, function=np.sum):
    """Of all leaves, in float64."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    return float(sum(function(leaf) for leaf in leaves))


def make_images():
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 48, 24, 3), np.uint8)
    return np.float32((images / 255 - MEAN) / STD)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_paper_is_what_it_was(row):
    pinned = ROWS[row]
    part = paper_parts.network(**pinned["options"])
    build = jax.jit(
        lambda key: paper_parts.state_of(part.make(5, nnx.Rngs(key), jnp.float32))[1:]
    )
    params, stats = build(jax.random.key(3))
    count, plain, absolute = pinned["parameters"]
    assert len(named_leaves(params)) == count
    np.testing.assert_allclose(total(params), plain, rtol=1e-6)
    found = total(params, lambda x: np.abs(x).sum())
    np.testing.assert_allclose(found, absolute, rtol=1e-6)

    made = nnx.eval_shape(lambda: part.make(5, nnx.Rngs(0), jnp.float32))
    terms = paper_parts.objective(
        tuple(branch.name for branch in part.branches),
        () if part.refine is None else part.refine.of,
    )
    tx = SGD().make(Steps().make(2, 0.1))
    step = paper_parts.make_step(nnx.graphdef(made), make_objective(terms), tx)
    images = make_images()
    batch = {
        "ids": jnp.arange(8).repeat(2) // 2,
        "modality": jnp.tile(jnp.arange(2), 8),
    }
    opt_state = tx.init(params)
    views = paper_parts.columns(images)
    scalars = []
    for _ in range(3):
        params, stats, opt_state, values = step(params, stats, opt_state, views, batch)
        scalars.append(values)
    assert scalars[0].keys() == pinned["first"].keys()
    for name, value in pinned["first"].items():
        np.testing.assert_allclose(
            scalars[0][name], value, rtol=1e-4, atol=1e-7, err_msg=name
        )
    third = scalars[2]["loss"], scalars[2]["grad_norm"]
    np.testing.assert_allclose(third, pinned["third"], rtol=1e-3)
    trained = total(params, lambda x: np.abs(x).sum()), total(stats)
    np.testing.assert_allclose(trained, pinned["trained"], rtol=1e-5)

    frozen = nnx.merge(
        nnx.graphdef(nnx.view(made, use_running_average=True)), params, stats
    )
    infrared = Embedding()(frozen.embed({"x": views["infrared"]}, {"x": "infrared"}))
    sums = {name: float(x.sum()) for name, x in infrared.items()}
    assert sums == pytest.approx(pinned["infrared"], rel=1e-3)
    mirrored = views["visible"][:, :, ::-1]
    flipped = Embedding(flip=True)(
        frozen.embed({"x": views["visible"]}, {"x": "visible"}),
        frozen.embed({"x": mirrored}, {"x": "visible"}),
    )
    sums = {name: float(x.sum()) for name, x in flipped.items()}
    assert sums == pytest.approx(pinned["flipped"], rel=1e-3)
