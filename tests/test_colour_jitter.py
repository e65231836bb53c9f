"""Colour jitter against Pillow's enhancers, one change at a time."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from jreid.data.colour_jitter import ColourJitter

COLOUR = np.random.default_rng(0).integers(0, 256, (24, 12, 3), dtype=np.uint8)
ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}
STILL = dict.fromkeys((*ENHANCERS, "hue"), 0.0)


@functools.cache
def jittered(count, **fields):
    part = ColourJitter(**(STILL | fields))
    part.check()

    @tf.function
    def apply(number):
        return part(tf.constant(COLOUR), tf.stack([7, number]))

    return [apply(tf.constant(n)).numpy() for n in range(count)]


def gap(one, other):
    return np.abs(one.astype(int) - other.astype(int)).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ENHANCERS)
def test_each_change_is_pillows_by_some_factor_between_a_half_and_three(name):
    enhancer = ENHANCERS[name](Image.fromarray(COLOUR))
    factors = np.linspace(0.5, 1.5, 401)
    known = [np.asarray(enhancer.enhance(factor)) for factor in factors]
    nearest = []
    for image in jittered(12, **{name: 0.5}):
        gaps = [gap(image, other) for other in known]
        assert min(gaps) <= 2
        nearest.append(factors[int(np.argmin(gaps))])
    assert min(nearest) < 0.8 and max(nearest) > 1.2


def test_the_hue_turns_and_nothing_else():
    before = np.asarray(Image.fromarray(COLOUR).convert("HSV"), int)
    turns = []
    for image in jittered(12, hue=0.5):
        after = np.asarray(Image.fromarray(image).convert("HSV"), int)
        assert np.abs(after - before)[..., 1:].max() <= 2  # saturation and value
        turn = np.median((after - before)[..., 0] % 256)
        off = (after - before)[..., 0] - turn
        vivid = before[..., 1:].min(axis=-1) > 60
        assert np.abs((off + 128) % 256 - 128)[vivid].max() <= 4
        turns.append(turn)
    assert min(turns) < 80 and max(turns) > 170


def test_still_is_still_seeds_decide_and_fields_have_bounds():
    assert gap(jittered(1)[0], COLOUR) <= 1  # a hue's way there and back
    everything = dict.fromkeys(STILL, 0.5)
    one = jittered(6, **everything)
    for number, image in enumerate(one):
        again = ColourJitter(**everything)(
            tf.constant(COLOUR), tf.constant([7, number])
        )
        assert gap(again.numpy(), image) <= 1
    assert len({image.tobytes() for image in one}) == 6
    with pytest.raises(ValueError, match="hue is 0.6"):
        ColourJitter(hue=0.6).check()


def test_the_order_of_the_changes_is_random():
    """A brighter image is clipped: levels of 0 and 255 then tell which came first."""
    image = np.zeros((8, 4, 3), np.uint8)
    image[4:] = 255
    part, sums = ColourJitter(0.5, 0.5, 0.0, 0.0), []
    for number in range(40):
        changed = part(tf.constant(image), tf.constant([3, number], tf.int64)).numpy()
        low, high = int(changed.min()), int(changed.max())
        if low > 3 and low + high > 253:  # less contrast, brighter
            sums.append(low + high)
    brightness_first = [total <= 257 for total in sums]
    assert 0 < sum(brightness_first) < len(sums)
