"""The paper's rows compute what they computed before networks were made of parts.

The numbers were computed by the program of configs that were one bag of values
(version 0.1.0), with the same widths, seed and images;
one residual block a stage, which compiles faster.
"""

import jax
import jax.numpy as jnp
import numpy as np
import paper_parts
import pytest
from flax import nnx

from jreid.models.embedding import Embedding
from jreid.models.modules.keys import WeightKeys
from jreid.models.resnet import BLOCK_COUNTS
from jreid.models.two_stream import Branch
from jreid.run.leaves import named_leaves
from jreid.training.objective import make_objective
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

ROWS = {
    "full": {
        "options": {},
        "parameters": (76, 520.3807284936552, 5655.211375199588),
        "first": {
            "grad_norm": 36.58928298950195,
            "loss": 8.650147438049316,
            "loss/hc_tri": 0.9313857555389404,
            "loss/identity_v1": 1.6089671850204468,
            "loss/identity_v2": 1.609154224395752,
            "loss/identity_z1": 1.6100506782531738,
            "loss/identity_z2": 1.61005437374115,
            "loss/vsd_1": 2.872746335924603e-05,
            "loss/vsd_2": 3.981184636359103e-05,
            "loss/wrt": 1.2804667949676514,
        },
        "third": (6.407442569732666, 7.8797478675842285),
        "trained": (5662.472156715076, 635.869098074893),
        "infrared": {
            "fused": 51.728437301004305,
            "v1": 36.55982118239626,
            "v2": 36.59523989260197,
        },
        "flipped": {
            "fused": 53.541648531972896,
            "v1": 37.83100370594184,
            "v2": 37.88832302411902,
        },
    },
    "base": {
        "options": {"branches": (Branch("v1"),), "refined": ()},
        "parameters": (62, 414.0974066303427, 5025.119361035711),
        "first": {
            "grad_norm": 14.450726509094238,
            "loss": 2.8017477989196777,
            "loss/identity_v1": 1.6090457439422607,
            "loss/wrt": 1.1927019357681274,
        },
        "third": (2.1502294540405273, 7.133021354675293),
        "trained": (5027.685250998646, 432.76097569672584),
        "infrared": {"fused": 37.53792765043909, "v1": 37.53792750596767},
        "flipped": {"fused": 39.02476046263473, "v1": 39.02475939138094},
    },
}


def total(tree, function=np.sum):
    """Of all leaves, in float64."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    return float(sum(function(leaf) for leaf in leaves))


def make_images():
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 48, 24, 3), np.uint8)
    return ((images / 255 - MEAN) / STD).astype(np.float32)


@pytest.mark.long
@pytest.mark.parametrize("row", ["full", "base"])
def test_a_row_of_the_paper_is_what_it_was(row, monkeypatch):
    monkeypatch.setitem(BLOCK_COUNTS, 10, (1, 1, 1, 1))
    pinned = ROWS[row]
    part = paper_parts.network(depth=10, after=("2.0", "3.0"), **pinned["options"])

    def build(key):
        return paper_parts.state_of(part.make(5, WeightKeys(key), jnp.float32))[1:]

    params, stats = jax.jit(build)(jax.random.key(3))
    count, plain, absolute = pinned["parameters"]
    assert len(named_leaves(params)) == count
    np.testing.assert_allclose(total(params), plain, rtol=1e-6)
    found = total(params, lambda x: np.abs(x).sum())
    np.testing.assert_allclose(found, absolute, rtol=1e-6)

    made = nnx.eval_shape(lambda: part.make(5, WeightKeys(0), jnp.float32))
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
