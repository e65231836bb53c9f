"""An image's style as a vector (MUNIT, JSIA-ReID)."""

from flax import nnx
from jaxtyping import Array, Float

from jreid.models import content_style as parts
from jreid.models.modules.initialisers import torch_conv
from jreid.models.modules.pooling import average_pool
from jreid.models.modules.reflect_conv import torch_reflect_conv


class StyleEncoder(nnx.Module):
    """7 x 7, convolutions 4 x 4 of stride 2, the mean over pixels, a linear map.

    ReLUs and no norm, which would take the style away.
    """

    def __init__(self, part: parts.StyleEncoder, *, dtype, rngs: nnx.Rngs):
        made = {"dtype": dtype, "rngs": rngs}
        first = part.channels
        widths = [first, 2 * first, *[4 * first] * (part.halvings - 1)]
        convs = [torch_reflect_conv(3, first, 7, **made)]
        for i in range(part.halvings):
            into, out = widths[i : i + 2]
            convs.append(torch_reflect_conv(into, out, 4, stride=2, **made))
        self.convs = nnx.List(convs)
        self.out = torch_conv(widths[-1], part.features, **made)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b d"]:
        for conv in self.convs:
            x = nnx.relu(conv(x))
        return self.out(average_pool(x)[:, None, None])[:, 0, 0]
