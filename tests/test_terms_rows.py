"""Terms take the rows that they say: their functions, on pairs found in a loop."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_terms import BATCH, ROWS, STRIPES, random_outputs

from jreid.losses.agreement import Agreement, agreement
from jreid.losses.alignment import (
    CorrelationAlignment,
    DistributionAlignment,
    decorrelation,
    jensen_shannon,
)
from jreid.losses.batch_hard_among import BatchHardAmong, batch_hard_among
from jreid.losses.contrastive import Contrastive, contrastive
from jreid.losses.pair_mining import PairMining, pair_mining
from jreid.losses.rank_list import RankList, rank_list
from jreid.losses.squared_weighted_triplet import squared_weighted_triplet
from jreid.losses.views import (
    ViewCrossEntropy,
    ViewDivergence,
    view_cross_entropy,
    view_divergence,
)

OUTPUTS = jax.tree.map(jnp.asarray, random_outputs())
KNOWN = jax.tree.map(jnp.asarray, BATCH)
IDS, MODALITY, COPY = (KNOWN[name] for name in ("ids", "modality", "copy"))
UNIONS = (((0, 0), (1, 0)), ((0, 1), (1, 2)))  # of (modality, copy)
MARGINS: dict[str, Any] = {
    "margin_within": 0.5,
    "reach_within": 1.2,
    "margin_across": 0.8,
    "reach_across": 1.6,
}


def features(name):
    return OUTPUTS["features"][name]


def logits(name):
    return OUTPUTS["logits"][name]


def pairs_of(first, second):
    """Rows of one slot and copy, the one of a view and copy `first`, the other ..."""
    found = np.zeros((len(ROWS), len(ROWS)), bool)
    for i, (slot, *one) in enumerate(ROWS):
        for j, (other_slot, *other) in enumerate(ROWS):
            alike = slot == other_slot and one[1] == other[1]
            found[i, j] = alike and first(*one) and second(*other)
    return jnp.asarray(found)


def students():
    """A row of the first visible view, and the infrared one that learns from it."""
    return pairs_of(lambda view, copy: view == 0, lambda view, copy: view == 2)


def across():
    """The first view of each modality, not its copies."""
    return pairs_of(
        lambda view, copy: (view, copy) == (0, 0),
        lambda view, copy: (view, copy) == (2, 0),
    )


def hard_among():
    """The sum over unions."""
    rows = [
        [(modality == MODALITY) & (copy == COPY) for modality, copy in union]
        for union in UNIONS
    ]
    return sum(
        batch_hard_among(features("v1"), IDS, one | other, margin=50.0)
        for one, other in rows
    )


def mined():
    """Of each of the two copies that are made of a row."""
    known = features("v1"), IDS, MODALITY, COPY
    return sum(pair_mining(*known, made=made, margin=50.0) for made in (1, 2))


def stripes():
    return jnp.stack([share * features(on[-2:]) for on, share in STRIPES])


EXPECTED = {
    "divergence": (
        ViewDivergence(),
        lambda: view_divergence(logits("v1"), students()),
    ),
    "cross_entropy": (
        ViewCrossEntropy(teacher=2),
        lambda: view_cross_entropy(logits("v1"), students()),
    ),
    "contrastive": (
        Contrastive(margin=1.2),
        lambda: contrastive(features("v1"), IDS, across(), margin=1.2),
    ),
    "contrastive_batch": (
        Contrastive(margin=1.2, normalise="batch"),
        lambda: contrastive(features("v1"), IDS, across(), MODALITY, margin=1.2),
    ),
    "distribution": (
        DistributionAlignment(STRIPES),
        lambda: jensen_shannon(stripes(), across()),
    ),
    "correlation": (
        CorrelationAlignment(STRIPES),
        lambda: decorrelation(stripes().mean(axis=0), across()),
    ),
    "unions": (BatchHardAmong(UNIONS, margin=50.0), lambda: hard_among() / 2),
    "unions_sum": (BatchHardAmong(UNIONS, margin=50.0, reduction="sum"), hard_among),
    "pair_mining": (PairMining(margin=50.0), mined),
    "agreement": (
        Agreement(("logits.v1", "logits.v2"), on="logits.z1"),
        lambda: agreement(logits("z1"), (logits("v1") + logits("v2")) / 2),
    ),
    "rank_list": (
        RankList(**MARGINS),
        lambda: rank_list(features("v1"), IDS, MODALITY, **MARGINS),
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_term_takes_the_rows_that_it_says(name):
    term, expected = EXPECTED[name]
    expected = expected()
    np.testing.assert_allclose(term(OUTPUTS, KNOWN), expected, rtol=1e-5)
    assert expected > 1e-3


def test_squared_triplet_of_one_identity_is_zero():
    assert squared_weighted_triplet(features("v1"), jnp.zeros_like(IDS)) == 0
