"""Losses of published systems against the values of their released code, float64.

Values were computed once from the released code, on features s sin(.7 i + 1.3 j +
.11 i j): the loss, the norm of its gradient, the gradient's first and last entries.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.losses.batch_hard import batch_hard_triplet
from jreid.losses.both_sides import both_sides_triplet
from jreid.losses.centres import hetero_center_triplet
from jreid.losses.mean_contrast import mean_contrast
from jreid.losses.pair_mining import pair_mining
from jreid.losses.squared_weighted_triplet import squared_weighted_triplet
from jreid.losses.views import view_divergence
from jreid.losses.weighted_triplet import weighted_regularized_triplet


def features(rows, scale=1.0, width=16, shift=0.0):
    i, j = np.mgrid[:rows, :width].astype(float)
    return scale * np.sin(0.7 * i + 1.3 * j + 0.11 * i * j + shift)


def ids(blocks):
    """Six identities with four rows in each block, one after the other."""
    return jnp.asarray(np.tile(np.repeat(np.arange(6), 4), blocks))


def caj_pairs():
    rows = np.arange(24)
    return jnp.zeros((48, 48), bool).at[rows, rows + 24].set(True)


MODALITY = jnp.asarray(np.repeat([0, 1], 24))
# name: loss, features, value, gradient's norm, first and last entries
CASES = {
    "rle": (  # RLE, DEEN and CAJ OriTripletLoss, margin .3
        lambda x: batch_hard_triplet(x, ids(2)),
        features(48),
        (3.0107731403722524, 0.31040750331655437),
        (-0.02587486433555519, 0.007893528872069226),
    ),
    "agw": (  # AGW TripletLoss_WRT, not normalised
        lambda x: weighted_regularized_triplet(x, ids(2), form="agw"),
        features(48),
        (1.1859094065178006, 0.10625176791545138),
        (-0.007044719996322919, 0.0034443608980109118),
    ),
    "hctri": (  # HC-Tri CenterTripletLoss, margin .3
        lambda x: hetero_center_triplet(x, ids(2), MODALITY),
        features(48),
        (0.7656754675719818, 0.3495674748059726),
        (0.033506969298393, 0.010360754022091221),
    ),
    "caj": (  # CAJ ADP, square=1, alpha = gamma = 1; two visible views and infrared
        lambda x: squared_weighted_triplet(x, ids(3)),
        features(72),
        (1.051349737964156, 0.13642379630319093),
        (-0.0017705888504110675, -0.0018677795156841087),
    ),
    "caj_clamped": (  # of 72 anchors 65 are beyond the limit: no gradient
        lambda x: squared_weighted_triplet(x, ids(3)),
        features(72, 4.0),
        (85.82937187898575, 1.3267424344430108),
        (-0.002076786430215264, -0.0021486480608346086),
    ),
    "caj_kl": (  # CAJ KLDivLoss, T = 3; students are the first 24 rows
        lambda x: view_divergence(x, caj_pairs()),
        features(48),
        (0.44755858358850487, 0.04800589573262656),
        (0.0018981630783691447, 0.0),
    ),
    "deen": (  # DEEN CPMLoss, rows v, i, v', i'
        lambda x: pair_mining(
            x,
            ids(4),
            jnp.tile(MODALITY, 2),
            jnp.repeat(jnp.arange(2), 48),
        ),
        features(96),
        (0.9167798939073145, 0.37224566651825625),
        (-0.00456349493632311, 0.002886480612064906),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_the_released_ones(name):
    loss, x, (value, norm), (first, last) = CASES[name]
    with jax.enable_x64(True):
        ours, gradient = jax.jit(jax.value_and_grad(loss))(jnp.asarray(x))
        found = [ours, jnp.linalg.norm(gradient), gradient[0, 0], gradient[-1, -1]]
    np.testing.assert_allclose(found, [value, norm, first, last], rtol=1e-9, atol=1e-12)


def test_without_limit_the_gradient_of_far_anchors_comes_back():
    """The same computation without the clamp."""
    with jax.enable_x64(True):
        far = jax.value_and_grad(
            lambda x: squared_weighted_triplet(x, ids(3), limit=0.0)
        )
        value, gradient = jax.jit(far)(jnp.asarray(features(72, 4.0)))
        norm = jnp.linalg.norm(gradient)
    np.testing.assert_allclose(
        [value, norm], [128.45610022193497, 7.561101368101209], rtol=1e-9
    )


def test_mean_contrast_is_mcjas_loss_with_soft_ranks():
    """Restated from MCJA's released code; no released value of its gradient."""
    with jax.enable_x64(True):
        value = jax.jit(mean_contrast)(jnp.asarray(features(48)), ids(2), MODALITY)
    assert abs(float(value) - 11.507037017939886) < 1e-9


@pytest.mark.parametrize(
    ("exchanged", "expected"), [(False, 0.24506515174897), (True, 0.3328180094649555)]
)
def test_both_sides_triplet_is_xivs(exchanged, expected):
    """Computed from XIV's formula, and with two squared norms exchanged as released."""
    rows = np.concatenate([features(4, width=8), features(4, width=8, shift=0.5)])
    infrared = jnp.arange(8) < 4
    with jax.enable_x64(True):
        loss = jax.jit(functools.partial(both_sides_triplet, exchanged=exchanged))
        ids = jnp.tile(jnp.arange(4), 2)
        value = loss(jnp.asarray(rows), ids, infrared, ~infrared)
    assert abs(float(value) - expected) < 1e-9
