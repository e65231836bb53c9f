"""The modules of perceptrons; see jreid/models/perceptrons.py."""

import itertools
from collections.abc import Sequence

from flax import nnx
from jaxtyping import Array, Float

from jreid.models import perceptrons as parts
from jreid.models.modules.initialisers import torch_uniform
from jreid.models.modules.layers import Linear
from jreid.models.modules.reversal import reversed_gradient


class Perceptron(nnx.Module):
    """Linear maps with bias between these widths, and a ReLU after all but the last."""

    def __init__(self, widths: Sequence[int], *, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [
                Linear(into, out, kernel_init=torch_uniform(into), rngs=rngs)
                for into, out in itertools.pairwise(widths)
            ]
        )

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b d2"]:
        *hidden, last = self.layers
        for layer in hidden:
            x = nnx.relu(layer(x))
        return last(x)


class Discriminator(nnx.Module):
    """A perceptron on the pooled map, whose gradient comes back reversed."""

    def __init__(
        self, part: parts.Discriminator, channels: int, *, dtype, rngs: nnx.Rngs
    ):
        self.pool = part.pool.make(channels, rngs, dtype)
        self.reversal = part.reversal
        self.perceptron = Perceptron((channels, *part.hidden, part.outputs), rngs=rngs)

    def __call__(self, maps: Float[Array, "r h w c"]) -> Float[Array, "r k"]:
        vectors = self.pool(maps)
        return self.perceptron(reversed_gradient(vectors, self.reversal))
