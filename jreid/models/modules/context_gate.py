"""The module of MDA; see jreid/models/context_gate.py."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.initialisers import torch_conv, torch_uniform
from jreid.models.modules.layers import BatchNorm


class ContextGate(nnx.Module):
    """`BN(x g) + x`, g = sigmoid(BN(sum over masks of weight x context)) per channel.

    A mask is the softmax over positions of a 1 x 1 convolution, its context the map's
    mean under it; the weights are one number for each channel and mask (a depthwise
    convolution over the masks). The outer BatchNorm's scale starts at 0.
    """

    def __init__(self, channels: int, masks: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        self.mask = torch_conv(channels, masks, dtype=dtype, rngs=rngs)
        weights = torch_uniform(masks)(rngs.params(), (channels, masks), jnp.float32)
        self.weights = nnx.Param(weights)
        self.gate_bn = BatchNorm(channels, rngs=rngs)
        self.bn = BatchNorm(
            channels, scale_init=nnx.initializers.zeros, dtype=dtype, rngs=rngs
        )

    def __call__(
        self, x: Float[Array, "r h w c"], modality=None, stage_input=None, rng=None
    ) -> Float[Array, "r h w c"]:
        """Of the arguments of a block it uses the maps alone."""
        wide = at_least_float32(x)
        masks = jax.nn.softmax(at_least_float32(self.mask(x)), axis=(1, 2))
        contexts = jnp.einsum("rhwm,rhwc->rcm", masks, wide)
        seen = jnp.einsum("rcm,cm->rc", contexts, self.weights[...])
        gate = nnx.sigmoid(self._normalised(seen))
        return self.bn(x * gate[:, None, None, :].astype(x.dtype)) + x

    def _normalised(self, seen):
        return self.gate_bn(seen).astype(seen.dtype)
