"""Augmentations that mix or select channels (MCJA, CAJ, PDM), against NumPy."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf

from jreid.data.channel_mixing import (
    ChannelCutMix,
    HueJitter,
    OneOf,
    SpectrumJitter,
    WeightedGrey,
)
from jreid.data.channel_select import ChannelSelect, PhaseResidual

H, W = 24, 12
COLOUR = np.random.default_rng(0).integers(1, 256, (H, W, 3), dtype=np.uint8)
PARTS = {
    "grey": WeightedGrey(p=1.0),
    "cutmix": ChannelCutMix(p=1.0),
    "spectrum": SpectrumJitter(p=1.0),
    "hue": HueJitter(p=1.0),
    "one_of": OneOf((WeightedGrey(), ChannelCutMix(), SpectrumJitter(), HueJitter())),
}


def results(part, count=60):
    """The part on COLOUR under the seeds (7, 0), (7, 1) ..., in tf.data."""

    def apply(number):
        return part(tf.constant(COLOUR), tf.stack([7, number]))

    dataset = tf.data.Dataset.range(count).map(
        tf.autograph.experimental.do_not_convert(apply)
    )
    assert dataset.element_spec == tf.TensorSpec(COLOUR.shape, tf.uint8)
    return np.stack(list(dataset.as_numpy_iterator()))


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_eager_and_tf_data_agree_and_depend_on_the_seed_only(name):
    PARTS[name].check()
    inside = results(PARTS[name], 8)
    for number in reversed(range(8)):
        seed = tf.constant([7, number], tf.int64)
        eager = PARTS[name](tf.constant(COLOUR), seed).numpy()
        np.testing.assert_array_equal(eager, inside[number])
    assert len(np.unique(inside, axis=0)) > 2


def test_grey_is_a_convex_mixture_with_uniform_weights():
    pixels, weights = COLOUR.reshape(-1, 3).astype(float), []
    for image in results(PARTS["grey"], 400):
        assert (image == image[..., :1]).all()
        weights.append(np.linalg.lstsq(pixels, image[..., 0].ravel(), rcond=None)[0])
    assert np.abs(np.sum(weights, axis=1) - 1).max() < 0.02
    u = np.random.default_rng(1).uniform(size=(20000, 3))
    expected = (u / u.sum(1, keepdims=True)).std(0).mean()
    assert abs(np.std(weights, axis=0).mean() - expected) < 0.02


def test_cutmix_is_a_rectangle_of_one_channel_in_another():
    fractions, pairs = [], set()
    for image in results(PARTS["cutmix"], 200):
        assert (image == image[..., :1]).all()
        agree = image[..., :1] == COLOUR
        behind = int(agree.sum((0, 1)).argmax())
        rest = ~agree[..., behind]
        rows, columns = np.flatnonzero(rest.any(1)), np.flatnonzero(rest.any(0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        before = [c for c in range(3) if c != behind and agree[..., c][box].all()]
        assert len(before) == 1  # the whole bounding box is of one other channel
        pairs.add((behind, before[0]))
        fractions.append((rows[-1] - rows[0] + 1) * (np.ptp(columns) + 1) / (H * W))
    assert len(pairs) == 6
    assert 0.15 < np.mean(fractions) < 0.2  # those that are too long are drawn anew
    assert max(fractions) < 0.4


def test_spectrum_jitter_blends_with_one_channel():
    factors = []
    for image in results(PARTS["spectrum"], 200):
        steps = (image.astype(float) - COLOUR).reshape(-1, 3)
        fits = []
        for c in range(3):
            gaps = (COLOUR[..., [c] * 3].astype(float) - COLOUR).reshape(-1, 3)
            factor = (steps * gaps).sum() / (gaps**2).sum()
            fits.append((np.abs(steps - factor * gaps).max(), factor))
        error, factor = min(fits)
        assert error < 1
        factors.append(factor)
    assert abs(np.mean(factors) - 0.5) < 0.1 and min(factors) >= -0.01


def test_hue_turns_alone():
    for image in results(PARTS["hue"], 10):
        turns = []
        for pixel, before in zip(
            image.reshape(-1, 3)[:50], COLOUR.reshape(-1, 3)[:50], strict=True
        ):
            a, b = (colorsys.rgb_to_hsv(*(p / 255)) for p in (pixel, before))
            assert abs(a[2] - b[2]) < 0.005
            if b[1] * b[2] > 0.4:
                turns.append((a[0] - b[0] + 0.5) % 1 - 0.5)
        assert np.ptp(turns) < 0.02 and np.abs(turns).max() < 0.21


def test_one_of_chooses_each_as_often():
    never = OneOf((WeightedGrey(p=1.0), WeightedGrey(p=0.0)))
    changed = (results(never, 400) != COLOUR).any((1, 2, 3)).sum()
    assert abs(changed - 200) < 50


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (OneOf(()), "choices is"),
        (WeightedGrey(p=2.0), "p is 2"),
        (ChannelCutMix(area=(0.0, 1.0)), "area is"),
        (SpectrumJitter(p=-1.0), "p is -1"),
        (HueJitter(turn=0.7), "turn is 0.7"),
        (ChannelSelect(channels=0.8, grey=0.3), "grey is 0.3"),
        (PhaseResidual(strength=-1.0), "strength is -1"),
    ],
)
def test_what_is_out_of_bounds_is_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.check()


def test_select_has_its_shares_and_depends_on_rng_and_row():
    part = ChannelSelect(channels=0.6, grey=0.3)
    images = np.random.default_rng(0).normal(size=(3000, 2, 2, 3)).astype(np.float32)
    out = np.asarray(part(jnp.asarray(images), jax.random.key(0)))
    luminance = images @ np.array([0.2989, 0.587, 0.114], np.float32)
    kinds = [np.repeat(images[..., [c]], 3, -1) for c in range(3)]
    kinds += [np.repeat(luminance[..., None], 3, -1), images]
    found = np.stack([np.isclose(out, k, atol=1e-5).all((1, 2, 3)) for k in kinds])
    assert (found.sum(0) == 1).all()
    shares = found.mean(1)
    np.testing.assert_allclose(shares, [0.2, 0.2, 0.2, 0.3, 0.1], atol=0.04)
    again = part(jnp.asarray(images[:1]), jax.random.key(0))
    assert again.shape == (1, 2, 2, 3)


def test_cajs_second_view_is_always_one_channel():
    images = np.random.default_rng(0).normal(size=(200, 2, 2, 3)).astype(np.float32)
    out = ChannelSelect(channels=1.0, grey=0.0)(jnp.asarray(images), jax.random.key(1))
    assert (np.ptp(np.asarray(out), axis=-1) == 0).all()


def test_phase_residual():
    images = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)
    expected = np.empty_like(images)
    for n in range(2):
        for c in range(3):
            spectrum = np.fft.fft2(images[n, ..., c].astype(float))
            left = np.fft.ifft2(spectrum / np.abs(spectrum)).real
            expected[n, ..., c] = images[n, ..., c] + 0.8 * left
    ours = PhaseResidual()(jnp.asarray(images), jax.random.key(0))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    black = PhaseResidual()(jnp.zeros((1, 4, 4, 3)), jax.random.key(0))
    assert np.isfinite(black).all()
