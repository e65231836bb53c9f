"""A vector for each cluster that follows the features of its images (ADCA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least, between
from jreid.data.datasets import MODALITY_NAMES
from jreid.lazy import jax, jnp
from jreid.losses.directions import unit_rows
from jreid.losses.primitives import widen
from jreid.losses.standing import output
from jreid.shapes import Bool, Float, Int


@dataclass(slots=True)
class ClusterMemory:
    """A memory: `extra["clusters"]` [2 classes d], each modality's clusters by label.

    A hook fills it before each epoch with vectors of length 1, as `clusters.Clusters`
    does; rows of zeros are no clusters. After each step every row of the batch, one
    after the other, moves its own cluster's vector, which is brought to length 1 again
    (ADCA's released code). The rows' order is that of their views and slots.
    """

    classes: int = 2000
    """How many clusters of a modality there may be, as in the hook."""
    on: str = "embeddings.v1"
    """Which of the network's outputs the vectors follow."""
    keep: float = 0.1
    """What a vector keeps of itself with each row; the rest becomes the row."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("classes", self.classes, 1)
        between("keep", self.keep, 0, 1)

    def init(self, params: Any) -> dict[str, Any]:
        """No clusters; `in_no_cluster` is the fraction of each modality's images."""
        branch = self.on.partition(".")[2]
        width = params["branches"][branch]["neck"]["scale"].shape[0]
        modalities = len(MODALITY_NAMES)
        return {
            "clusters": jnp.zeros((modalities, self.classes, width)),
            "in_no_cluster": jnp.zeros(modalities),
        }

    def update(
        self, extra: Any, outputs: Any, rows: Any, params: Any
    ) -> dict[str, Any]:
        """The vectors after all rows of the batch."""
        own = rows["modality"], rows["ids"], jnp.ones(len(rows["ids"]), bool)
        vectors, columns = batch_vectors(self.on, outputs, rows, own=own)
        memory = extra["clusters"]
        return {"clusters": followed(memory, vectors, *columns["own"], keep=self.keep)}

    def scalars(self, extra: Any) -> dict[str, jax.Array]:
        """How many clusters each modality has, and what fraction of images has none."""
        counts = jnp.any(extra["clusters"] != 0, axis=2).sum(axis=1)
        found = {}
        for number, name in enumerate(MODALITY_NAMES):
            found[f"clusters/{name}"] = counts[number].astype(jnp.float32)
            found[f"clusters/{name}_in_none"] = extra["in_no_cluster"][number]
        return found


def batch_vectors(
    on: str, outputs: Any, rows: Any, **columns: Any
) -> tuple[Float[jax.Array, "r d"], dict[str, Any]]:
    """A batch's vectors of length 1, and columns, in the order of views and slots."""
    order = jnp.lexsort((rows["slot"], rows["view"]))
    vectors = unit_rows(widen(output(on, outputs)))
    return vectors[order], jax.tree.map(lambda x: x[order], columns)


def followed(
    memory: Float[jax.Array, "2 k d"],
    vectors: Float[jax.Array, "r d"],
    modality: Int[jax.Array, " r"],
    labels: Int[jax.Array, " r"],
    used: Bool[jax.Array, " r"],
    keep: float,
) -> Float[jax.Array, "2 k d"]:
    """Clusters after the used rows, one after the other, have moved theirs."""

    def move(memory, row):
        vector, modality, label, used = row
        before = memory[modality, label]
        moved = unit_rows((keep * before + (1 - keep) * vector)[None])[0]
        moved = jnp.where(used, moved, before)
        return memory.at[modality, label].set(moved), None

    return jax.lax.scan(move, memory, (vectors, modality, labels, used))[0]
