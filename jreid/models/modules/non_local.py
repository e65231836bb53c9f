"""Non-local attention (paper eq. 1; Wang et al., CVPR 2018; AGW `model.py`)."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.layers import BatchNorm, Conv, conv_norm


class NonLocal(nnx.Module):
    """`Z = BN(W (theta phi^T g / n)) + X` over the n positions of a feature map.

    No softmax and no sub-sampling. The BatchNorm's scale starts at 0, so the block
    starts as the identity. Without a softmax (theta phi^T) g = theta (phi^T g): the
    n x n matrix is never built.

    AGW's inner width is 1, by an accident of an integer division, and every number of
    the AGW family was made with it; hence the default. `inner_channels=None` takes half
    the channels, as the original block does.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner_channels: int | None = 1,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        inner = channels // 2 if inner_channels is None else inner_channels
        conv = {
            "use_bias": True,
            "kernel_init": nnx.initializers.normal(0.01),
            "dtype": dtype,
            "rngs": rngs,
        }
        self.theta = Conv(channels, inner, 1, **conv)
        self.phi = Conv(channels, inner, 1, **conv)
        self.g = Conv(channels, inner, 1, **conv)
        self.out = Conv(inner, channels, 1, **conv)
        self.bn = BatchNorm(
            channels, scale_init=nnx.initializers.zeros, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, _ = x.shape
        theta, phi, g = (
            conv(x).reshape(b, h * w, -1) for conv in (self.theta, self.phi, self.g)
        )
        gathered = jnp.einsum("bni,bnj->bij", phi, g) / (h * w)
        y = jnp.einsum("bni,bij->bnj", theta, gathered)
        return conv_norm(self.out, self.bn, y.reshape(b, h, w, -1)) + x
