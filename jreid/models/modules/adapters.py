"""The modules of adapters; see jreid/models/adapters.py."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models import adapters as parts
from jreid.models.modules.layers import BatchNorm, Conv

LUMINANCE = (0.2989, 0.587, 0.114)


class Adapters(nnx.Module):
    """Adapters by view, and what stands behind all of them."""

    def __init__(self, part: parts.Adapters, *, dtype=jnp.float32, rngs: nnx.Rngs):
        self.of = nnx.Dict({v: a.make(rngs, dtype) for v, a in part.of.items()})
        self.then = part.then and part.then.make(rngs, dtype)
        self.in_test = part.in_test

    def __call__(self, columns: Mapping[str, Any]) -> dict[str, Array]:
        """Of each column whose view has an adapter the images that it makes."""
        made = {v: self.of[v](c.images) for v, c in columns.items() if v in self.of}
        return made if self.then is None else {v: self.then(x) for v, x in made.items()}


class PixelAdapter(nnx.Module):
    """`decode(relu(encode(x)))`, both pixelwise."""

    def __init__(
        self, hidden: int, initial: float, *, dtype=jnp.float32, rngs: nnx.Rngs
    ):
        pixelwise = partial(_pixelwise, initial=initial, dtype=dtype, rngs=rngs)
        self.encode, self.decode = pixelwise(3, hidden), pixelwise(hidden, 3)

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        return self.decode(nnx.relu(self.encode(images)))


class Encoder(nnx.Module):
    """`bn(relu(second(relu(first(x)))))`, all pixelwise."""

    def __init__(self, initial: float, *, dtype=jnp.float32, rngs: nnx.Rngs):
        pixelwise = partial(_pixelwise, initial=initial, dtype=dtype, rngs=rngs)
        self.first, self.second = pixelwise(3, 1), pixelwise(1, 1)
        self.bn = BatchNorm(1, dtype=dtype, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 1"]:
        return self.bn(nnx.relu(self.second(nnx.relu(self.first(images)))))


class Decoder(nnx.Module):
    """`relu(out(x))`, pixelwise."""

    def __init__(self, initial: float, *, dtype=jnp.float32, rngs: nnx.Rngs):
        self.out = _pixelwise(1, 3, initial=initial, dtype=dtype, rngs=rngs)

    def __call__(self, maps: Float[Array, "b h w 1"]) -> Float[Array, "b h w 3"]:
        return nnx.relu(self.out(maps))


def grey_copy(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """The luminance three times."""
    weights = jnp.asarray(LUMINANCE, images.dtype)
    return jnp.repeat((images @ weights)[..., None], 3, axis=-1)


def _pixelwise(into, out, *, initial, dtype, rngs):
    return Conv(
        into,
        out,
        1,
        use_bias=True,
        kernel_init=nnx.initializers.constant(initial),
        dtype=dtype,
        rngs=rngs,
    )
