"""Cross-entropy of each part, weighted by the softmax of learned scores (after FBP-AL).

The abstract of FBP-AL (TNNLS 2021) names an adaptive weighting; this form of it is
assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.identity import identity
from jreid.losses.primitives import widen
from jreid.losses.standing import On, check_weight_and_on, parameter, shared
from jreid.shapes import Float, Int


def part_identity(
    logits: Float[jax.Array, "b p classes"],
    ids: Int[jax.Array, " b"],
    scores: Float[jax.Array, " p"],
) -> Float[jax.Array, ""]:
    """Sum over parts of softmax(scores) times the part's mean cross-entropy, in nats.

    Its slope in a score is the part's share times (its cross-entropy - the sum): scores
    rise where identities are easy to tell. Left to themselves they give one part all.
    """
    each = jax.vmap(identity, in_axes=(1, None))(logits, ids)
    return jnp.sum(jax.nn.softmax(widen(scores)) * each)


@dataclass(slots=True)
class PartIdentity:
    """Cross-entropy of each part's logits, weighted by scores that are learned."""

    weight: float = 1.0
    on: On = "logits.parts"
    """Logits of PartClassifiers by name, or pairs of a name and a share."""
    scores: str = "branches/parts/classifier/scores"
    """Path of the parts' scores among the parameters."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        if not self.scores:
            raise ValueError("scores is ''; allowed is a parameter's path")

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted.

        Raises:
          ValueError: the network has no such parameter.
        """
        scores = parameter(self.scores, batch["params"], field="scores")
        return shared(
            self.on,
            outputs,
            lambda logits: part_identity(logits, batch["ids"], scores),
        )
