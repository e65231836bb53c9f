"""What every term of a published system holds to, whatever it computes."""

import functools

import jax
import numpy as np
import pytest

from jreid.losses.agreement import Agreement, IdentityOfMean
from jreid.losses.alignment import CorrelationAlignment, DistributionAlignment
from jreid.losses.batch_hard_among import BatchHardAmong
from jreid.losses.birank import BiRank
from jreid.losses.both_sides import BothSidesTriplet
from jreid.losses.centre_separation import CentreSeparation
from jreid.losses.centres import HeteroCenterTriplet
from jreid.losses.concatenation import OnConcatenation
from jreid.losses.contrastive import Contrastive
from jreid.losses.hetero_centre import HeteroCentre
from jreid.losses.mean_contrast import MeanContrast
from jreid.losses.pair_mining import Orthogonality, PairMining
from jreid.losses.random_projection import RandomProjectionDistance
from jreid.losses.rank_list import RankList
from jreid.losses.released_distillation import ReleasedSelfDistillation
from jreid.losses.sinkhorn import Sinkhorn
from jreid.losses.squared_weighted_triplet import SquaredWeightedTriplet
from jreid.losses.views import ViewCrossEntropy, ViewDivergence

STRIPES = (("features.v1", 1.0), ("features.v2", 0.5))
TERMS = {
    "agreement": Agreement(("logits.v1", "logits.v2"), on="logits.z1"),
    "identity_of_mean": IdentityOfMean((("logits.v1", 0.5), ("logits.v2", 0.5))),
    "distribution": DistributionAlignment(STRIPES),
    "correlation": CorrelationAlignment(STRIPES),
    "unions": BatchHardAmong((((0, 0), (1, 0)), ((0, 1), (1, 0))), margin=50.0),
    "birank": BiRank(margin_across=2.0),
    "both_sides": BothSidesTriplet(margin=50.0),
    "both_sides_released": BothSidesTriplet(margin=50.0, exchanged=True),
    "separation": CentreSeparation(),
    "concatenation": OnConcatenation(
        HeteroCenterTriplet(on="features.concatenation", margin=50.0), STRIPES
    ),
    "contrastive": Contrastive(),
    "contrastive_batch": Contrastive(normalise="batch"),
    "hetero_centre": HeteroCentre(),
    "mean_contrast": MeanContrast(),
    "orthogonality": Orthogonality(),
    "pair_mining": PairMining(margin=50.0),
    "random_projection": RandomProjectionDistance(width=16),
    "rank_list": RankList(),
    "released_distillation": ReleasedSelfDistillation(),
    "sinkhorn": Sinkhorn(on="logits.v1", other="logits.v2"),
    "squared_triplet": SquaredWeightedTriplet(limit=0.0),
    "view_cross_entropy": ViewCrossEntropy(teacher=1),
    "view_divergence": ViewDivergence(),
}
# Three identities; 6 slots of two visible views and infrared, three copies of each.
SLOTS, VIEWS, COPIES = 6, 3, 3
ROWS = [(s, v, c) for s in range(SLOTS) for v in range(VIEWS) for c in range(COPIES)]
SLOT, VIEW, COPY = (np.array(column, np.int32) for column in zip(*ROWS, strict=True))
BATCH = {
    "ids": SLOT // 2,
    "modality": (VIEW == 2).astype(np.int32),
    "view": VIEW,
    "slot": SLOT,
    "copy": COPY,
    "source": SLOT * VIEWS + VIEW,
}


def random_outputs(scale=1.0, seed=0):
    rng = np.random.default_rng(seed)

    def draw(width):
        return (scale * rng.normal(size=(len(ROWS), width))).astype(np.float32)

    return {
        "features": {name: draw(8) for name in ("v1", "v2")},
        "embeddings": {name: draw(8) for name in ("v1", "v2")},
        "logits": {name: draw(5) for name in ("v1", "v2", "z1")},
    }


@functools.cache
def compiled(name):
    def value(outputs, batch):
        return TERMS[name](outputs, batch, jax.random.key(0))

    return jax.jit(jax.value_and_grad(value))


def value_and_gradient(name, outputs, batch=None):
    return jax.device_get(compiled(name)(outputs, BATCH if batch is None else batch))


def rows_of(tree, order):
    return jax.tree.map(lambda x: x[order], tree)


@pytest.mark.parametrize("name", TERMS)
def test_gradient_is_not_zero_and_stays_finite(name):
    for scale in (0.0, 1e-3, 1.0, 1e2, 3e3):  # distances up to 1e4
        value, gradient = value_and_gradient(name, random_outputs(scale))
        assert np.isfinite(value)
        leaves = jax.tree.leaves(gradient)
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        if scale == 1.0:
            assert value.shape == ()
            assert max(np.abs(leaf).max() for leaf in leaves) > 1e-6


@pytest.mark.parametrize("name", TERMS)
def test_the_order_of_rows_changes_nothing(name):
    order = np.random.default_rng(3).permutation(len(ROWS))
    outputs = random_outputs()
    value, gradient = value_and_gradient(name, outputs)
    mixed = value_and_gradient(name, rows_of(outputs, order), rows_of(BATCH, order))
    np.testing.assert_allclose(mixed[0], value, rtol=2e-5, atol=1e-6)
    back = rows_of(mixed[1], np.argsort(order))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5),
        back,
        gradient,
    )


@pytest.mark.parametrize("name", TERMS)
def test_a_negative_weight_is_refused(name):
    term = TERMS[name]
    term.check()
    weight, term.weight = term.weight, -1.0
    with pytest.raises(ValueError, match="weight is -1"):
        term.check()
    term.weight = weight


@pytest.mark.slow
@pytest.mark.parametrize("name", TERMS)
def test_one_identity_and_no_partner_stay_finite(name):
    """A batch of one image of one identity: nothing to compare it with."""
    outputs = rows_of(random_outputs(), np.array([0]))
    value, gradient = value_and_gradient(name, outputs, rows_of(BATCH, np.array([0])))
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
