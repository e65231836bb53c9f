"""Cross-entropy over the training identities (eq. 10)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import between
from jreid.lazy import jax, jnp
from jreid.losses.primitives import soft_cross_entropy, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def identity(
    logits: Float[jax.Array, "b classes"],
    ids: Int[jax.Array, " b"],
    *,
    label_smoothing: float = 0.0,
) -> Float[jax.Array, ""]:
    """Mean softmax cross-entropy of the labels `ids` in [0, classes) (eq. 10).

    `label_smoothing` is the fraction of the target spread evenly over all classes.
    """
    logits = widen(logits)
    classes = logits.shape[1]
    targets = jax.nn.one_hot(ids, classes, dtype=logits.dtype)
    targets = (1 - label_smoothing) * targets + label_smoothing / classes
    return jnp.mean(soft_cross_entropy(targets, logits))


@dataclass(slots=True)
class Identity:
    """Cross-entropy over the training identities (eq. 10)."""

    weight: float = 1.0
    on: On = "logits.v1"
    """Logits by name, or pairs of a name and a share."""
    smoothing: float = 0.0
    """Fraction of the target spread evenly over all identities."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        between("smoothing", self.smoothing, 0, 1)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda logits: identity(
                logits, batch["ids"], label_smoothing=self.smoothing
            ),
        )
