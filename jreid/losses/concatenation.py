"""A term on several outputs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.lazy import jax, jnp
from jreid.losses.standing import check_weight_and_on, stand
from jreid.shapes import Float


@dataclass(slots=True)
class OnConcatenation:
    """A term that stands on one vector made of several, each times its share."""

    term: Any
    """Whose own `on` is "features.concatenation"; its own weight is not used."""
    on: tuple[tuple[str, float], ...]
    """Pairs of a name and a factor, in the vector's order."""
    weight: float = 1.0

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit the others."""
        check_weight_and_on(self)
        if self.term.on != "features.concatenation":
            raise ValueError(
                f"term.on is {self.term.on!r}; allowed is 'features.concatenation', "
                "the vector that is made here"
            )

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        vector = jnp.concatenate([s * x for s, x in stand(self.on, outputs)], axis=1)
        return self.term({"features": {"concatenation": vector}}, batch, rng)
