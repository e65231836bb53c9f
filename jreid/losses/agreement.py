"""Agreement of a sharable and a modality's own classifier (after MAC and MACE)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.identity import identity
from jreid.losses.primitives import kl_divergence, widen
from jreid.losses.standing import (
    On,
    check_weight_and_on,
    output,
    shared,
    stand,
    total,
)
from jreid.shapes import Float


def agreement(
    logits: Float[jax.Array, "b classes"], target_logits: Float[jax.Array, "b classes"]
) -> Float[jax.Array, ""]:
    """KL(p || q), mean over rows; p of the logits, q of the target's, detached.

    The gradient flows into the first argument of the divergence, unlike that of a
    distillation.
    """
    target = jax.lax.stop_gradient(widen(target_logits))
    return jnp.mean(kl_divergence(widen(logits), target))


@dataclass(slots=True)
class Agreement:
    """KL divergence of one prediction from another that stands still."""

    target: tuple[str, ...]
    """Logits by name, whose mean is the target; no gradient flows there."""
    weight: float = 1.0
    on: On = "logits.v1"
    """Logits by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit."""
        check_weight_and_on(self)
        if not self.target:
            raise ValueError("target is (); allowed are names of logits")

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        logits = [output(name, outputs) for name in self.target]
        target = total(logits) / len(logits)
        return shared(self.on, outputs, lambda logits: agreement(logits, target))


@dataclass(slots=True)
class IdentityOfMean:
    """Cross-entropy of the weighted sum of several logits (an ensemble)."""

    on: tuple[tuple[str, float], ...]
    """Logits, pairs of a name and a factor."""
    weight: float = 1.0

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        mean = total(share * logits for share, logits in stand(self.on, outputs))
        return identity(mean, batch["ids"])
