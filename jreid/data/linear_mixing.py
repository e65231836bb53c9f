"""Random linear mixing of channels, of the whole image and of patches (RLE).

Random Linear Enhancement (Tan et al., NeurIPS 2024): a change of spectrum is close to
linear where the surface is one, so linear factors at random make a network blind to it.
Images are uint8 before and after; the released code has fractions of 255 throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least, between
from jreid.data.augmentations import check_rectangle, rectangle
from jreid.data.stateless import beta, numbered, sometimes, split
from jreid.lazy import tf
from jreid.shapes import Int, UInt8

_MOST = 100  # rectangles, those that do not fit among them


@dataclass(slots=True)
class LinearMix:
    """All three channels become one mixture of them (moderate, MRLE).

    The weights are f / sum f with f ~ Beta(beta, beta) for each channel. The smaller
    beta, the more often one channel has nearly all. A grey image stays as it is.
    """

    p: float = 0.5
    """Probability."""
    beta: float = 0.3
    """Both parameters of the Beta distribution, above 0."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("p", self.p, 0.0, 1.0)
        at_least("beta", self.beta, 0.01)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The mixture three times, or the image as it is."""

        def mixed(own: tf.Tensor) -> tf.Tensor:
            # not 0, so that their sum is none
            factors = tf.maximum(beta(own, (3,), self.beta), 1e-6)
            weights = factors / tf.reduce_sum(factors)
            channel = tf.tensordot(tf.cast(image, tf.float32), weights, axes=1)
            channel = tf.cast(tf.round(channel), tf.uint8)[..., None]
            return tf.repeat(channel, 3, axis=-1)

        return sometimes(self.p, image, seed, mixed)


@dataclass(slots=True)
class LinearPatches:
    """Rectangles whose channels are multiplied, each by its own factor (radical, RRLE).

    A factor is Beta(beta, beta) / (the channel's maximum in the rectangle, a grey level
    at least), so no value leaves the range. Rectangles follow until the product of the
    factors that a pixel's channel got is below the threshold somewhere, as in the
    released code. One that does not fit into the image is skipped. A grey image becomes
    coloured.
    """

    p: float = 0.5
    """Probability."""
    beta: float = 0.4
    """Both parameters of the Beta distribution, above 0."""
    threshold: float = 0.1
    """Of a pixel's running product, at which it ends."""
    area: tuple[float, float] = (0.02, 0.4)
    """Least and greatest fraction of the image, uniform between."""
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    """Least and greatest height / width, uniform between."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("p", self.p, 0.0, 1.0)
        at_least("beta", self.beta, 0.01)
        between("threshold", self.threshold, 0.0, 1.0)
        check_rectangle(self.area, self.aspect)

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The image with its rectangles, or as it is."""

        def patched(own: tf.Tensor) -> tf.Tensor:
            floats = tf.cast(image, tf.float32) / 255
            _, floats, _ = tf.while_loop(
                lambda turn, x, product: (
                    (turn < _MOST) & (tf.reduce_min(product) >= self.threshold)
                ),
                lambda turn, x, product: self._turn(own, turn, x, product),
                (tf.constant(0), floats, tf.ones_like(floats)),
            )
            return tf.cast(tf.round(floats * 255), tf.uint8)

        return sometimes(self.p, image, seed, patched)

    def _turn(self, seed, turn, image, product):
        """One rectangle: the turn's number, the image and each pixel's product."""
        box_seed, factor_seed = split(numbered(seed, turn), 2)
        inside = rectangle(
            box_seed, tf.shape(image), self.area, self.aspect, attempts=1
        )
        brightest = tf.reduce_max(tf.where(inside, image, 0), axis=(0, 1))
        # A channel that is black there stays so, whatever its factor.
        factors = tf.where(
            brightest > 0,
            beta(factor_seed, (3,), self.beta) / tf.maximum(brightest, 1 / 255),
            1,
        )
        changed = tf.where(inside, image * factors, image)
        return (
            turn + 1,
            changed,
            tf.where(inside, product * factors, product),
        )
