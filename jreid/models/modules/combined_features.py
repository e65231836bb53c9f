"""Hi-CMD's ReID layers: prototype and style as one vector, and what it is told by."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jreid.losses.directions import unit_rows
from jreid.models import disentangled as parts
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.dropout import dropped
from jreid.models.modules.initialisers import around_one
from jreid.models.modules.layers import BatchNorm, Linear, kaiming_normal
from jreid.models.modules.pooling import average_pool

small = nnx.initializers.normal(0.001)


class CombinedFeatures(nnx.Module):
    """Stages 2 and 3 of a ResNet, a learned share, a hidden layer, a classifier."""

    def __init__(
        self, part: parts.DisentangledNetwork, classes: int, *, dtype, rngs: nnx.Rngs
    ):
        channels = part.trunk.channels()
        inputs = channels[2] + channels[3] // 2
        self.trunk = part.trunk.make(rngs, dtype, first=(2, 0), stop=(4, 0))
        self.share = nnx.Param(jnp.float32(0.5))
        # kaiming's fan out, as theirs
        init = kaiming_normal
        self.hidden = Linear(inputs, part.hidden, kernel_init=init, rngs=rngs)
        self.norm = BatchNorm(part.hidden, scale_init=around_one(0.02), rngs=rngs)
        self.embedding = Linear(part.hidden, part.features, kernel_init=init, rngs=rngs)
        self.classifier = Linear(part.hidden, classes, kernel_init=small, rngs=rngs)
        self.dropout = part.dropout

    def directions(
        self, prototypes: Float[Array, "b h w c"], styles: Float[Array, "b s"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b s"]]:
        """The two halves of a vector, of lengths w and 1 - w, w the share in [0, 1]."""
        maps = self.trunk(prototypes, jnp.zeros(len(prototypes), jnp.int32)).maps
        share = self.share[...]
        content = unit_rows(at_least_float32(average_pool(maps)))
        style = unit_rows(at_least_float32(styles))
        return content * jnp.minimum(share, 1), style * jnp.maximum(1 - share, 0)

    def heads(
        self, combined: Float[Array, "b d"], rng: Array | None
    ) -> dict[str, dict[str, Float[Array, "b _"]]]:
        """Features, embeddings and logits of the joined halves."""
        features = dropped(self.norm(self.hidden(combined)), self.dropout, rng)
        return {
            "features": {"v1": features},
            "embeddings": {"v1": self.embedding(features)},
            "logits": {"v1": self.classifier(features)},
        }


def rows_of_sets(slots: int) -> tuple[np.ndarray, ...]:
    """Of a modality's rows in the ReID losses: content's, style's, slot and copy.

    Of n pairs and k negatives the prototypes and styles come as n real, n made and k
    negatives; the rows are those, then real prototypes with the made images' styles,
    then made images' prototypes with real styles (Hi-CMD's eight sets, four and four).
    """
    n = (slots + 1) // 2
    real, made, others = np.split(np.arange(slots + n), [n, 2 * n])
    content = np.concatenate([real, made, others, real, made])
    style = np.concatenate([real, made, others, made, real])
    slot = np.concatenate([real, real, others - n, real, real])
    copies = (n, n, slots - n, n, n)
    copy = np.repeat(np.array([0, 1, 0, 2, 3], np.int32), copies)
    return content, style, slot, copy
