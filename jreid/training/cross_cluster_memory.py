"""A memory of clusters that also the other modality's images move (PGM, CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.cross_cluster_contrast import partners
from jreid.shapes import Bool, Float, Int
from jreid.training.cluster_memory import ClusterMemory, batch_vectors, followed


@dataclass(slots=True)
class CrossClusterMemory(ClusterMemory):
    """A ClusterMemory, and `extra["match"]` of a `cluster_matching.MatchedClusters`.

    From `cross_from` on those rows that a `CrossClusterContrast` contrasts move their
    partners' vectors first; then every row its own, as before.
    """

    cross_from: int = 50
    """The first epoch, from 0, in which modalities are contrasted."""
    hardest: bool = False
    """Whether from then on a cluster follows only that of its rows that is least
    similar to it (PGM on SYSU-MM01)."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        ClusterMemory.check(self)
        at_least("cross_from", self.cross_from, 0)

    def init(self, params: Any) -> dict[str, Any]:
        """No clusters and no partners."""
        shape = 2, self.classes
        return {
            **ClusterMemory.init(self, params),
            "match": jnp.full(shape, -1, jnp.int32),
        }

    def update(
        self, extra: Any, outputs: Any, rows: Any, params: Any
    ) -> dict[str, Any]:
        """The vectors after all rows of the batch."""
        since = rows["epoch"] - self.cross_from
        used, partner = partners(rows["modality"], rows["ids"], extra["match"], since)
        vectors, columns = batch_vectors(
            self.on,
            outputs,
            rows,
            cross=(1 - rows["modality"], partner, used),
            own=(rows["modality"], rows["ids"], jnp.ones_like(used)),
        )
        memory = extra["clusters"]
        for name in ("cross", "own"):
            modality, labels, used = columns[name]
            if self.hardest:
                similar = jnp.sum(memory[modality, labels] * vectors, axis=1)
                hard = least_similar(similar, modality, labels, used)
                used = used & (hard | (since < 0))
            memory = followed(memory, vectors, modality, labels, used, self.keep)
        return {"clusters": memory}


def least_similar(
    similar: Float[jax.Array, " r"],
    modality: Int[jax.Array, " r"],
    labels: Int[jax.Array, " r"],
    used: Bool[jax.Array, " r"],
) -> Bool[jax.Array, " r"]:
    """Of each cluster's used rows the one of least `similar`; of equal the first."""
    alike = (modality[:, None] == modality[None]) & (labels[:, None] == labels[None])
    alike = alike & used[None]
    place = jnp.arange(len(similar))
    before = similar[None] < similar[:, None]
    ties = (similar[None] == similar[:, None]) & (place[None] < place[:, None])
    return used & ~jnp.any(alike & (before | ties), axis=1)
