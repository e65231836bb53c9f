"""Agreement of the predictions of two views (CAJ, ICCV 2021; CAJ+, TPAMI 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.pairs import mean_of_pairs, partners, views_paired
from jreid.losses.primitives import soft_cross_entropy, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Bool, Float

_OFFSET = 1e-7  # to the teacher's probabilities, CAJ KLDivLoss


def view_divergence(
    logits: Float[jax.Array, "r classes"],
    pairs: Bool[jax.Array, "r r"],
    *,
    temperature: float = 3.0,
) -> Float[jax.Array, ""]:
    """T^2 KL(teacher || student) of softmax(logits / T), mean over pairs.

    The teacher is detached and 1e-7 is added to its probabilities, as in CAJ's released
    code. Row i of `pairs` is the student, column j its teacher.
    """
    logits = widen(logits) / temperature
    teacher = jax.nn.softmax(jax.lax.stop_gradient(partners(pairs, logits)), axis=1)
    teacher = teacher + _OFFSET
    student = jax.nn.log_softmax(logits, axis=1)
    losses = jnp.sum(teacher * (jnp.log(teacher) - student), axis=1)
    return temperature**2 * mean_of_pairs(pairs, losses)


def view_cross_entropy(
    logits: Float[jax.Array, "r classes"], pairs: Bool[jax.Array, "r r"]
) -> Float[jax.Array, ""]:
    """Cross-entropy of the student's logits with the detached softmax of the teacher's.

    Mean over pairs; row i of `pairs` is the student, column j its teacher (CAJ+).
    """
    logits = widen(logits)
    teacher = jax.nn.softmax(jax.lax.stop_gradient(partners(pairs, logits)), axis=1)
    return mean_of_pairs(pairs, soft_cross_entropy(teacher, logits))


@dataclass(slots=True)
class ViewDivergence:
    """KL divergence of one view's prediction from another's, row by row (CAJ)."""

    weight: float = 1.0
    on: On = "logits.v1"
    """Logits by name, or pairs of a name and a share."""
    student: int = 0
    """The view's number, from 0 in the order of `views`."""
    teacher: int = 2
    """The view's number, from 0 in the order of `views`; its gradient is stopped."""
    temperature: float = 3.0
    """By which logits are divided; its square multiplies the value."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        _check_views(self)
        at_least("temperature", self.temperature, 1e-3)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        pairs = views_paired(batch, self.student, self.teacher)
        return shared(
            self.on,
            outputs,
            lambda logits: view_divergence(logits, pairs, temperature=self.temperature),
        )


@dataclass(slots=True)
class ViewCrossEntropy:
    """Cross-entropy of one view's prediction with another's, row by row (CAJ+)."""

    weight: float = 1.0
    on: On = "logits.v1"
    """Logits by name, or pairs of a name and a share."""
    student: int = 0
    """The view's number, from 0 in the order of `views`."""
    teacher: int = 1
    """The view's number, from 0 in the order of `views`; its gradient is stopped."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        _check_views(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        pairs = views_paired(batch, self.student, self.teacher)
        return shared(
            self.on, outputs, lambda logits: view_cross_entropy(logits, pairs)
        )


def _check_views(term) -> None:
    at_least("student", term.student, 0.0)
    at_least("teacher", term.teacher, 0.0)
    if term.student == term.teacher:
        raise ValueError(
            f"teacher is {term.teacher}, and so is student; allowed are two views"
        )
