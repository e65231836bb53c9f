"""Augmentations inside tf.data: parts called with a uint8 image and a seed.

The seed is stateless, two integers: the same gives the same result, whatever was drawn
before. The result has the image's shape. Images are not yet normalised, so an area
filled with the ImageNet mean becomes zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jreid.bounds import between
from jreid.data.stateless import sometimes, split, uniform
from jreid.lazy import tf
from jreid.shapes import Int, UInt8

AspectLaw = Literal["uniform", "log-uniform"]

IMAGENET_MEAN = (124, 116, 104)  # of the channels r, g, b, rounded
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow weighs r, g, b

_ERASING_ATTEMPTS = 10  # each fits with probability > 0.65: all fail < 3 in 10^5


def augment(
    image: UInt8[tf.Tensor, "h w 3"],
    seed: Int[tf.Tensor, " 2"],
    pipe: Sequence[Callable],
) -> UInt8[tf.Tensor, "h w 3"]:
    """The augmentations of `pipe` in order, each with a seed split from `seed`."""
    if not pipe:
        return image
    for augmentation, own in zip(pipe, split(seed, len(pipe)), strict=True):
        image = augmentation(image, own)
    return image


@dataclass(slots=True)
class PadCrop:
    """A border around the image, then a window of its size at a random place (AGW).

    Every shift from -pixels to +pixels, per axis, is equally likely.
    """

    pixels: int = 10
    """Width of the border on each side."""
    fill: int | Literal["symmetric"] = 0
    """Grey level of the border, 0 to 255; symmetric: the image mirrored at its edge."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        if self.pixels < 0:
            raise ValueError(f"pixels is {self.pixels}; allowed is 0 and more")
        if isinstance(self.fill, int) and not 0 <= self.fill <= 255:
            raise ValueError(f"fill is {self.fill}; allowed is 0 to 255, or symmetric")

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The window."""
        border = [[self.pixels, self.pixels], [self.pixels, self.pixels], [0, 0]]
        if self.fill == "symmetric":
            padded = tf.pad(image, border, mode="SYMMETRIC")
        else:
            padded = tf.pad(image, border, constant_values=self.fill)
        corner = uniform(seed, (2,), 0, 2 * self.pixels + 1, tf.int32)
        start = tf.concat([corner, [0]], axis=0)
        return tf.ensure_shape(tf.slice(padded, start, tf.shape(image)), image.shape)


@dataclass(slots=True)
class Flip:
    """Left and right exchanged."""

    p: float = 0.5
    """Probability."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        between("p", self.p, 0, 1)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The mirrored image, or the image as it is."""
        return sometimes(self.p, image, seed, lambda _: tf.reverse(image, axis=[1]))


@dataclass(slots=True)
class Erase:
    """A rectangle overwritten (Zhong et al., AAAI 2020).

    Defaults are CAJ's (`ChannelAug.py`, ChannelRandomErasing), but for the value: CAJ
    writes 0.49, 0.48, 0.45 into normalised images (`EraseNormalised` does), this the
    mean, which normalises to zero. A rectangle that does not fit is drawn anew, ten
    times at most.
    """

    p: float = 0.5
    """Probability."""
    area: tuple[float, float] = (0.02, 0.4)
    """Least and greatest fraction of the image, uniform between."""
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    """Least and greatest height / width, uniform between."""
    value: Literal["mean", "noise"] | tuple[int, int, int] = "mean"
    """ImageNet's mean, noise in every pixel and channel, or a colour, 0 to 255."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        between("p", self.p, 0, 1)
        check_rectangle(self.area, self.aspect)
        if not isinstance(self.value, str) and not all(
            0 <= level <= 255 for level in self.value
        ):
            raise ValueError(f"value is {self.value}; allowed is 0 to 255 per channel")

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The image with the rectangle, or as it is."""

        def erased(own: tf.Tensor) -> tf.Tensor:
            box_seed, value_seed = split(own, 2)
            inside = rectangle(box_seed, tf.shape(image), self.area, self.aspect)
            return tf.where(inside, self._fill(value_seed, tf.shape(image)), image)

        return sometimes(self.p, image, seed, erased)

    def _fill(self, seed: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
        if self.value == "noise":
            return tf.cast(uniform(seed, shape, 0, 256, tf.int32), tf.uint8)
        colour = IMAGENET_MEAN if self.value == "mean" else self.value
        return tf.constant(colour, tf.uint8)


@dataclass(slots=True)
class Grey:
    """The luminance in all three channels; a grey image stays as it is."""

    p: float = 0.5
    """Probability."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        between("p", self.p, 0, 1)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The grey image, or the image as it is."""

        def grey(_: tf.Tensor) -> tf.Tensor:
            floats = tf.cast(image, tf.float32)
            luminance = tf.tensordot(floats, tf.constant(LUMINANCE), axes=1)
            luminance = tf.cast(tf.round(luminance), tf.uint8)[..., None]
            return tf.repeat(luminance, 3, axis=-1)

        return sometimes(self.p, image, seed, grey)


@dataclass(slots=True)
class RandomChannel:
    """One random channel in all three (CAJ's exchange); a grey image stays as it is."""

    p: float = 0.5
    """Probability."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        between("p", self.p, 0, 1)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The image of one channel, or the image as it is."""

        def exchanged(own: tf.Tensor) -> tf.Tensor:
            channel = uniform(own, (), 0, 3, tf.int32)
            return tf.gather(image, tf.repeat(channel, 3), axis=-1)

        return sometimes(self.p, image, seed, exchanged)


def aspects_of(u: Any, aspect: tuple[float, float], law: AspectLaw) -> Any:
    """Ratios between two bounds, by this law, of numbers uniform in [0, 1)."""
    least, greatest = aspect
    if law == "log-uniform":
        return least * (greatest / least) ** u
    return least + (greatest - least) * u


def check_rectangle(area: tuple[float, float], aspect: tuple[float, float]) -> None:
    """Raises ValueError unless rectangles of these ranges can be drawn."""
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(
            f"area is {area}; allowed are a least and a greatest fraction, above 0 and "
            "at most 1"
        )
    if not 0 < aspect[0] <= aspect[1]:
        raise ValueError(
            f"aspect is {aspect}; allowed are a least and a greatest, both above 0"
        )


def rectangle(
    seed: tf.Tensor,
    shape: tf.Tensor,
    area: tuple[float, float],
    aspect: tuple[float, float],
    attempts: int = _ERASING_ATTEMPTS,
    aspect_law: AspectLaw = "uniform",
) -> tf.Tensor:
    """Boolean [h w 1], true inside the first of some random rectangles that fits.

    Areas, as fractions of the image, are uniform between their bounds, ratios height /
    width or their logarithms. It is true nowhere if none fits.
    """
    h, w = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)
    u = uniform(seed, (4, attempts))
    areas = h * w * (area[0] + (area[1] - area[0]) * u[0])
    ratios = aspects_of(u[1], aspect, aspect_law)
    heights = tf.round(tf.sqrt(areas * ratios))
    widths = tf.round(tf.sqrt(areas / ratios))
    fits = (heights < h) & (widths < w)
    first = tf.argmax(tf.cast(fits, tf.int32))  # 0 where none fits
    height = tf.where(tf.reduce_any(fits), heights[first], 0.0)
    width = widths[first]
    top = tf.floor(u[2, first] * (h - height + 1))
    left = tf.floor(u[3, first] * (w - width + 1))
    rows, columns = tf.range(h)[:, None, None], tf.range(w)[None, :, None]
    in_rows = (rows >= top) & (rows < top + height)
    return in_rows & (columns >= left) & (columns < left + width)
