"""Objectives of the published systems on made-up outputs of their networks."""

import functools

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
from parameters import slow_but

from jreid.losses.part_identity import PartIdentity
from jreid.losses.sparsity import Sparsity

VARIANTS = (
    "rle_paper",
    "strong",
    "hctri_code",
    "hcml",
    "hcml_exact",
    "baseline",
    "tone_batch",  # its own term and the next one's are in test_terms.py
    "xmodal_released",
    "cmgan_minmax",
    "jsia_paper",
    "saai_paper",
    "pdm_paper",
    "pdm_tri",
)  # of another system's objective
NAMES = tuple(name for name in narrow.NAMES if name not in VARIANTS)
SLOW = {"deen", "fbp_like", "hctri", "mmn", "pdm", "vsd", "vsd_eq8"}  # to compile
each = pytest.mark.parametrize("name", slow_but(NAMES, quick={*NAMES} - SLOW))


@functools.cache
def prepared(name):
    """Rows, outputs, the terms that count, and their values and slopes, compiled."""
    config = narrow.narrow(name)
    rows = narrow.rows_of(config, alike=name != "tone")
    terms = narrow.terms_of(config)
    fixed = {name: rows.pop(name) for name in ("step", "epoch", "extra")}
    params = {
        term.params: jnp.linspace(-1, 1, narrow.WIDTH)
        for term in terms.values()
        if isinstance(term, Sparsity)
    } | {
        term.scores: jnp.linspace(-1, 1, 6)
        for term in terms.values()
        if isinstance(term, PartIdentity)
    }

    def values(outputs, params, rows):
        fixed["params"] = nested(params)
        return jnp.stack([term(outputs, rows | fixed) for term in terms.values()])

    def values_and_slopes(outputs, rows):
        slopes = jax.jacrev(values, (0, 1))(outputs, params, rows)
        return values(outputs, params, rows), slopes

    return rows, narrow.outputs_of(config, rows), terms, jax.jit(values_and_slopes)


def nested(leaves):
    """{"a/b": x} as {"a": {"b": x}}."""
    tree = {}
    for path, leaf in leaves.items():
        *parents, last = path.split("/")
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = leaf
    return tree


@each
def test_every_term_moves_what_it_stands_on(name):
    rows, outputs, terms, function = prepared(name)
    values, slopes = function(outputs, rows)
    assert np.isfinite(values).all()
    for number, term in enumerate(terms):
        moved = [np.abs(x[number]).max() for x in jax.tree.leaves(slopes)]
        assert max(moved) > 0, term


@each
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_terms_and_slopes_are_finite_however_far_features_are(name, scale):
    rows, outputs, _, function = prepared(name)
    outputs = dict(outputs)
    near = {kind: outputs.pop(kind) for kind in ("logits",) if kind in outputs}
    outputs = jax.tree.map(lambda x: scale * x, outputs) | near
    for leaf in jax.tree.leaves(function(outputs, rows)):
        assert np.isfinite(leaf).all()


@each
def test_the_order_of_rows_changes_no_term(name):
    rows, outputs, _, function = prepared(name)
    order = np.random.default_rng(0).permutation(len(rows["ids"]))
    values, _ = function(outputs, rows)
    again, _ = function(*jax.tree.map(lambda x: x[order], (outputs, rows)))
    np.testing.assert_allclose(again, values, rtol=1e-4, atol=1e-5)
