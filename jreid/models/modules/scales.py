"""A discriminator that looks at an image and at its halves (pix2pixHD, UNIT, MUNIT)."""

from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from jreid.models.content_style import TwoScales
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.generators import SLOPE, small
from jreid.models.modules.halved import halved
from jreid.models.modules.layers import Conv
from jreid.models.modules.reflect_conv import ReflectConv
from jreid.models.multispectral import ThreeScales


class OneScale(nnx.Module):
    """4 x 4 convolutions of stride 2 without norms, and a 1 x 1 to one channel."""

    def __init__(self, part: TwoScales | ThreeScales, *, dtype, rngs: nnx.Rngs):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        widths = [3, *(part.channels * 2**level for level in range(part.levels))]
        self.convs = nnx.List(
            [
                ReflectConv(i, o, 4, stride=2, kernel_init=small, **made)
                for i, o in zip(widths, widths[1:], strict=False)
            ]
        )
        self.out = Conv(widths[-1], 1, 1, use_bias=True, kernel_init=small, **made)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 1"]:
        for conv in self.convs:
            x = nnx.leaky_relu(conv(x), SLOPE)
        return at_least_float32(self.out(x))


class Scales(nnx.Module):
    """A network of its own for each scale, the first for the image as it is."""

    def __init__(
        self, part: TwoScales | ThreeScales, count: int, *, dtype, rngs: nnx.Rngs
    ):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.scales = nnx.List([OneScale(part, **made) for _ in range(count)])

    def __call__(self, x: Float[Array, "b h w 3"]) -> list[Float[Array, "b _ _ 1"]]:
        judgements = []
        for number, scale in enumerate(self.scales):
            x = halved(x) if number else x
            judgements.append(scale(x))
        return judgements
