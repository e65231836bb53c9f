"""A teacher that follows the classifier, as MPANet has it (Wu et al., CVPR 2021)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from base import small

from jreid.losses.identity import Identity
from jreid.training.memory import MovingAverage


@dataclass(slots=True)
class FollowTeacher:
    """KL of the student's prediction from that of the teacher's classifier."""

    weight: float = 1.0
    on: str = "logits.v1"

    def __call__(self, outputs, batch, rng=None):
        teacher = batch["extra"]["average"]["branches"]["v1"]["classifier"]["kernel"]
        embeddings = jax.lax.stop_gradient(outputs["embeddings"]["v1"])
        wanted = jax.nn.log_softmax(embeddings @ teacher)
        given = jax.nn.log_softmax(outputs["logits"]["v1"])
        return jnp.mean(jnp.sum(jnp.exp(wanted) * (wanted - given), axis=1))


def get_config():
    return small(
        "teacher",
        objective={"identity": Identity(), "teacher": FollowTeacher()},
        memory=MovingAverage("branches/v1/classifier", rate=0.5),
    )
