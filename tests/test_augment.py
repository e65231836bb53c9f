"""Tests of every augmentation, eagerly and inside tf.data, against NumPy."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from jreid.data import augment

H, W = 24, 12
COLOUR = np.random.default_rng(0).integers(1, 256, (H, W, 3), dtype=np.uint8)
GREY = np.repeat(COLOUR[..., :1], 3, axis=-1)
MEAN = np.array(augment.IMAGENET_MEAN, np.uint8)

AUGMENTATIONS = {
    "pad_and_crop": augment.pad_and_crop(3),
    "flip": augment.flip(0.5),
    "erasing_mean": augment.random_erasing(0.5),
    "erasing_random": augment.random_erasing(0.5, fill="random"),
    "grey": augment.random_grey(0.5),
    "exchange": augment.channel_exchange(0.5),
}


def results(
    augmentation: augment.Augmentation, image: np.ndarray = COLOUR, count: int = 400
) -> np.ndarray:
    """`augmentation` of `image` under the seeds (7, 0), (7, 1) ..., in tf.data."""

    def apply(number: tf.Tensor) -> tf.Tensor:
        return augmentation(tf.stack([7, number]), tf.constant(image))

    dataset = tf.data.Dataset.range(count).map(
        tf.autograph.experimental.do_not_convert(apply)
    )
    assert dataset.element_spec == tf.TensorSpec(image.shape, tf.uint8)
    return np.stack(list(dataset.as_numpy_iterator()))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_eager_and_tf_data_agree_and_depend_on_the_seed_only(name):
    augmentation = AUGMENTATIONS[name]
    inside = results(augmentation, count=12)
    for number in reversed(range(12)):
        rng = tf.constant([7, number], tf.int64)
        eager = augmentation(rng, tf.constant(COLOUR)).numpy()
        np.testing.assert_array_equal(eager, inside[number])
    assert len(np.unique(inside, axis=0)) > 1
    assert inside.dtype == np.uint8


def test_pad_and_crop_is_a_shifted_window_of_the_padded_image():
    padding = 2
    padded = np.pad(COLOUR, ((padding,) * 2, (padding,) * 2, (0, 0)))
    windows = {
        padded[y : y + H, x : x + W].tobytes(): (y, x)
        for y in range(5)
        for x in range(5)
    }
    shifts = collections.Counter(
        windows[image.tobytes()]
        for image in results(augment.pad_and_crop(padding), count=2500)
    )
    # 100 of each expected; five standard deviations of a binomial are 49.
    assert len(shifts) == 25
    assert all(abs(count - 100) < 49 for count in shifts.values())


def test_padding_of_zero_changes_nothing():
    assert (results(augment.pad_and_crop(0), count=5) == COLOUR).all()


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (augment.flip, [COLOUR[:, ::-1]]),
        (augment.channel_exchange, [COLOUR[..., [c] * 3] for c in range(3)]),
        (
            augment.random_grey,
            [np.repeat(np.rint(COLOUR @ augment.LUMINANCE)[..., None], 3, axis=-1)],
        ),
    ],
)
def test_outcomes_and_their_frequencies(make, changed):
    """Every outcome is the image or one of `changed`, all of these equally often."""
    outcomes = [COLOUR, *changed]
    assert (results(make(0.0), count=20) == COLOUR).all()
    count, probability = 1200, 0.3
    seen = collections.Counter()
    for image in results(make(probability), count=count):
        matches = [i for i, outcome in enumerate(outcomes) if (image == outcome).all()]
        assert len(matches) == 1
        seen[matches[0]] += 1
    for i in range(1, len(outcomes)):
        p = probability / len(changed)
        assert abs(seen[i] - count * p) < 5 * np.sqrt(count * p * (1 - p))
    certain = results(make(1.0), count=20)
    assert not any((image == COLOUR).all() for image in certain)


@pytest.mark.parametrize("make", [augment.random_grey, augment.channel_exchange])
def test_colour_augmentations_leave_grey_images_as_they_are(make):
    every_grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(32, 8, 1), 3, axis=-1)
    for image in (GREY, every_grey):
        assert (results(make(1.0), image, count=20) == image).all()


@pytest.mark.parametrize("fill", ["mean", "random"])
def test_random_erasing_overwrites_one_rectangle_of_the_allowed_size(fill):
    image = np.zeros((60, 30, 3), np.uint8)
    erased = results(augment.random_erasing(1.0, (0.1, 0.3), (0.5, 2.0), fill), image)
    heights = []
    for result in erased:
        rows, columns = (np.flatnonzero(result.any((2, axis))) for axis in (1, 0))
        box = result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        h, w = box.shape[:2]
        # Sides are rounded to whole pixels, so the bounds hold to half a pixel.
        assert (h - 0.5) * (w - 0.5) <= 0.3 * 1800 and (h + 0.5) * (w + 0.5) >= 180
        assert (h - 0.5) / (w + 0.5) <= 2 and (h + 0.5) / (w - 0.5) >= 0.5
        outside = result.astype(int).sum() - box.astype(int).sum()
        assert outside == 0
        if fill == "mean":
            assert (box == MEAN).all()
        else:
            assert 100 < box.mean() < 155 and len(np.unique(box)) > 50
        heights.append(h)
    assert len(set(heights)) > 10


def test_random_erasing_reaches_every_border_and_its_probability():
    image = np.zeros((60, 30, 3), np.uint8)
    erased = results(augment.random_erasing(0.3), image, count=1500) > 0
    hit = erased.reshape(1500, -1).any(axis=1)
    assert abs(hit.sum() - 450) < 5 * np.sqrt(1500 * 0.3 * 0.7)
    for border in (erased[:, 0], erased[:, -1], erased[:, :, 0], erased[:, :, -1]):
        assert border.any()


def test_random_erasing_without_a_fitting_rectangle_changes_nothing():
    image = np.zeros((10, 400, 3), np.uint8)
    tall = augment.random_erasing(1.0, (0.4, 0.4), (3.0, 3.0))
    assert (results(tall, image, count=20) == image).all()


def test_augment_composes_in_order_with_different_seeds():
    rng = tf.constant([3, 4], tf.int64)
    image = tf.constant(COLOUR)
    assert augment.augment(rng, image, ()) is image
    seeds = []

    def add_one(seed: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        seeds.append(tuple(seed.numpy()))
        return image // 2 + 1

    def double(seed: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        seeds.append(tuple(seed.numpy()))
        return image // 2 * 2

    result = augment.augment(rng, image, (add_one, double))
    np.testing.assert_array_equal(result, (COLOUR // 2 + 1) // 2 * 2)
    assert len({*seeds, (3, 4)}) == 3


def test_two_equal_augmentations_draw_independently():
    half = (augment.flip(0.5),) * 2
    flipped = results(lambda rng, image: augment.augment(rng, image, half), count=600)
    # Two flips cancel half of the time; with one shared seed they always would.
    unchanged = (flipped == COLOUR).all(axis=(1, 2, 3)).sum()
    assert abs(unchanged - 300) < 5 * np.sqrt(600 / 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.flip(1.5), "probability is 1.5"),
        (lambda: augment.random_grey(-0.1), "probability is -0.1"),
        (lambda: augment.pad_and_crop(-1), "padding is -1"),
        (lambda: augment.random_erasing(area=(0.4, 0.02)), "area"),
        (lambda: augment.random_erasing(area=(0.4, 1.2)), "at most 1"),
        (lambda: augment.random_erasing(aspect=(0.0, 1.0)), "aspect"),
        (lambda: augment.random_erasing(fill="black"), "'black'"),
    ],
)
def test_senseless_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
