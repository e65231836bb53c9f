"""Test vectors against loops: weights of similarities, what is normalised, flips."""

import jax.numpy as jnp
import numpy as np
import pytest

from jreid.models.embedding import Embedding

KINDS = ("features", "embeddings")


def make_outputs(seed=0):
    rng = np.random.default_rng(seed)
    return {
        kind: {
            "v1": jnp.float32(3 * rng.normal(size=(4, 5))),
            "v2": jnp.float32(rng.normal(size=(4, 3))),
        }
        for kind in KINDS
    }


def unit(vector):
    return vector / np.sqrt(sum(x * x for x in vector))


def similarities(vectors):
    vectors = np.asarray(vectors, np.float64)
    return vectors @ vectors.T


def test_by_default_every_branch_counts_alike():
    outputs = make_outputs()
    found = Embedding()(outputs)
    assert list(found) == ["fused", "v1", "v2"]
    for row in range(4):
        one, two = (unit(outputs["embeddings"][name][row]) for name in ("v1", "v2"))
        np.testing.assert_allclose(found["v1"][row], one, rtol=1e-5)
        expected = unit(np.concatenate([one, two]))
        np.testing.assert_allclose(found["fused"][row], expected, rtol=1e-5)


def test_weights_are_those_of_a_sum_of_similarities():
    outputs = make_outputs()
    found = Embedding(features=0.8, embeddings=0.2)(outputs)
    for names in (("v1",), ("v2",), ("v1", "v2")):
        expected = np.zeros((4, 4))
        for kind, weight in (("features", 0.8), ("embeddings", 0.2)):
            for name in names:
                pieces = [unit(row) for row in outputs[kind][name]]
                expected += weight * similarities(pieces) / len(names)
        key = names[0] if len(names) == 1 else "fused"
        np.testing.assert_allclose(similarities(found[key]), expected, atol=1e-5)


def test_plain_is_what_follows_the_neck_without_the_mirrored_image():
    outputs, mirrored = make_outputs(), make_outputs(1)
    part = Embedding(0.5, 0.5, normalise="kind", flip=True, plain=True)
    found = part(outputs, mirrored)
    assert list(found) == ["fused", "plain", "v1", "v2"]
    for row in range(4):
        raw = np.concatenate([outputs["embeddings"][n][row] for n in ("v1", "v2")])
        np.testing.assert_allclose(found["plain"][row], unit(raw), rtol=1e-5)
    without = Embedding(0.5, 0.5, normalise="kind", flip=True)(outputs, mirrored)
    assert all((found[name] == without[name]).all() for name in without)


def test_the_whole_alone_can_be_normalised_or_nothing():
    outputs = make_outputs()
    for row in range(4):
        raw = np.concatenate([outputs["embeddings"][n][row] for n in ("v1", "v2")])
        whole = Embedding(normalise="whole")(outputs)
        np.testing.assert_allclose(whole["fused"][row], unit(raw), rtol=1e-5)
        one = unit(outputs["embeddings"]["v1"][row])
        np.testing.assert_allclose(whole["v1"][row], one, rtol=1e-5)
        nothing = Embedding(normalise="none")(outputs)
        np.testing.assert_allclose(nothing["fused"][row], raw, rtol=1e-5)


@pytest.mark.parametrize("normalise", ["each", "whole", "none"])
def test_the_mirrored_vector_is_added(normalise):
    outputs, mirrored = make_outputs(), make_outputs(1)
    part = Embedding(normalise=normalise, flip=True, names=("v2",))
    found = part(outputs, mirrored)
    assert list(found) == ["fused", "v2"]
    for row in range(4):
        one, two = (view["embeddings"]["v2"][row] for view in (outputs, mirrored))
        expected = (one + two) / 2
        if normalise != "none":
            expected = unit(unit(one) + unit(two))
        np.testing.assert_allclose(found["v2"][row], expected, rtol=1e-5)
        np.testing.assert_allclose(found["fused"][row], expected, rtol=1e-5)


def test_an_unknown_branch_is_named():
    with pytest.raises(ValueError, match=r"embedding.names has 'v3'.*are v1, v2"):
        Embedding(names=("v1", "v3"))(make_outputs())


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Embedding(features=-1.0), "^features is -1.0; allowed is 0 and more"),
        (Embedding(embeddings=-0.5), "^embeddings is -0.5"),
        (Embedding(embeddings=0.0), "^embeddings is 0, and so is features"),
    ],
)
def test_fields_out_of_bounds_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.check()
