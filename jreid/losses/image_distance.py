"""The mean absolute difference of images, as of a cycle's (CycleGAN, ICCV 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import widen
from jreid.losses.standing import check_weight_and_on, output, total
from jreid.shapes import Float


@dataclass(slots=True)
class ImageDistance:
    """Mean over pairs of outputs of the mean absolute difference of their pixels."""

    weight: float = 1.0
    on: tuple[str, ...] = ("images.cycle_visible",)
    """Made images by name, [b h w 3] each."""
    target: tuple[str, ...] = ("images.visible",)
    """The images that they shall be, as many."""

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit the others."""
        check_weight_and_on(self)
        if len(self.target) != len(self.on):
            raise ValueError(
                f"target is {self.target}; allowed are as many names as in on, "
                f"{len(self.on)}"
            )

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        differences = [
            jnp.mean(jnp.abs(widen(output(on, outputs)) - output(target, outputs)))
            for on, target in zip(self.on, self.target, strict=True)
        ]
        return total(differences) / len(differences)
