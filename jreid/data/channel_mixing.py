"""Augmentations of visible images that mix their channels (MCJA, TCSVT 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.bounds import between
from jreid.data.augmentations import AspectLaw, check_rectangle, rectangle
from jreid.data.stateless import sometimes, split, uniform
from jreid.lazy import tf
from jreid.shapes import Int, UInt8


@dataclass(slots=True)
class OneOf:
    """One of several augmentations, each as likely."""

    choices: tuple[Any, ...]
    """Augmentations, called with an image and a seed."""

    def check(self) -> None:
        """Raises ValueError where there is nothing to choose."""
        if not self.choices or not all(map(callable, self.choices)):
            raise ValueError(
                f"choices is {self.choices!r}; allowed are augmentations, one and more"
            )

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The chosen one's result."""
        which, own = split(seed, 2)
        number = uniform(which, (), 0, len(self.choices), tf.int32)
        branches = [lambda part=part: part(image, own) for part in self.choices]
        return tf.ensure_shape(tf.switch_case(number, branches), image.shape)


@dataclass(slots=True)
class WeightedGrey:
    """One mixture of the channels in all three; uniform weights over their sum."""

    p: float = 0.5
    """Probability."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("p", self.p, 0, 1)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The mixture, or the image as it is."""

        def mixed(own: tf.Tensor) -> tf.Tensor:
            weights = uniform(own, (3,), 1e-6, 1.0)
            weights /= tf.reduce_sum(weights)
            channel = tf.tensordot(tf.cast(image, tf.float32), weights, axes=1)
            return _three_times(_to_uint8(channel))

        return sometimes(self.p, image, seed, mixed)


@dataclass(slots=True)
class ChannelCutMix:
    """One channel with a rectangle of another one, in all three.

    Released, height and width of the image are exchanged and some rectangles miss it;
    these do not.
    """

    p: float = 0.5
    """Probability."""
    area: tuple[float, float] = (0.02, 0.33)
    """Least and greatest fraction of the image, uniform between."""
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    """Least and greatest height / width."""
    aspect_law: AspectLaw = "uniform"
    """How height / width is drawn between its bounds; log-uniform: its logarithm is
    uniform, as MCJA has it."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("p", self.p, 0, 1)
        check_rectangle(self.area, self.aspect)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The two channels' mixture, or the image as it is."""

        def mixed(own: tf.Tensor) -> tf.Tensor:
            channel_seed, box_seed = split(own, 2)
            pair = tf.argsort(uniform(channel_seed, (3,)))[:2]
            inside = rectangle(
                *(box_seed, tf.shape(image), self.area, self.aspect),
                aspect_law=self.aspect_law,
            )
            behind, before = (tf.gather(image, pair[k], axis=-1) for k in (0, 1))
            return _three_times(tf.where(tf.squeeze(inside, -1), before, behind))

        return sometimes(self.p, image, seed, mixed)


@dataclass(slots=True)
class SpectrumJitter:
    """The image blended with one of its channels, by a factor uniform in [0, 1)."""

    p: float = 0.5
    """Probability."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("p", self.p, 0, 1)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The blend, or the image as it is."""

        def blended(own: tf.Tensor) -> tf.Tensor:
            channel_seed, factor_seed = split(own, 2)
            channel = uniform(channel_seed, (), 0, 3, tf.int32)
            floats = tf.cast(image, tf.float32)
            single = tf.gather(floats, tf.repeat(channel, 3), axis=-1)
            return _to_uint8(floats + uniform(factor_seed, ()) * (single - floats))

        return sometimes(self.p, image, seed, blended)


@dataclass(slots=True)
class HueJitter:
    """The hue turned by a uniform angle; brightness and saturation stay."""

    p: float = 0.5
    """Probability."""
    turn: float = 0.2
    """Largest angle to either side, as a fraction of the whole circle."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("p", self.p, 0, 1)
        between("turn", self.turn, 0, 0.5)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The turned image, or the image as it is."""

        def turned(own: tf.Tensor) -> tf.Tensor:
            angle = uniform(own, (), -self.turn, self.turn)
            floats = tf.cast(image, tf.float32) / 255
            return _to_uint8(255 * tf.image.adjust_hue(floats, angle))

        return sometimes(self.p, image, seed, turned)


def _to_uint8(floats: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(tf.clip_by_value(floats, 0, 255)), tf.uint8)


def _three_times(channel: tf.Tensor) -> tf.Tensor:
    return tf.repeat(tf.expand_dims(channel, -1), 3, axis=-1)
