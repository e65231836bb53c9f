"""Random brightness, contrast, saturation and hue, as torchvision's ColorJitter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jreid.bounds import between
from jreid.data.augmentations import LUMINANCE
from jreid.data.stateless import split, uniform
from jreid.lazy import tf
from jreid.shapes import Int, UInt8


@dataclass(slots=True)
class ColourJitter:
    """Four changes in random order, each always and by a random amount.

    Brightness, contrast and saturation are blends, f of the image and 1 - f of black,
    of its luminance's mean, of its luminance; f is uniform between 1 minus the field
    and 1 plus it. The hue turns by up to the field, where 0.5 is half of the circle.
    """

    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.5

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        for name in ("brightness", "contrast", "saturation"):
            between(name, getattr(self, name), 0, 1)
        between("hue", self.hue, 0, 0.5)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The changed image, rounded after each change."""
        first, second, third, fourth, shuffle = split(seed, 5)
        blends = (
            (first, self.brightness, tf.zeros_like),
            (second, self.contrast, lambda x: tf.round(tf.reduce_mean(_luminance(x)))),
            (third, self.saturation, _luminance),
        )
        changes: list[Callable] = [
            partial(_blended, factor=_factor(own, spread), other=other)
            for own, spread, other in blends
        ]
        turn = uniform(fourth, (), -self.hue, self.hue)
        changes.append(lambda x: 255 * tf.image.adjust_hue(x / 255, turn))
        order = tf.argsort(uniform(shuffle, (4,), 0.0, 1.0))
        floats = tf.cast(image, tf.float32)
        for place in range(4):
            branches = [lambda x=floats, own=own: own(x) for own in changes]
            changed = tf.switch_case(order[place], branches)
            floats = tf.clip_by_value(tf.round(changed), 0, 255)
        return tf.ensure_shape(tf.cast(floats, tf.uint8), image.shape)


def _factor(seed, spread):
    return uniform(seed, (), 1 - spread, 1 + spread)


def _blended(x, factor, other):
    return factor * x + (1 - factor) * other(x)


def _luminance(x):
    return tf.round(tf.tensordot(x, tf.constant(LUMINANCE), axes=1))[..., None]
