"""A teacher of the other modality: MPANet's and SAAI's mutual distillation.

The teacher is a modality's own classifier, followed by a moving average of it
(`training.memory.MovingAverage`), and applied to the other modality's embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jreid.lazy import jax, jnp
from jreid.losses.primitives import EXACT, kl_divergence, soft_cross_entropy, widen
from jreid.losses.standing import On, check_weight_and_on, output, shared
from jreid.shapes import Float, Int


def swapped_logits(
    embeddings: Float[jax.Array, "r d"],
    kernel: Float[jax.Array, "2 d classes"],
    modality: Int[jax.Array, " r"],
) -> Float[jax.Array, "r classes"]:
    """Logits of each row by the other modality's classifier."""
    embeddings = widen(embeddings)
    both = jnp.einsum("rd,mdk->rmk", embeddings, kernel, precision=EXACT)
    other = (1 - modality)[:, None, None]
    return jnp.take_along_axis(both, other, axis=1)[:, 0]


@dataclass(slots=True)
class SwappedTeacher:
    """The student's prediction follows that of the other modality's averaged head.

    No gradient reaches the teacher, its embedding included. MPANet: divergence, weight
    2.5; SAAI: cross-entropy, weight 1.
    """

    weight: float = 1.0
    on: On = "logits.own_v1"
    """The students' logits by name, or pairs of a name and a share."""
    embeddings: str = "embeddings.v1"
    """By name: what the teacher's classifier stands on."""
    average: str = "branches/v1/own/kernel"
    """Path of the averaged kernel [2 d classes] in what the memory holds."""
    form: Literal["divergence", "cross_entropy"] = "divergence"
    """divergence: KL(student || teacher), mean over rows; cross_entropy: of the
    student's logits with the teacher's softmax."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        kernel = _at(batch["extra"].get("average", {}), self.average)
        embeddings = output(self.embeddings, outputs)
        teacher = jax.lax.stop_gradient(
            swapped_logits(embeddings, kernel, batch["modality"])
        )

        def loss(student):
            student = widen(student)
            if self.form == "divergence":
                return jnp.mean(kl_divergence(student, teacher))
            return jnp.mean(
                soft_cross_entropy(jax.nn.softmax(teacher, axis=1), student)
            )

        return shared(self.on, outputs, loss)


def _at(tree: Mapping[str, Any], path: str) -> Any:
    for key in path.split("/"):
        if key not in tree:
            raise ValueError(
                f"average is {path!r}; what the memory holds has "
                f"{', '.join(tree) or 'nothing'} where {key!r} was looked for: give "
                "memory=MovingAverage(params=...) of it"
            )
        tree = tree[key]
    return tree
