"""Linear mixing of channels and patches (RLE), against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from parameters import slow

from jreid.data.linear_mixing import LinearMix, LinearPatches

H, W = 48, 24
COLOUR = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
GREY = np.repeat(COLOUR[..., :1], 3, axis=-1)
WHITE = np.full((H, W, 3), 255, np.uint8)


def results(augmentation, image=COLOUR, count=400):
    """`augmentation` of `image` under the seeds (7, 0), (7, 1) ..., in tf.data."""

    def apply(number):
        return augmentation(tf.constant(image), tf.stack([7, number]))

    dataset = tf.data.Dataset.range(count).map(
        tf.autograph.experimental.do_not_convert(apply)
    )
    assert dataset.element_spec == tf.TensorSpec(image.shape, tf.uint8)
    return np.stack(list(dataset.as_numpy_iterator()))


@pytest.mark.parametrize("part", [LinearMix(), LinearPatches()])
def test_eager_and_tf_data_agree_and_depend_on_the_seed_only(part):
    inside = results(part, count=12)
    for number in reversed(range(12)):
        eager = part(tf.constant(COLOUR), tf.constant([7, number], tf.int64)).numpy()
        np.testing.assert_array_equal(eager, inside[number])
    assert len(np.unique(inside, axis=0)) > 3


@pytest.mark.parametrize("part", [LinearMix(p=0.0), LinearPatches(p=0.0)])
def test_probability_zero_changes_nothing(part):
    assert (results(part, count=20) == COLOUR).all()


@pytest.mark.parametrize("make", [LinearMix, LinearPatches])
def test_probability_is_that_of_a_change(make):
    changed = (results(make(p=0.25)) != COLOUR).any((1, 2, 3)).sum()
    assert abs(changed - 100) < 44  # five standard deviations


def weights_of(mixed):
    """The mixture that made a grey image of COLOUR, by least squares."""
    pixels = COLOUR.reshape(-1, 3).astype(float)
    return np.linalg.lstsq(pixels, mixed[..., 0].ravel().astype(float), rcond=None)[0]


def test_mix_is_one_convex_combination_of_the_channels():
    for image in results(LinearMix(p=1.0), count=50):
        assert (image == image[..., :1]).all()
        weights = weights_of(image)
        assert abs(weights.sum() - 1) < 0.01 and (weights > -0.01).all()
        expected = COLOUR.astype(float) @ weights
        assert np.abs(image[..., 0] - expected).max() < 1.5  # rounding, least squares
        assert (image[..., 0] >= COLOUR.min(-1)).all()
        assert (image[..., 0] <= COLOUR.max(-1)).all()


def test_largest_weight_of_a_mix_is_distributed_as_published():
    """Mean .62, above .9 in 13 of 100 (computed from the released code's formula)."""
    largest = [weights_of(x).max() for x in results(LinearMix(p=1.0), count=2000)]
    assert abs(np.mean(largest) - 0.62) < 0.02
    assert abs(np.mean(np.array(largest) > 0.9) - 0.13) < 0.03


def test_mix_leaves_a_grey_image():
    assert (results(LinearMix(p=1.0), GREY, 50) == GREY).all()


def naive_patches(image, rng, part):
    """The image with its rectangles, each drawn by NumPy."""
    image, product = image / 255, np.ones(image.shape)
    for _ in range(100):
        size = rng.uniform(*part.area) * H * W
        aspect = rng.uniform(*part.aspect)
        h, w = round((size * aspect) ** 0.5), round((size / aspect) ** 0.5)
        if h >= H or w >= W:
            continue
        top, left = rng.integers(0, H - h + 1), rng.integers(0, W - w + 1)
        patch = image[top : top + h, left : left + w]
        for c in range(3):
            factor = rng.beta(part.beta, part.beta) / patch[..., c].max()
            patch[..., c] *= factor
            product[top : top + h, left : left + w, c] *= factor
        if product.min() < part.threshold:
            break
    return np.round(image * 255)


@pytest.mark.parametrize("image", [WHITE, slow(COLOUR // 2 + 1)], ids=["white", "dark"])
def test_patches_are_distributed_as_in_a_naive_loop(image):
    part, rng = LinearPatches(p=1.0), np.random.default_rng(3)
    count = 1000
    naive = np.stack([naive_patches(image, rng, part) for _ in range(count)])
    ours = results(part, image, count).astype(float)
    for statistic in (
        lambda x: (x != image).any(-1).mean((1, 2)),  # fraction of pixels that changed
        lambda x: (x / image).mean((1, 2, 3)),
        lambda x: (x / image).min((1, 2, 3)),
        lambda x: (x / image).std((1, 2, 3)),
    ):
        a, b = statistic(naive), statistic(ours)
        error = np.sqrt((a.var() + b.var()) / count)
        assert abs(a.mean() - b.mean()) < 4.5 * error


def test_patches_colour_a_grey_image_and_keep_black_black():
    assert (
        (np.ptp(results(LinearPatches(p=1.0), GREY, 50), axis=-1) > 0).any((1, 2)).all()
    )
    black = np.zeros((H, W, 3), np.uint8)
    assert (results(LinearPatches(p=1.0), black, 20) == black).all()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (LinearMix(p=1.5), "p is 1.5"),
        (LinearMix(beta=0.0), "beta is 0.0"),
        (LinearPatches(beta=-1.0), "beta is -1.0"),
        (LinearPatches(threshold=2.0), "threshold is 2.0"),
        (LinearPatches(area=(0.5, 0.2)), "area is"),
        (LinearPatches(aspect=(0.0, 0.2)), "aspect is"),
    ],
)
def test_what_is_out_of_bounds_is_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.check()
