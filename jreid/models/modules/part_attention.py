"""The module of attention among stripes; see jreid/models/part_attention.py."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.initialisers import torch_conv
from jreid.models.modules.pooling import Stripe, average_pool


class WeightedParts(nnx.Module):
    """sum_i g_i (softmax_j(q_i k_j) v_j), g the softmax of a learned `gate` [parts].

    q, k and v are linear maps, with biases, of the stripes' means; the products are not
    scaled. The gate starts even.
    """

    def __init__(self, channels: int, parts: int, *, rngs: nnx.Rngs):
        self.stripes = nnx.List([Stripe(i, parts, average_pool) for i in range(parts)])
        self.query = torch_conv(channels, channels, rngs=rngs)
        self.key = torch_conv(channels, channels, rngs=rngs)
        self.value = torch_conv(channels, channels, rngs=rngs)
        self.gate = nnx.Param(jnp.full((parts,), 1 / parts, jnp.float32))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        means = jnp.stack([stripe(x) for stripe in self.stripes], axis=1)
        query, key, value = (
            conv(means[:, :, None])[:, :, 0]
            for conv in (self.query, self.key, self.value)
        )
        attention = jax.nn.softmax(jnp.einsum("bic,bjc->bij", query, key), axis=-1)
        refined = jnp.einsum("bij,bjc->bic", attention, value)
        return jnp.einsum("i,bic->bc", jax.nn.softmax(self.gate[...]), refined)
