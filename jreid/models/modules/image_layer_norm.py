"""Layer normalisation of a whole map, as MUNIT's decoders have it."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.channels import at_least_float32, wide


class ImageLayerNorm(nnx.Module):
    """Each image at mean 0 over pixels and channels, divided by deviation + 1e-5.

    The standard deviation has n - 1 below; each channel has a scale, at first uniform
    in [0, 1], and a bias. An image of one value has gradient 0, not NaN.
    """

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.scale = nnx.Param(jax.random.uniform(rngs.params(), (features,)))
        self.bias = nnx.Param(jnp.zeros((features,)))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = at_least_float32(x)
        y = y - jnp.mean(y, (1, 2, 3), keepdims=True)
        count = x[0].size
        variance = jnp.sum(y**2, (1, 2, 3), keepdims=True) / max(count - 1, 1)
        y = y / (jnp.sqrt(jnp.maximum(variance, 1e-12)) + 1e-5)
        y = y * wide(self.scale[...], y) + wide(self.bias[...], y)
        return y.astype(x.dtype)
