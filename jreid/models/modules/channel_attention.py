"""The module of VSD's channel attention; see jreid/models/channel_attention.py."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.channels import at_least_float32


class ChannelSelfAttention(nnx.Module):
    """x + gamma A x, A = softmax over columns of (row maximum - X X^T), X [c, h w].

    The least similar channels weigh most, as in VSD's code.
    """

    def __init__(self, *, dtype=jnp.float32):
        self.gamma = nnx.Param(jnp.zeros(()))
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "r h w c"], modality=None, stage_input=None, rng=None
    ) -> Float[Array, "r h w c"]:
        """Of the arguments of a block it uses the maps alone."""
        maps = at_least_float32(x)
        energy = jnp.einsum("rhwc,rhwd->rcd", maps, maps)
        # softmax is blind to the row's maximum
        attention = jax.nn.softmax(-energy, axis=-1)
        attended = jnp.einsum("rcd,rhwd->rhwc", attention, maps)
        return (self.gamma[...] * attended + maps).astype(self.dtype)
