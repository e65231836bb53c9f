"""The non-local block's module; see jreid/models/non_local.py."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.initialisers import torch_conv
from jreid.models.modules.layers import BatchNorm, Conv, conv_norm


class NonLocal(nnx.Module):
    """`Z = BN(W (theta phi^T g / n)) + X` over the n positions of a map (eq. 1).

    No softmax and no sub-sampling. The BatchNorm's scale starts at 0, so the block
    starts as the identity. Without a softmax (theta phi^T) g = theta (phi^T g): the
    n x n matrix is never built.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner_channels: int = 1,
        init: str = "normal",
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        def conv(into, out):
            if init == "uniform":
                return torch_conv(into, out, dtype=dtype, rngs=rngs)
            normal = nnx.initializers.normal(0.01)
            return Conv(
                into, out, 1, use_bias=True, kernel_init=normal, dtype=dtype, rngs=rngs
            )

        self.theta = conv(channels, inner_channels)
        self.phi = conv(channels, inner_channels)
        self.g = conv(channels, inner_channels)
        self.out = conv(inner_channels, channels)
        self.bn = BatchNorm(
            channels, scale_init=nnx.initializers.zeros, dtype=dtype, rngs=rngs
        )

    def __call__(
        self, x: Float[Array, "r h w c"], modality=None, stage_input=None, rng=None
    ) -> Float[Array, "r h w c"]:
        """Of the arguments of a block it uses the maps alone."""
        b, h, w, _ = x.shape
        theta, phi, g = (
            conv(x).reshape(b, h * w, -1) for conv in (self.theta, self.phi, self.g)
        )
        gathered = jnp.einsum("bni,bnj->bij", phi, g) / (h * w)
        y = jnp.einsum("bni,bij->bnj", theta, gathered)
        return conv_norm(self.out, self.bn, y.reshape(b, h, w, -1)) + x
