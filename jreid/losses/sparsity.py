"""The L1 penalty on parameters, which a term finds by their path."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import widen
from jreid.losses.standing import parameter, total
from jreid.shapes import Float


@dataclass(slots=True)
class Sparsity:
    """Sum of the magnitudes of parameters, which leads many of them to 0."""

    params: str
    """Path of a parameter, or of several, as "trunk/before/layer3/norm/scale"."""
    weight: float = 1e-4

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("weight", self.weight, 0)
        if not self.params:
            raise ValueError("params is ''; allowed is a parameter's path")

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted.

        Raises:
          ValueError: the network has no such parameter.
        """
        found = parameter(self.params, batch["params"], field="params")
        return total(jnp.sum(jnp.abs(widen(x))) for x in jax.tree.leaves(found))
