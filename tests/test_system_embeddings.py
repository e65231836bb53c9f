"""Test vectors of the published systems: their products are the released similarities.

The released rules are written as sums over loops, of made-up outputs of five images; a
constant factor changes no ranking.
"""

import jax.numpy as jnp
import narrow
import numpy as np
import pytest

from jreid.config_files import load

IMAGES = 5
COPIES = {"deen": 3, "mmn": 2, "pdm": 3, "aligngan": 2}


def outputs(config, copies, seed):
    """Features and embeddings [images copies d] of each branch, as `embed` gives."""
    rng = np.random.default_rng(seed)
    shape = (IMAGES, narrow.WIDTH) if copies == 1 else (IMAGES, copies, narrow.WIDTH)
    names = [n.partition(".") for n in config.network.names()]
    return {
        kind: {
            name: jnp.float32(rng.normal(size=shape))
            for k, _, name in names
            if k == kind
        }
        for kind in ("features", "embeddings")
    }


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def concat(seen, kind, copy=None):
    """The branches' vectors of one kind, side by side."""
    rows = [np.asarray(x, np.float64) for x in seen[kind].values()]
    rows = rows if copy is None else [x[:, copy] for x in rows]
    return np.concatenate(rows, axis=1)


def product(x):
    return x @ x.T


def post(one, two):
    return product(unit(concat(one, "embeddings")))


def pre(one, two):
    return product(unit(concat(one, "features")))


def flip_sum(one, two, kind, copy=None):
    return product(unit(concat(one, kind, copy)) + unit(concat(two, kind, copy)))


def second(one, two):
    """The second branch's alone."""
    return product(unit(np.asarray(list(one["embeddings"].values())[1], np.float64)))


def mean_of_pair(one, two):
    """The branch so called, of own, made and mean."""
    return product(unit(np.asarray(one["embeddings"]["mean"], np.float64)))


def image_and_mirror(one, two):
    """Added up before they are brought to length 1."""
    return product(unit(sum(concat(one, "features", copy) for copy in (0, 1))))


def rle(features, embeddings):
    return lambda one, two: (
        features * flip_sum(one, two, "features")
        + embeddings * flip_sum(one, two, "embeddings")
    )


def measured(one, two):
    return product(concat(one, "features"))


def strong(one, two):
    kinds = [
        unit(unit(concat(one, k)) + unit(concat(two, k)))
        for k in ("features", "embeddings")
    ]
    return sum(map(product, kinds))


def mean_with_mirror(one, two):
    vectors = [unit(concat(x, "embeddings")) for x in (one, two)]
    return product(unit(sum(vectors)))


def deen(one, two):
    return sum(
        flip_sum(one, two, kind, copy)
        for kind in ("features", "embeddings")
        for copy in range(3)
    )


def pdm(one, two):
    """Of pooled vectors and of parts, each in three rows."""
    branches = (
        [{"embeddings": {name: seen["embeddings"][name]}} for seen in (one, two)]
        for name in ("v1", "v2")
    )
    return sum(
        flip_sum(image, mirrored, "embeddings", copy)
        for image, mirrored in branches
        for copy in range(3)
    )


def mmn(one, two):
    images, made = (unit(concat(one, "embeddings", copy)) for copy in (0, 1))
    return sum(a @ b.T for a in (images, made) for b in (images, made))


def branches_apart(one, two):
    return sum(
        product(unit(np.asarray(x, np.float64))) for x in one["embeddings"].values()
    )


def stripes_apart(one, two):
    return sum(
        product(unit(np.asarray(x, np.float64))) for x in one["features"].values()
    )


RELEASED = {
    "sysu:rle": rle(0.8, 0.2),
    "regdb:rle": rle(1, 1),
    "llcm:rle": rle(0.9, 0.1),
    "sysu:rle_paper": rle(0.8, 0.2),
    "sysu:strong": strong,
    "regdb:strong": strong,
    "sysu:adca": mean_with_mirror,
    "sysu:pgm": mean_with_mirror,
    "sysu:caj": mean_with_mirror,
    "sysu:caj_plus": mean_with_mirror,
    "llcm:caj": mean_with_mirror,
    "sysu:hctri": pre,
    "regdb:hctri": pre,
    "sysu:hctri_code": pre,
    "sysu:hc": stripes_apart,
    "sysu:vsd": post,
    "sysu:vsd_eq8": post,
    "sysu:mcja": post,
    "sysu:deen": deen,
    "regdb:deen": deen,
    "llcm:deen": deen,
    "sysu:mmn": mmn,
    "llcm:mmn": mmn,
    "sysu:xmodal": pre,
    "sysu:xmodal_released": pre,
    "sysu:cmcen": post,
    "sysu:cmcen_adv": post,
    "sysu:cmgan": post,
    "sysu:ddag": second,
    "sysu:aligngan": image_and_mirror,
    "sysu:mtgan_like": mean_of_pair,
    "sysu:d2rl_like": post,
    "sysu:hicmd": pre,
    "sysu:jsia": post,
    "sysu:dscnet": post,
    "sysu:bdtr": pre,
    "sysu:tone": pre,
    "sysu:tone_batch": pre,
    "sysu:hcml": measured,
    "sysu:hcml_exact": measured,
    "sysu:mac_like": post,
    "sysu:mace_like": post,
    "sysu:dfe_like": pre,
    "sysu:dpmbn_like": pre,
    "sysu:fbp_like": branches_apart,
    "sysu:agw": post,
    "llcm:agw": post,
    "sysu:baseline": post,
    "sysu:mpanet": post,
    "sysu:saai": post,
    "sysu:pdm": pdm,
    "sysu:pmt": post,
}


@pytest.mark.parametrize("spec", RELEASED)
def test_products_are_the_released_similarities(spec):
    config = load(spec)
    copies = COPIES.get(config.name.partition("-")[2], 1)
    one, two = (outputs(config, copies, seed) for seed in (0, 1))
    seen = (one, two) if config.embedding.flip else (one,)
    vectors = np.asarray(config.embedding(*seen)["fused"], np.float64)
    assert vectors.ndim == 2 and len(vectors) == IMAGES
    released = RELEASED[spec](one, two)
    factor = np.trace(released) / np.trace(product(vectors))
    np.testing.assert_allclose(factor * product(vectors), released, atol=1e-4)
    if config.embedding.measure == "cosine":
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
