"""VSD's and VCD's losses as released: the divergence is called on probabilities."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import widen
from jreid.losses.standing import On, check_weight_and_on, output, shared
from jreid.shapes import Float


def released_self_distillation(
    teacher_logits: Float[jax.Array, "b classes"],
    student_logits: Float[jax.Array, "b classes"],
) -> Float[jax.Array, ""]:
    """Mean over rows and classes of z (log z - p), as VSD's code computes it.

    p is the softmax of the teacher's logits, detached, z that of the student's. The
    library's divergence wants logarithms of p and gets p: no KL divergence at all, and
    z is also what it is weighted with. eq. 8 is `variational_self_distillation`.
    """
    p = jax.nn.softmax(jax.lax.stop_gradient(widen(teacher_logits)), axis=1)
    log_z = jax.nn.log_softmax(widen(student_logits), axis=1)
    return jnp.mean(jnp.exp(log_z) * (log_z - p))


@dataclass(slots=True)
class ReleasedSelfDistillation:
    """Distillation of an observation into a representation, as VSD's code has it."""

    weight: float = 1.0
    teacher: str = "logits.v1"
    """Logits by name, whose gradient is stopped."""
    on: On = "logits.z1"
    """The student's logits by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        teacher = output(self.teacher, outputs)
        return shared(
            self.on,
            outputs,
            lambda student: released_self_distillation(teacher, student),
        )
