"""Augmentations inside tf.data: functions (rng, image) -> image of the same shape.

`rng` is a stateless seed, two integers: the same seed gives the same result, whatever
was drawn before. Images are uint8, before normalisation, so a fill of "mean" is the
ImageNet mean. Called with parameters, each function below returns an augmentation; a
config passes a tuple of them per modality.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf
from jaxtyping import Integer, UInt8

Rng = Integer[tf.Tensor, " 2"]
Image = UInt8[tf.Tensor, "h w 3"]
Augmentation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

IMAGENET_MEAN = (124, 116, 104)  # of the channels r, g, b, rounded
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow and CAJ weigh r, g, b

_ALGORITHM = "philox"  # pinned, so that all machines agree
_ERASING_ATTEMPTS = 10  # each fits with probability > 0.7: all fail once in 10^5


def augment(rng: Rng, image: Image, augmentations: Sequence[Augmentation]) -> Image:
    """`augmentations` in order, each with its own seed split from `rng`."""
    if not augmentations:
        return image
    rngs = _split(rng, len(augmentations))
    for rng_i, augmentation in zip(rngs, augmentations, strict=True):
        image = augmentation(rng_i, image)
    return image


def pad_and_crop(padding: int = 10) -> Augmentation:
    """Zeros around the image, then a window of its size at a random place (AGW).

    Every shift from -padding to +padding, per axis, is equally likely.
    """
    if padding < 0:
        raise ValueError(f"padding is {padding} pixels; it must be 0 or more")

    def apply(rng: Rng, image: Image) -> Image:
        corner = _uniform(rng, (2,), 0, 2 * padding + 1, tf.int32)
        border = [[padding, padding], [padding, padding], [0, 0]]
        start = tf.concat([corner, [0]], axis=0)
        cropped = tf.slice(tf.pad(image, border), start, tf.shape(image))
        return tf.ensure_shape(cropped, image.shape)

    return apply


def flip(probability: float = 0.5) -> Augmentation:
    """Left and right exchanged with `probability`."""
    return _sometimes(probability, lambda _, image: tf.reverse(image, axis=[1]))


def random_erasing(
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
    fill: str = "mean",
) -> Augmentation:
    """A rectangle overwritten with `probability` (Zhong et al., AAAI 2020).

    Defaults are CAJ's (`ChannelAug.py`, ChannelRandomErasing), but for the colour:
    CAJ writes 0.49, 0.48, 0.45 into normalised images, we the mean, which normalises
    to zero. A rectangle that does not fit is drawn anew, ten times at most.

    Args:
        probability: in [0, 1].
        area: least and greatest fraction of the image, uniform between.
        aspect: least and greatest height / width, uniform between.
        fill: "mean", the ImageNet mean colour, or "random", noise in every pixel and
            channel.
    """
    if not 0 < area[0] <= area[1] <= 1 or not 0 < aspect[0] <= aspect[1]:
        raise ValueError(
            f"area {area} and aspect {aspect} must be (least, greatest), positive, and "
            "area at most 1"
        )
    if fill not in ("mean", "random"):
        raise ValueError(f'fill is {fill!r}; it can be "mean" or "random"')

    def erase(rng: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        box_rng, fill_rng = _split(rng, 2)
        inside = _random_rectangle(box_rng, tf.shape(image), area, aspect)
        if fill == "random":
            noise = _uniform(fill_rng, tf.shape(image), 0, 256, tf.int32)
            return tf.where(inside, tf.cast(noise, tf.uint8), image)
        return tf.where(inside, tf.constant(IMAGENET_MEAN, tf.uint8), image)

    return _sometimes(probability, erase)


def random_grey(probability: float = 0.5) -> Augmentation:
    """The luminance in all three channels with `probability`; a grey image stays."""

    def grey(_: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        floats = tf.cast(image, tf.float32)
        luminance = tf.tensordot(floats, tf.constant(LUMINANCE), axes=1)
        luminance = tf.cast(tf.round(luminance), tf.uint8)[..., None]
        return tf.repeat(luminance, 3, axis=-1)

    return _sometimes(probability, grey)


def channel_exchange(probability: float = 0.5) -> Augmentation:
    """One random channel in all three with `probability` (CAJ); a grey image stays."""

    def exchange(rng: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        channel = _uniform(rng, (), 0, 3, tf.int32)
        return tf.gather(image, tf.repeat(channel, 3), axis=-1)

    return _sometimes(probability, exchange)


def _sometimes(probability: float, change: Augmentation) -> Augmentation:
    """`change` with `probability`, otherwise the image as it is."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability is {probability}; it must be in [0, 1]")

    def apply(rng: Rng, image: Image) -> Image:
        # The coin is the first of the numbers that follow from rng; the second of
        # the split comes from later ones, and is drawn only when it is needed.
        heads = _uniform(rng, (), 0.0, 1.0, tf.float32) < probability
        result = tf.cond(heads, lambda: change(_split(rng, 2)[1], image), lambda: image)
        return tf.ensure_shape(result, image.shape)

    return apply


def _random_rectangle(
    rng: tf.Tensor,
    shape: tf.Tensor,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> tf.Tensor:
    """Boolean [h w 1], true inside the first of ten random rectangles that fits."""
    h, w = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)
    u = _uniform(rng, (4, _ERASING_ATTEMPTS), 0.0, 1.0, tf.float32)
    areas = h * w * (area[0] + (area[1] - area[0]) * u[0])
    aspects = aspect[0] + (aspect[1] - aspect[0]) * u[1]
    heights = tf.round(tf.sqrt(areas * aspects))
    widths = tf.round(tf.sqrt(areas / aspects))
    fits = (heights < h) & (widths < w)
    first = tf.argmax(tf.cast(fits, tf.int32))  # 0 where none fits
    height = tf.where(tf.reduce_any(fits), heights[first], 0.0)
    width = widths[first]
    top = tf.floor(u[2, first] * (h - height + 1))
    left = tf.floor(u[3, first] * (w - width + 1))
    rows, columns = tf.range(h)[:, None, None], tf.range(w)[None, :, None]
    in_rows = (rows >= top) & (rows < top + height)
    return in_rows & (columns >= left) & (columns < left + width)


def _uniform(
    rng: tf.Tensor,
    shape: tf.Tensor | Sequence[int],
    low: int | float,
    high: int | float,
    dtype: tf.DType,
) -> tf.Tensor:
    """Uniform in [low, high)."""
    return tf.random.stateless_uniform(shape, rng, low, high, dtype, alg=_ALGORITHM)


def _split(rng: tf.Tensor, count: int) -> list[tf.Tensor]:
    return tf.unstack(tf.random.split(rng, count, alg=_ALGORITHM))
