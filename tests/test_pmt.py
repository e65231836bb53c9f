"""PMT's own losses, augmentations, phases and rates, against loops."""

import functools

import jax
import jax.numpy as jnp
import narrow
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from jreid.config_files import load
from jreid.data.augmentations import Flip, Grey
from jreid.data.blur import GaussianBlur
from jreid.data.channel_mixing import OneOf
from jreid.losses.discriminative_centre import DiscriminativeCentre
from jreid.losses.shared_enhancement import SharedEnhancement
from jreid.parts import check
from jreid.processes.sharding import data_mesh
from jreid.run.leaves import named_leaves
from jreid.training.build import network_maker
from jreid.training.optimizers import check_groups, lr_factor
from jreid.training.plan import plan
from jreid.training.state import abstract_params_and_stats

# Unequal counts in scattered order. Identity 7 is visible only; of 9 a modality has one
# row: neither has rows with positives of both kinds but for 9's infrared ones.
IDS = np.array([3, 5, 3, 7, 5, 3, 5, 9, 3, 5, 9, 9, 7])
MODALITY = np.array([0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0])


def draw(seed=0):
    return np.random.default_rng(seed).normal(size=(len(IDS), 6))


def distance(a, b):
    return float(np.sqrt(np.sum((a - b) ** 2)))


def shared_by_loops(x, ids, modality):
    halves = []
    for side in (0, 1):
        squares = []
        for i in np.flatnonzero(modality == side):
            mates = [j for j in range(len(ids)) if ids[j] == ids[i] and j != i]
            own = [distance(x[i], x[j]) for j in mates if modality[j] == side]
            other = [distance(x[i], x[j]) for j in mates if modality[j] != side]
            if own and other:
                squares.append((np.mean(other) - np.mean(own)) ** 2)
        if squares:
            halves.append(np.mean(squares))
    return np.mean(halves) if halves else 0.0


def centres_by_loops(x, ids):
    own, negatives = [], []
    for i in sorted(set(ids)):
        centre = np.mean([x[j] for j in range(len(ids)) if ids[j] == i], axis=0)
        own += [distance(centre, x[j]) for j in range(len(ids)) if ids[j] == i]
        others = [distance(centre, x[j]) for j in range(len(ids)) if ids[j] != i]
        near = [d for d in others if d < np.mean(others)]
        negatives.append(np.mean(near))
    return np.mean(own) / np.mean(negatives)


@functools.cache
def function(kind):
    """The term and its slopes, by one program for each shape."""

    def term(x, ids, modality):
        batch = {"ids": ids, "modality": modality}
        return kind()({"features": {"v1": x}}, batch)

    return jax.jit(jax.value_and_grad(term))


def value(kind, x, ids=IDS, modality=MODALITY):
    return function(kind)(jnp.asarray(x), jnp.asarray(ids), jnp.asarray(modality))[0]


def slopes_of(kind, x):
    x = jnp.asarray(x, jnp.float32)
    return function(kind)(x, jnp.asarray(IDS), jnp.asarray(MODALITY))[1]


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_losses_are_those_of_loops_in_any_order(scale):
    order = np.random.default_rng(1).permutation(len(IDS))
    with jax.enable_x64(True):
        for kind, expected in (
            (SharedEnhancement, shared_by_loops(scale * draw(), IDS, MODALITY)),
            (DiscriminativeCentre, centres_by_loops(scale * draw(), IDS)),
        ):
            found = value(kind, scale * draw())
            np.testing.assert_allclose(found, expected, rtol=1e-9)
            turned = value(kind, scale * draw()[order], IDS[order], MODALITY[order])
            np.testing.assert_allclose(turned, expected, rtol=1e-9)


def test_losses_are_the_released_ones_where_all_have_as_many_images():
    """By blocks, as the released code computes them: visible rows, then infrared."""
    ids, modality = np.tile(np.repeat(range(3), 4), 2), np.repeat([0, 1], 12)
    x = np.random.default_rng(2).normal(size=(24, 5))
    d = np.array([[distance(a, b) for b in x] for a in x])
    positive = ids[:12, None] == ids[None, :12]
    shared = 0.0
    for own, other in ((slice(12), slice(12, 24)), (slice(12, 24), slice(12))):
        within = np.sort(d[own, own] * positive)[:, -3:].mean(1)
        across = d[own, other][positive].reshape(12, 4).mean(1)
        shared += np.mean((across - within) ** 2) / 2
    centres = np.stack([x[ids == i].mean(0) for i in range(3)])
    to = np.array([[distance(a, b) for b in x] for a in centres])
    mine = ids[None, :] == np.arange(3)[:, None]
    negative = to[~mine].reshape(3, -1)
    near = [row[row < row.mean()].mean() for row in negative]
    with jax.enable_x64(True):
        found = value(SharedEnhancement, x, ids, modality)
        np.testing.assert_allclose(found, shared, rtol=1e-9)
        found = value(DiscriminativeCentre, x, ids, modality)
        np.testing.assert_allclose(found, to[mine].mean() / np.mean(near), rtol=1e-9)


def test_losses_move_what_they_stand_on_and_nothing_else():
    slopes = slopes_of(SharedEnhancement, draw())
    lonely = IDS == 7  # of one modality alone
    assert np.abs(slopes[~lonely]).max(1).min() > 0 and not slopes[lonely].any()
    assert np.abs(slopes_of(DiscriminativeCentre, draw())).max(1).min() > 0


