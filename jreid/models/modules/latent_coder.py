"""The encoder and the decoder of a variational autoencoder of images (UNIT)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.generators import instance_norm
from jreid.models.modules.image_layer_norm import ImageLayerNorm
from jreid.models.modules.reflect_conv import ReflectConv, ReflectResidual
from jreid.models.multispectral import LatentCoder

Codes = Float[Array, "b h4 w4 c"]


class LatentEncoder(nnx.Module):
    """7 x 7, two 4 x 4 of stride 2, residual blocks; instance norms after them all."""

    def __init__(self, part: LatentCoder, *, dtype, rngs: nnx.Rngs):
        c, made = part.channels, {"dtype": dtype, "rngs": rngs}
        layers = ((3, c, 7, 1), (c, 2 * c, 4, 2), (2 * c, 4 * c, 4, 2))
        self.convs = nnx.List(
            [ReflectConv(i, o, k, stride=stride, **made) for i, o, k, stride in layers]
        )
        self.blocks = _residuals(part, made)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Codes:
        """The mean of each image's code."""
        for conv in self.convs:
            x = nnx.relu(instance_norm(conv(x)))
        for block in self.blocks:
            x = block(x, instance_norm)
        return x


class LatentDecoder(nnx.Module):
    """Residual blocks, twice 5 x 5 on a map twice as high and wide, 7 x 7, tanh."""

    def __init__(self, part: LatentCoder, *, dtype, rngs: nnx.Rngs):
        c, made = part.channels, {"dtype": dtype, "rngs": rngs}
        self.blocks = _residuals(part, made)
        self.up = nnx.List([ReflectConv(2 * n * c, n * c, 5, **made) for n in (2, 1)])
        self.norms = nnx.List([ImageLayerNorm(n * c, rngs=rngs) for n in (2, 1)])
        self.out = ReflectConv(c, 3, 7, **made)

    def __call__(self, x: Codes) -> Float[Array, "b h w 3"]:
        for block in self.blocks:
            x = block(x, instance_norm)
        for conv, norm in zip(self.up, self.norms, strict=True):
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            x = nnx.relu(norm(conv(x)))
        return jnp.tanh(at_least_float32(self.out(x)))


def drawn(means: Codes, rng: Array | None, number: int) -> Codes:
    """Codes of these means and of variance 1; the means themselves without an rng.

    `number` tells the draws of one rng apart.
    """
    if rng is None:
        return means
    key = jax.random.fold_in(rng, number)
    return means + jax.random.normal(key, means.shape, means.dtype)


def _residuals(part: LatentCoder, made: dict[str, Any]):
    channels = 4 * part.channels
    return nnx.List(
        [ReflectResidual(channels, slope=0.0, **made) for _ in range(part.blocks)]
    )
