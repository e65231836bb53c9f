"""Tests of every augmentation, eagerly and inside tf.data, against NumPy."""

import collections
import subprocess
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf

from jreid.data.augmentations import (
    IMAGENET_MEAN,
    LUMINANCE,
    AspectLaw,
    Erase,
    Flip,
    Grey,
    PadCrop,
    RandomChannel,
    aspects_of,
    augment,
    rectangle,
)
from jreid.data.device_augmentations import EraseNormalised

H, W = 24, 12
COLOUR = np.random.default_rng(0).integers(1, 256, (H, W, 3), dtype=np.uint8)
GREY = np.repeat(COLOUR[..., :1], 3, axis=-1)
MEAN = np.array(IMAGENET_MEAN, np.uint8)

AUGMENTATIONS = {
    "pad_crop": PadCrop(3),
    "pad_crop_filled": PadCrop(3, fill=255),
    "pad_crop_mirrored": PadCrop(3, fill="symmetric"),
    "flip": Flip(),
    "erase_mean": Erase(),
    "erase_noise": Erase(value="noise"),
    "erase_colour": Erase(value=(1, 2, 3)),
    "grey": Grey(),
    "exchange": RandomChannel(),
}


def results(
    augmentation: Callable, image: np.ndarray = COLOUR, count: int = 400
) -> np.ndarray:
    """`augmentation` of `image` under the seeds (7, 0), (7, 1) ..., in tf.data."""

    def apply(number: tf.Tensor) -> tf.Tensor:
        return augmentation(tf.constant(image), tf.stack([7, number]))

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
        seed = tf.constant([7, number], tf.int64)
        eager = augmentation(tf.constant(COLOUR), seed).numpy()
        np.testing.assert_array_equal(eager, inside[number])
    assert len(np.unique(inside, axis=0)) > 1
    assert inside.dtype == np.uint8


@pytest.mark.parametrize("fill", [0, 128, "symmetric"])
def test_pad_crop_is_a_shifted_window_of_the_padded_image(fill):
    padding = 2
    border = ((padding,) * 2, (padding,) * 2, (0, 0))
    if fill == "symmetric":
        padded = np.pad(COLOUR, border, mode="symmetric")
    else:
        padded = np.pad(COLOUR, border, constant_values=fill)
    windows = {
        padded[y : y + H, x : x + W].tobytes(): (y, x)
        for y in range(5)
        for x in range(5)
    }
    shifts = collections.Counter(
        windows[image.tobytes()]
        for image in results(PadCrop(padding, fill), count=2500)
    )
    # 100 of each expected; five standard deviations of a binomial are 49.
    assert len(shifts) == 25
    assert all(abs(count - 100) < 49 for count in shifts.values())


def test_padding_of_zero_changes_nothing():
    assert (results(PadCrop(0), count=5) == COLOUR).all()


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (Flip, [COLOUR[:, ::-1]]),
        (RandomChannel, [COLOUR[..., [c] * 3] for c in range(3)]),
        (Grey, [np.repeat(np.rint(COLOUR @ LUMINANCE)[..., None], 3, axis=-1)]),
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


@pytest.mark.parametrize("make", [Grey, RandomChannel])
def test_colour_augmentations_leave_grey_images_as_they_are(make):
    every_grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(32, 8, 1), 3, axis=-1)
    for image in (GREY, every_grey):
        assert (results(make(1.0), image, count=20) == image).all()


@pytest.mark.parametrize("value", ["mean", "noise", (9, 8, 7)])
def test_erase_overwrites_one_rectangle_of_the_allowed_size(value):
    image = np.zeros((60, 30, 3), np.uint8)
    erased = results(Erase(1.0, (0.1, 0.3), (0.5, 2.0), value), image)
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
        if value != "noise":
            assert (box == (MEAN if value == "mean" else value)).all()
        else:
            assert 100 < box.mean() < 155 and len(np.unique(box)) > 50
        heights.append(h)
    assert len(set(heights)) > 10


