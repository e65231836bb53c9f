"""Hi-CMD's attribute codes: groups, each of a style, a pose and an illumination."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.disentangled import GROUPS
from jreid.models.disentangled import DisentangledNetwork as Part
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.pooling import average_pool

Codes = Float[Array, "b 4 g"]
STYLE, LIT = 1 / 2, 3 / 4  # where a group's style ends, and where its pose does


class AttributeEncoder(nnx.Module):
    """A ResNet whose pooled map is GROUPS groups of style, pose and illumination."""

    def __init__(self, part: Part, *, dtype, rngs: nnx.Rngs):
        self.stem = part.trunk.make_stem(rngs, dtype)
        self.trunk = part.trunk.make(rngs, dtype)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Codes:
        maps = self.trunk(self.stem(x), jnp.zeros(len(x), jnp.int32)).maps
        return at_least_float32(average_pool(maps)).reshape(len(x), GROUPS, -1)


def split_at(
    codes: Codes, share: float
) -> tuple[Float[Array, "b 4 _"], Float[Array, "b 4 _"]]:
    """What comes before and after that share of each group."""
    place = round(share * codes.shape[-1])
    return codes[..., :place], codes[..., place:]


def mixed(first: Codes, last: Codes, share: float) -> Codes:
    """Of each group that share from the first codes, and the rest from the last."""
    return jnp.concatenate([split_at(first, share)[0], split_at(last, share)[1]], -1)


def style_of(codes: Codes) -> Float[Array, "b s"]:
    """The groups' styles as one vector."""
    return split_at(codes, STYLE)[0].reshape(len(codes), -1)
