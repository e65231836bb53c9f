"""The modules of pools of learned parts; see jreid/models/prototype_pool.py."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.initialisers import torch_uniform
from jreid.models.modules.layers import Conv


def pooled(
    x: Float[Array, "b h w c"], masks: Float[Array, "b h w m"], whole: bool
) -> Float[Array, "b d"]:
    """Means of the masked map, one mask after the other, and of the map itself."""
    positions = x.shape[1] * x.shape[2]
    parts = jnp.einsum("bhwc,bhwm->bmc", x, masks) / positions
    vectors = parts.reshape(len(x), -1)
    return jnp.concatenate([vectors, x.mean((1, 2))], axis=1) if whole else vectors


class MaskPool(nnx.Module):
    """Masks are sigmoids of a 1 x 1 convolution with bias, which starts at 0."""

    def __init__(
        self, channels: int, masks: int, whole: bool, *, dtype, rngs: nnx.Rngs
    ):
        init = torch_uniform(channels)
        options = {"use_bias": True, "kernel_init": init, "dtype": dtype, "rngs": rngs}
        self.conv = Conv(channels, masks, 1, **options)
        self.whole = whole

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b d"]:
        return pooled(at_least_float32(x), self.masks(x), self.whole)

    def masks(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w m"]:
        """Values in (0, 1)."""
        return nnx.sigmoid(at_least_float32(self.conv(x)))


class PrototypePool(nnx.Module):
    """Prototypes and positions ~ N(0, sqrt(2 / channels)), as in SAAI's code."""

    def __init__(
        self,
        channels: int,
        prototypes: int,
        size: tuple[int, int],
        whole: bool,
        *,
        rngs: nnx.Rngs,
    ):
        normal = nnx.initializers.normal((2 / channels) ** 0.5)
        self.prototypes = nnx.Param(normal(rngs.params(), (prototypes, channels)))
        self.positions = nnx.Param(normal(rngs.params(), (size[0] * size[1], channels)))
        self.size, self.whole = size, whole

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b d"]:
        return pooled(at_least_float32(x), self.masks(x), self.whole)

    def masks(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w m"]:
        """Values in (0, 1).

        Raises:
          ValueError: the map has another size.
        """
        if x.shape[1:3] != tuple(self.size):
            raise ValueError(
                f"size of the pool is {self.size}, the map is {x.shape[1:3]}; allowed "
                "is the map's size"
            )
        positions = self.positions[...].reshape(1, *self.size, -1)
        places = at_least_float32(x) + positions
        return nnx.sigmoid(jnp.einsum("bhwc,mc->bhwm", places, self.prototypes[...]))
