"""The modules of graph attention; see jreid/models/graph_attention.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from jreid.data.rows import joined
from jreid.models import graph_attention as parts
from jreid.models.modules.dropout import dropped
from jreid.models.modules.two_stream import TwoStreamNetwork
from jreid.models.modules.view_columns import Images

# Xavier's uniform weights with the gain sqrt(2), of each head
_xavier = nnx.initializers.variance_scaling(2.0, "fan_avg", "uniform", batch_axis=0)


class GraphLayer(nnx.Module):
    """Heads of attention over neighbours: y_i = sum_j softmax_j(e_ij) h_j.

    h = x W, e_ij = leaky ReLU(<a1, h_i> + <a2, h_j>), of each head; no biases. `kernel`
    is [heads in out], `attention` [heads 2*out 1], a1 above a2.
    """

    def __init__(
        self, into: int, out: int, heads: int, slope: float, *, rngs: nnx.Rngs
    ):
        self.kernel = nnx.Param(_xavier(rngs.params(), (heads, into, out)))
        self.attention = nnx.Param(_xavier(rngs.params(), (heads, 2 * out, 1)))
        self.slope = slope

    def __call__(
        self,
        x: Float[Array, "r d"],
        neighbours: Bool[Array, "r r"],
        rate: float,
        rng: Array | None,
    ) -> Float[Array, "heads r out"]:
        """Each head's rows; a share `rate` of the attention is left out."""
        h = jnp.einsum("rd,kdf->krf", x, self.kernel[...])
        own, other = jnp.split(self.attention[...], 2, axis=1)
        scores = h @ own + (h @ other).swapaxes(1, 2)
        scores = nnx.leaky_relu(scores, self.slope)
        weights = jax.nn.softmax(jnp.where(neighbours[None], scores, -jnp.inf))
        return dropped(weights, rate, rng) @ h


class GraphAttention(nnx.Module):
    """ELU after the heads of a first layer and after a second layer of one head."""

    def __init__(
        self, part: parts.GraphAttention, features: int, classes: int, *, rngs: nnx.Rngs
    ):
        self.dropout = part.dropout
        width, slope = part.features, part.slope
        self.first = GraphLayer(features, width, part.heads, slope, rngs=rngs)
        self.last = GraphLayer(part.heads * width, classes, 1, slope, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "r d"],
        ids: Int[Array, " r"],
        rng: Array | None = None,
    ) -> Float[Array, "r classes"]:
        """Logits of the rows, which are neighbours of the rows of their identity."""
        neighbours = ids[:, None] == ids[None, :]
        keys = [None] * 4 if rng is None else list(jax.random.split(rng, 4))
        x = dropped(x, self.dropout, keys[0])
        heads = nnx.elu(self.first(x, neighbours, self.dropout, keys[1]))
        x = heads.swapaxes(0, 1).reshape(len(x), -1)
        x = dropped(x, self.dropout, keys[2])
        return nnx.elu(self.last(x, neighbours, self.dropout, keys[3])[0])


class GraphNetwork(TwoStreamNetwork):
    """The two-stream network with `graph`, which trains beside its branches."""

    def __init__(
        self,
        part: parts.GraphTwoStream,
        classes: int,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        super().__init__(part, classes, dtype=dtype, rngs=rngs)
        branch = next(b for b in part.branches if b.name == part.of)
        width = branch.width(part.trunk.channels()[-1])
        self.graph, self.nodes = part.graph.make(width, classes, rngs), part.of

    def __call__(
        self,
        images: Images,
        stems: Mapping[str, str],
        rng: Array | None = None,
        *,
        modality: Mapping[str, Int[Array, " _"]] | None = None,
        ids: Mapping[str, Int[Array, " _"]] | None = None,
    ) -> dict[str, Any]:
        """As the two-stream network's, and logits "graph" where ids are given."""
        outputs = super().__call__(images, stems, rng, modality=modality)
        if ids is not None:
            rows = joined([ids[view] for view in stems if view in images])
            rows = rows[outputs["source"]] if "source" in outputs else rows
            taken = len(self.stem_names) + len(self.refined)
            own = None if rng is None else jax.random.fold_in(rng, taken)
            nodes = outputs["features"][self.nodes]
            outputs["logits"]["graph"] = self.graph(nodes, rows, own)
        return outputs
