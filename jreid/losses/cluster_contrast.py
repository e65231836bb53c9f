"""Cluster contrast: images near their own cluster's vector, far from others (ADCA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jreid.bounds import at_least
from jreid.data.datasets import MODALITY_NAMES
from jreid.lazy import jax, jnp
from jreid.losses.directions import unit_rows
from jreid.losses.primitives import EXACT, widen
from jreid.losses.remembered import remembered
from jreid.losses.standing import check_weight_and_on, output
from jreid.shapes import Float, Int

NEEDED = "memory=ClusterMemory() and between_epochs=Clusters()"
_NEVER = -1e30  # finite, so that a memory without clusters gives no NaN


def cluster_contrast(
    vectors: Float[jax.Array, "b d"],
    labels: Int[jax.Array, " b"],
    clusters: Float[jax.Array, "k d"],
    temperature: float,
) -> Float[jax.Array, " b"]:
    """-log softmax(v . c / temperature) of each row's own cluster (InfoNCE).

    Rows are brought to length 1, clusters are taken as they are; a cluster of zeros is
    none. The clusters are constants.
    """
    clusters = jax.lax.stop_gradient(clusters)
    similar = jnp.matmul(unit_rows(vectors), clusters.T, precision=EXACT)
    there = jnp.any(clusters != 0, axis=1)[None]
    log_share = jax.nn.log_softmax(jnp.where(there, similar / temperature, _NEVER))
    return -jnp.take_along_axis(log_share, labels[:, None], axis=1)[:, 0]


@dataclass(slots=True)
class ClusterContrast:
    """Mean over one modality's rows of the contrast with its clusters (ADCA).

    The clusters are those of a `training.cluster_memory.ClusterMemory`.
    """

    modality: Literal["visible", "infrared"]
    """Whose rows, and whose clusters."""
    weight: float = 1.0
    on: str = "embeddings.v1"
    temperature: float = 0.05
    """What cosines are divided by."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("temperature", self.temperature, 1e-3)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        number = MODALITY_NAMES.index(self.modality)
        own = batch["modality"] == number
        losses = cluster_contrast(
            widen(output(self.on, outputs)),
            jnp.where(own, batch["ids"], 0),
            remembered(batch, "clusters", NEEDED)[number],
            self.temperature,
        )
        return jnp.sum(jnp.where(own, losses, 0)) / jnp.maximum(own.sum(), 1)
