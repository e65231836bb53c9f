"""A penalty on a discriminator's slope at real images (Mescheder et al., ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float


@dataclass(slots=True)
class GradientPenalty:
    """Mean over images of the squared norm of the judgements' gradient in the image."""

    weight: float = 0.01
    on: On = "slopes.visible_0"
    """Gradients [b h w 3] by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on, outputs, lambda x: jnp.sum(jnp.square(widen(x))) / len(x)
        )
