"""One of several augmentations, drawn anew for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.data.stateless import split, uniform
from jreid.lazy import tf
from jreid.shapes import Int, UInt8


@dataclass(slots=True)
class OneOf:
    """Exactly one of several augmentations, each as likely (RandomChoice)."""

    choices: tuple[Any, ...]
    """Augmentations, each called with an image and a seed."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        if not self.choices or not all(map(callable, self.choices)):
            raise ValueError(
                f"choices is {self.choices!r}; allowed are augmentations, one or more"
            )

    def __call__(
        self, image: UInt8[tf.Tensor, "h w 3"], seed: Int[tf.Tensor, " 2"]
    ) -> UInt8[tf.Tensor, "h w 3"]:
        """The image as the drawn augmentation changes it."""
        which, own = split(seed, 2)
        drawn = uniform(which, (), 0, len(self.choices), tf.int32)
        branches = [lambda change=change: change(image, own) for change in self.choices]
        return tf.ensure_shape(tf.switch_case(drawn, branches), image.shape)