def test_batches_without_pairs_or_distances_have_numbers():
    ones, x = np.zeros(len(IDS), int), np.float32(draw())
    assert value(SharedEnhancement, x, np.arange(len(IDS)), ones) == 0
    assert value(DiscriminativeCentre, x, ones, ones) == 0
    for kind in (SharedEnhancement, DiscriminativeCentre):
        for scale in (0, 1e4):
            assert np.isfinite(value(kind, scale * x))
            assert np.isfinite(slopes_of(kind, scale * x)).all()
    # all others as far: the ratio is that of two equal distances
    np.testing.assert_allclose(value(DiscriminativeCentre, 0 * x), 1, rtol=1e-5)


IMAGE = np.random.default_rng(0).integers(0, 256, (30, 24, 3), dtype=np.uint8)


def applied(part, number=0):
    part.check()
    return part(tf.constant(IMAGE), tf.constant([3, number])).numpy()


@pytest.mark.parametrize(("kernel", "sigma"), [(21, 2.0), (5, 0.7), (1, 1.0)])
def test_blur_is_scipys(kernel, sigma):
    places = np.arange(kernel) - kernel // 2
    weights = np.exp(-0.5 * (places / sigma) ** 2)
    expected = IMAGE.astype(float)
    for axis in (0, 1):
        expected = ndimage.correlate1d(
            expected, weights / weights.sum(), axis=axis, mode="mirror"
        )
    found = applied(GaussianBlur(kernel, (sigma, sigma)))
    assert found.dtype == np.uint8 and found.shape == IMAGE.shape
    assert np.abs(found - expected).max() <= 0.501  # rounded


def test_blur_has_many_widths_and_refuses_small_images():
    blurs = [applied(GaussianBlur(21, (0.1, 3.0)), n) for n in range(12)]
    spread = [blur.astype(float).std() for blur in blurs]
    assert max(spread) > 1.5 * min(spread) and len(set(spread)) > 6
    np.testing.assert_array_equal(
        applied(GaussianBlur(), 5), applied(GaussianBlur(), 5)
    )
    with pytest.raises(
        ValueError, match="is 30 x 24 pixels; a blur of kernel 49 needs"
    ):
        applied(GaussianBlur(49))
    with pytest.raises(ValueError, match="kernel is 4; allowed are odd numbers"):
        GaussianBlur(4).check()
    with pytest.raises(ValueError, match=r"sigma is \(2.0, 1.0\); allowed are"):
        GaussianBlur(5, (2.0, 1.0)).check()


def test_one_of_is_one_of_them_each_as_often():
    part = OneOf((Grey(1.0), Flip(1.0)))
    grey, flipped = applied(Grey(1.0)), IMAGE[:, ::-1]
    found = [applied(part, n) for n in range(60)]
    greys = sum((image == grey).all() for image in found)
    flips = sum((image == flipped).all() for image in found)
    assert greys + flips == 60 and 18 < greys < 42
    with pytest.raises(ValueError, match=r"choices is \(\); allowed are augmentations"):
        OneOf(()).check()


def test_phases_are_the_released_ones():
    for spec, epochs in (("sysu:pmt", [6, 18]), ("regdb:pmt", [6, 30])):
        config = load(spec)
        assert [phase.epochs for phase in config.phases] == epochs
        first, second = plan(_with_steps(config), None)
        assert list(first.objective) == ["identity", "triplet"]
        terms = {name: term.weight for name, term in second.objective.items()}
        assert terms == {"identity": 2, "triplet": 1, "shared": 0.5, "centres": 0.5}
        pipes = [
            [type(x).__name__ for x in phase.views[name].pipe]
            for phase in (first, second)
            for name in ("visible", "infrared")
        ]
        assert pipes == [["Flip", "Grey"], ["Flip", "OneOf"], ["Flip"], pipes[1]]
        assert first.views["visible"].pipe[1].p == 1
        for view in (*first.views.values(), *second.views.values()):
            assert view.device[0].value == (0.485, 0.456, 0.406)


def _with_steps(config):
    config.steps_per_epoch = 5
    return config


def test_grey_phases_triplets_are_of_each_modality_alone():
    """The sum of both, with the margin of .1."""
    x, rows = draw(), np.arange(len(IDS))
    batch = {"ids": jnp.asarray(IDS), "modality": jnp.asarray(MODALITY)}
    batch["copy"] = jnp.zeros(len(IDS), jnp.int32)
    expected = 0.0
    for side in (0, 1):
        hinges = []
        mine = rows[side == MODALITY]
        for i in mine:
            d = {j: distance(x[i], x[j]) for j in mine}
            far = max(d[j] for j in mine if IDS[j] == IDS[i])
            near = min(d[j] for j in mine if IDS[j] != IDS[i])
            hinges.append(max(0, 0.1 + far - near))
        expected += np.mean(hinges)
    term = load("sysu:pmt").phases[0].objective["triplet"]
    found = term({"features": {"v1": jnp.float32(x)}}, batch)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_blocks_and_patches_learn_at_half_the_rate():
    groups = load("sysu:pmt").optimizer.groups
    config = narrow.narrow("pmt")
    params, _ = abstract_params_and_stats(network_maker(config, 3), data_mesh())
    paths = list(named_leaves(params))
    check_groups(groups, paths)
    slow = {path.split("/")[0] for path in paths if lr_factor(groups, path) == 0.5}
    fast = {path.split("/")[0] for path in paths if lr_factor(groups, path) == 1}
    assert slow == {"blocks", "patches"}
    assert fast == {"class_token", "positions", "norm", "neck", "classifier"}


def test_images_of_another_size_are_refused_with_what_to_give():
    config = load("sysu:pmt")
    config.size = (384, 128)
    with pytest.raises(
        ValueError, match=r"config.size is \(384, 128\).*--config.network.size 384 128"
    ):
        check(config)
    config.network.size = (384, 128)
    check(config)
    assert config.network.grid() == (31, 10)
