"""The modules of a learned metric; see jreid/models/learned_metric.py."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.data.rows import joined
from jreid.models.embedding import unit_rows
from jreid.models.learned_metric import MetricTwoStream
from jreid.models.modules.two_stream import TwoStreamNetwork
from jreid.models.modules.view_columns import Images, view_columns


class Metric(nnx.Module):
    """x - mean, times the map of its modality; no gradient learns them."""

    def __init__(self, width: int):
        self.mean = nnx.BatchStat(jnp.zeros(width))
        self.visible = nnx.BatchStat(jnp.eye(width))
        self.infrared = nnx.BatchStat(jnp.eye(width))

    def __call__(
        self, x: Float[Array, "b d"], modality: Int[Array, " b"]
    ) -> Float[Array, "b d"]:
        centred = x.astype(jnp.float32) - self.mean[...][None]
        both = (centred @ of_one[...] for of_one in (self.visible, self.infrared))
        return jnp.where(modality[:, None] == 0, *both)


class MetricNetwork(TwoStreamNetwork):
    """In `embed` features are what the metric makes of them."""

    def __init__(
        self, part: MetricTwoStream, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs
    ):
        super().__init__(part, classes, dtype=dtype, rngs=rngs)
        self.metric = Metric(part.branches[0].width(part.trunk.channels()[-1]))

    def embed(
        self,
        images: Images,
        stems: Mapping[str, str],
        *,
        modality: Mapping[str, Int[Array, " _"]] | None = None,
    ) -> dict[str, dict[str, Float[Array, "b d"]]]:
        """Of each branch, measured features [b d] and embeddings as they are."""
        outputs = super().embed(images, stems, modality=modality)
        columns = view_columns(images, stems, modality, self.stem_names)
        rows = joined([column.modality for column in columns.values()])
        measured = {
            name: self.metric(unit_rows(x), rows)
            for name, x in outputs["features"].items()
        }
        return outputs | {"features": measured}