def test_erase_reaches_every_border_and_its_probability():
    image = np.zeros((60, 30, 3), np.uint8)
    erased = results(Erase(0.3), image, count=1500) > 0
    hit = erased.reshape(1500, -1).any(axis=1)
    assert abs(hit.sum() - 450) < 5 * np.sqrt(1500 * 0.3 * 0.7)
    for border in (erased[:, 0], erased[:, -1], erased[:, :, 0], erased[:, :, -1]):
        assert border.any()


def test_erase_without_a_fitting_rectangle_changes_nothing():
    image = np.zeros((10, 400, 3), np.uint8)
    tall = Erase(1.0, (0.4, 0.4), (3.0, 3.0))
    assert (results(tall, image, count=20) == image).all()


def test_augment_composes_in_order_with_different_seeds():
    rng = tf.constant([3, 4], tf.int64)
    image = tf.constant(COLOUR)
    assert augment(image, rng, ()) is image
    seeds = []

    def add_one(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds.append(tuple(seed.numpy()))
        return image // 2 + 1

    def double(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds.append(tuple(seed.numpy()))
        return image // 2 * 2

    result = augment(image, rng, (add_one, double))
    np.testing.assert_array_equal(result, (COLOUR // 2 + 1) // 2 * 2)
    assert len({*seeds, (3, 4)}) == 3


def test_two_equal_augmentations_draw_independently():
    half = (Flip(),) * 2
    flipped = results(lambda image, seed: augment(image, seed, half), count=600)
    # Two flips cancel half of the time; with one shared seed they always would.
    unchanged = (flipped == COLOUR).all(axis=(1, 2, 3)).sum()
    assert abs(unchanged - 300) < 5 * np.sqrt(600 / 4)


def on_device(part: EraseNormalised, count: int, seed: int = 0) -> np.ndarray:
    apply = jax.jit(lambda images, rng: part(images, rng))
    images = jnp.full((count, 60, 30, 3), 5.0)
    return np.asarray(apply(images, jax.random.key(seed)))


def test_erase_normalised_overwrites_one_rectangle_of_the_allowed_size():
    value = (0.5, 0.25, -2.0)
    part = EraseNormalised(1.0, (0.1, 0.3), (0.5, 2.0), value)
    heights, tops = set(), set()
    for image in on_device(part, 300):
        changed = (image != 5).any(axis=2)
        rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
        box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        h, w = box.shape[:2]
        assert (box == np.array(value, np.float32)).all() and changed.sum() == h * w
        # Sides are rounded to whole pixels, so the bounds hold to half a pixel.
        assert (h - 0.5) * (w - 0.5) <= 0.3 * 1800 and (h + 0.5) * (w + 0.5) >= 180
        assert (h - 0.5) / (w + 0.5) <= 2 and (h + 0.5) / (w - 0.5) >= 0.5
        heights.add(h)
        tops.add(rows[0])
    assert len(heights) > 10 and len(tops) > 10


def naive_ratios(aspect, law, area, shape, count):
    """Height / width of rectangles drawn anew until they fit, by NumPy in a loop."""
    (h, w), rng, found = shape, np.random.default_rng(1), []
    while len(found) < count:
        size = h * w * rng.uniform(*area)
        if law == "uniform":
            ratio = rng.uniform(*aspect)
        else:
            ratio = np.exp(rng.uniform(*np.log(aspect)))
        height, width = round(np.sqrt(size * ratio)), round(np.sqrt(size / ratio))
        if height < h and width < w:
            found.append(height / width)
    return np.array(found)


def sides(inside):
    """Height / width of the rectangle of each image of truth values."""
    return inside.any(2).sum(1) / inside.any(1).sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["uniform", "log-uniform"])
def test_ratios_have_their_law_on_the_device_and_in_tf_data(law):
    """Shares below every ratio, in an image which the widest do not fit."""
    count, area, aspect = 1200, (0.02, 0.33), (0.3, 3.3)
    naive = np.sort(naive_ratios(aspect, law, area, (60, 30), 10_000))
    erased = on_device(EraseNormalised(1.0, area, aspect, aspect_law=law), count)

    def boxed(image, seed):
        inside = rectangle(seed, tf.shape(image), area, aspect, aspect_law=law)
        return tf.where(inside, tf.zeros_like(image), image)

    image = np.full((60, 30, 3), 5, np.uint8)
    for images in (erased, results(boxed, image, count)):
        inside = (images != 5).any(3)
        drawn = np.sort(sides(inside[inside.any((1, 2))]))
        assert len(drawn) > 0.99 * count
        below = (np.searchsorted(x, naive, "right") / len(x) for x in (drawn, naive))
        # of Kolmogorov's distance, the 0.999-quantile; the two laws are 0.2 apart
        assert np.abs(np.subtract(*below)).max() < 1.95 * (1 / count + 1e-4) ** 0.5


def test_ratios_by_their_quantiles():
    u, rng = np.linspace(0, 1, 21), np.random.default_rng(0)
    laws: dict[AspectLaw, np.ndarray] = {
        "uniform": rng.uniform(0.3, 3.3, 100_000),
        "log-uniform": np.exp(rng.uniform(np.log(0.3), np.log(3.3), 100_000)),
    }
    for law, drawn in laws.items():
        found = aspects_of(u, (0.3, 3.3), law)
        np.testing.assert_allclose(found, np.quantile(drawn, u), atol=0.03)


def test_erase_normalised_fills_rectangles_with_noise():
    images = on_device(EraseNormalised(1.0, (0.2, 0.3), (0.5, 2.0), "noise"), 60)
    values = images[images != 5]
    assert len(values) > 50_000 and len(np.unique(values)) > 0.99 * len(values)
    assert abs(values.mean()) < 0.03 and abs(values.std() - 1) < 0.03
    first, second = (image[(image != 5).any(2)] for image in images[:2])
    assert abs(np.corrcoef(first[:300, 0], first[:300, 1])[0, 1]) < 0.3
    assert (first[:50] != second[:50]).any()


def test_erase_normalised_keeps_to_its_probability_and_its_rng():
    erased = on_device(EraseNormalised(0.3), 1500) != 5
    hit = erased.any(axis=(1, 2, 3))
    assert abs(hit.sum() - 450) < 5 * np.sqrt(1500 * 0.3 * 0.7)
    for border in (erased[:, 0], erased[:, -1], erased[:, :, 0], erased[:, :, -1]):
        assert border.any()
    assert (erased == (on_device(EraseNormalised(0.3), 1500) != 5)).all()
    assert (erased != (on_device(EraseNormalised(0.3), 1500, seed=1) != 5)).any()
    assert (on_device(EraseNormalised(0.0), 20) == 5).all()
    tall = EraseNormalised(1.0, (0.9, 0.9), (9.0, 9.0))  # none fits
    assert (on_device(tall, 20) == 5).all()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Flip(1.5), "p is 1.5; allowed is 0 to 1"),
        (Grey(-0.1), "p is -0.1"),
        (RandomChannel(float("nan")), "p is nan"),
        (EraseNormalised(2.0), "p is 2.0"),
        (PadCrop(-1), "pixels is -1"),
        (PadCrop(1, fill=256), "fill is 256; allowed is 0 to 255, or symmetric"),
        (Erase(area=(0.4, 0.02)), "area is"),
        (Erase(area=(0.4, 1.2)), "at most 1"),
        (Erase(aspect=(0.0, 1.0)), "aspect is"),
        (EraseNormalised(aspect=(0.0, 1.0)), "aspect is"),
        (Erase(value=(0, 0, 300)), "value is"),
    ],
)
def test_senseless_parameters_are_refused(part, message):
    with pytest.raises(ValueError, match=f"^{message}|{message}$"):
        part.check()


@pytest.mark.parametrize("part", [*AUGMENTATIONS.values(), EraseNormalised()])
def test_sensible_parameters_pass(part):
    part.check()


def test_parts_import_neither_tensorflow_nor_jax():
    code = (
        "import sys, jreid.data.augmentations, jreid.data.device_augmentations\n"
        "assert not {'tensorflow', 'jax', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
