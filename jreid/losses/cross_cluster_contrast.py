"""Cross contrast: images near their cluster's partner in the other modality (PGM)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.cluster_contrast import cluster_contrast
from jreid.losses.primitives import widen
from jreid.losses.remembered import remembered
from jreid.losses.standing import check_weight_and_on, output
from jreid.shapes import Bool, Float, Int

NEEDED = "memory=CrossClusterMemory() and between_epochs=MatchedClusters()"


def partners(
    modality: Int[jax.Array, " r"],
    labels: Int[jax.Array, " r"],
    match: Int[jax.Array, "2 k"],
    since: Int[jax.Array, ""],
) -> tuple[Bool[jax.Array, " r"], Int[jax.Array, " r"]]:
    """Which rows are contrasted across, and with which cluster; 0 for the others.

    In even epochs since the first one those are the visible rows, in odd ones the
    infrared ones, before it none; and only rows whose cluster has a partner.

    Args:
      match: of visible clusters the infrared partners, then the other way; -1: none.
      since: epochs since the first one with contrasts across.
    """
    partner = match[modality, labels]
    used = (since >= 0) & (modality == since % 2) & (partner >= 0)
    return used, jnp.where(used, partner, 0)


@dataclass(slots=True)
class CrossClusterContrast:
    """Mean contrast with the partner clusters of the other modality, in turns (PGM).

    Clusters and partners are those of a `training.cross_cluster_memory`.
    """

    weight: float = 0.25
    on: str = "embeddings.v1"
    cross_from: int = 50
    """The first epoch, from 0, in which modalities are contrasted, as in the memory."""
    temperature: float = 0.05
    """What cosines are divided by."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("cross_from", self.cross_from, 0)
        at_least("temperature", self.temperature, 1e-3)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted; 0 where no row has a partner."""
        modality, since = batch["modality"], batch["epoch"] - self.cross_from
        match, clusters = (remembered(batch, n, NEEDED) for n in ("match", "clusters"))
        used, partner = partners(modality, batch["ids"], match, since)
        others = clusters[1 - since % 2]
        vectors = widen(output(self.on, outputs))
        losses = cluster_contrast(vectors, partner, others, self.temperature)
        return jnp.sum(jnp.where(used, losses, 0)) / jnp.maximum(used.sum(), 1)
