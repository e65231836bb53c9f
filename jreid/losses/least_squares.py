"""The least-squares form of an adversarial game (Mao et al., ICCV 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float


@dataclass(slots=True)
class LeastSquares:
    """Mean square of a discriminator's judgements' distance to their target."""

    weight: float = 1.0
    on: On = "judgements.made"
    """Judgements [b h w 1] by name, or pairs of a name and a share."""
    target: float = 1.0
    """1 of what shall pass as real, 0 of what is found out."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on, outputs, lambda x: jnp.mean((widen(x) - self.target) ** 2)
        )
