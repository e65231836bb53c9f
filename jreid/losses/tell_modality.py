"""The modality told by a discriminator: what an adversary minimises (cmGAN, CmCEN)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def tell_modality(
    logits: Float[jax.Array, "b k"], modality: Int[jax.Array, " b"]
) -> Float[jax.Array, ""]:
    """Binary cross-entropy in nats, mean over rows and logits.

    The first logit is that of "visible" (0), the second, where there is one, that of
    "infrared" (1), each with a sigmoid of its own. Without knowledge it is log 2.
    """
    logits = widen(logits)
    targets = jax.nn.one_hot(modality, 2, dtype=logits.dtype)[:, : logits.shape[1]]
    return jnp.mean(jax.nn.softplus(logits) - targets * logits)


@dataclass(slots=True)
class TellModality:
    """Binary cross-entropy of the modality, by a discriminator's logits."""

    weight: float = 1.0
    on: On = "logits.modality"
    """Logits [r 1] or [r 2] by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on, outputs, lambda logits: tell_modality(logits, batch["modality"])
        )
