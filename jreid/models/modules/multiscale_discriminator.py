"""Hi-CMD's discriminator, which judges an image at three sizes."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models import disentangled as parts
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.generators import small
from jreid.models.modules.halved import halved
from jreid.models.modules.prototype_encoder import SLOPE
from jreid.models.modules.reflect_conv import ReflectConv, ReflectResidual

Images = Float[Array, "b h w 3"]


class Judge(nnx.Module):
    """1 x 1, then 3 x 3 convolutions, two of stride 2; residual blocks, 1 x 1."""

    def __init__(self, part: parts.Discriminator, *, dtype, rngs: nnx.Rngs):
        made: dict[str, Any] = {"kernel_init": small, "dtype": dtype, "rngs": rngs}
        c = part.channels
        layers = ((c, 1), (c, 2), (c, 1), (2 * c, 2))
        self.first = ReflectConv(3, c, 1, **made)
        self.convs = nnx.List(
            [ReflectConv(c, o, 3, stride=stride, **made) for o, stride in layers]
        )
        self.blocks = nnx.List(
            [ReflectResidual(2 * c, slope=SLOPE, **made) for _ in range(part.blocks)]
        )
        self.out = ReflectConv(2 * c, 1, 1, **made)

    def __call__(self, x: Images) -> Float[Array, "b h4 w4 1"]:
        for conv in (self.first, *self.convs):
            x = nnx.leaky_relu(conv(x), SLOPE)
        for block in self.blocks:
            x = block(x)
        return at_least_float32(self.out(x))


class MultiscaleDiscriminator(nnx.Module):
    """A judge of the image, of the image halved and of that halved again."""

    def __init__(self, part: parts.Discriminator, *, dtype, rngs: nnx.Rngs):
        judges = [Judge(part, dtype=dtype, rngs=rngs) for _ in range(parts.SCALES)]
        self.judges = nnx.List(judges)

    def __call__(self, x: Images) -> list[Float[Array, "b _ _ 1"]]:
        """A map of judgements of each size, the largest first."""
        judgements = []
        for number, judge in enumerate(self.judges):
            x = halved(x) if number else x
            judgements.append(judge(x))
        return judgements

    def slopes(self, x: Images) -> list[Images]:
        """The gradient, in the image, of the sum of each size's judgements."""

        def total(x: Images, number: int) -> Float[Array, ""]:
            for _ in range(number):
                x = halved(x)
            return jnp.sum(self.judges[number](x))

        return [jax.grad(total)(x, number) for number in range(len(self.judges))]
