"""Gaussian blur of a random width, as torchvision's GaussianBlur."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.data.stateless import uniform
from jreid.lazy import tf
from jreid.shapes import Int, UInt8


@dataclass(slots=True)
class GaussianBlur:
    """Each channel convolved with a Gaussian, the image mirrored at its edges."""

    kernel: int = 21
    """Pixels of the kernel's side, an odd number."""
    sigma: tuple[float, float] = (0.1, 3.0)
    """Least and greatest standard deviation in pixels, uniform between."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; allowed are odd numbers from 1")
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(
                f"sigma is {self.sigma}; allowed are a least and a greatest, above 0"
            )

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The blurred image, rounded.

        Raises ValueError for an image with a side of half the kernel or less.
        """
        half = self.kernel // 2
        height, width = image.shape[:2]
        if any(side is not None and side <= half for side in (height, width)):
            raise ValueError(
                f"the image is {height} x {width} pixels; a blur of kernel "
                f"{self.kernel} needs sides of more than {half}: give larger images, "
                "or a smaller kernel"
            )
        sigma = uniform(seed, (), *self.sigma)
        places = tf.range(-half, half + 1, dtype=tf.float32)
        weights = tf.nn.softmax(-0.5 * (places / sigma) ** 2)  # a Gaussian of sum 1
        floats = tf.cast(image, tf.float32)
        x = tf.pad(floats, [[half, half], [half, half], [0, 0]], "REFLECT")
        # each channel is an image of one
        x = tf.transpose(x, [2, 0, 1])[:, :, :, None]
        x = tf.nn.conv2d(x, weights[:, None, None, None], 1, "VALID")
        x = tf.nn.conv2d(x, weights[None, :, None, None], 1, "VALID")
        blurred = tf.transpose(x[:, :, :, 0], [1, 2, 0])
        blurred = tf.cast(tf.clip_by_value(tf.round(blurred), 0, 255), tf.uint8)
        return tf.ensure_shape(blurred, image.shape)
