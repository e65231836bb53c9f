"""Distillation of a branch into its refinement (eq. 8)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import kl_divergence, widen
from jreid.losses.standing import On, check_weight_and_on, output, shared
from jreid.shapes import Float


def variational_self_distillation(
    teacher_logits: Float[jax.Array, "b classes"],
    student_logits: Float[jax.Array, "b classes"],
    *,
    temperature: float = 1.0,
    stop_gradient: bool = True,
) -> Float[jax.Array, ""]:
    """KL(p(y|v) || p(y|z)), summed over classes, mean over the batch (eq. 8).

    The teacher predicts from a branch's feature v, the student from its refinement z.
    Both logits are divided by `temperature`; the result is not rescaled by its square.
    `stop_gradient` keeps the teacher from moving towards the student.

    VSD's released code computes another thing: it gives the divergence probabilities
    where it wants their logarithms, which makes it the mean over rows and classes of
    -H(p(y|z)) - <p(y|z), p(y|v)>: -0.409 for logits v = (2, 0, 0) and z = (0, 1, 0),
    where eq. 8 gives 0.779, with a gradient that is not 0 at z = v.
    """
    teacher, student = widen(teacher_logits), widen(student_logits)
    if stop_gradient:
        teacher = jax.lax.stop_gradient(teacher)
    return jnp.mean(kl_divergence(teacher / temperature, student / temperature))


@dataclass(slots=True)
class SelfDistillation:
    """KL divergence of the student's prediction from the teacher's (eq. 8)."""

    weight: float = 1.0
    teacher: str = "logits.v1"
    """Logits by name."""
    on: On = "logits.z1"
    """The student's logits by name, or pairs of a name and a share."""
    temperature: float = 1.0
    """By which both logits are divided."""
    stop_gradient: bool = True
    """Whether the teacher is kept from moving towards the student."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("temperature", self.temperature, 1e-3)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        teacher = output(self.teacher, outputs)
        return shared(
            self.on,
            outputs,
            lambda student: variational_self_distillation(
                teacher,
                student,
                temperature=self.temperature,
                stop_gradient=self.stop_gradient,
            ),
        )
