"""The module of MFA; see jreid/models/multilevel_fusion.py."""

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.initialisers import torch_conv
from jreid.models.modules.layers import BatchNorm, conv_norm


class MultilevelFusion(nnx.Module):
    """`position(channel(high, low), low)`; both parts start as the identity."""

    def __init__(
        self,
        high: int,
        low: int,
        *,
        folded: bool = True,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        options = {"dtype": dtype, "rngs": rngs}
        self.channel = ChannelAttention(high, low, **options)
        self.position = PositionAttention(high, low, folded=folded, **options)

    def __call__(
        self,
        x: Float[Array, "r h w c"],
        modality=None,
        *,
        stage_input: Float[Array, "r h2 w2 c2"],
        rng=None,
    ) -> Float[Array, "r h w c"]:
        """`x` is the stage's output, `stage_input` its input [r h2 w2 c2]."""
        return self.position(self.channel(x, stage_input), stage_input)


class ChannelAttention(nnx.Module):
    """BN(W (theta(high) phi(low)^T / c) g(low)) + high, over the c channels of low.

    Where the stage halves the map, phi and W have stride 2 and g has not (DEEN's CNL).
    """

    def __init__(self, high: int, low: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        conv = partial(torch_conv, dtype=dtype, rngs=rngs)
        self.g, self.theta, self.phi = conv(low, low), conv(high, low), conv(low, low)
        self.out = conv(low, high)
        self.bn = _zero_norm(high, dtype, rngs)

    def __call__(
        self, high: Float[Array, "r h w c"], low: Float[Array, "r h2 w2 c2"]
    ) -> Float[Array, "r h w c"]:
        stride = -(-low.shape[1] // high.shape[1])
        theta = _positions(self.theta(high))
        phi = _positions(self.phi(low[:, ::stride, ::stride]))
        g = self.g(low)
        attention = jnp.einsum("rnc,rnd->rcd", theta, phi) / g.shape[-1]
        y = jnp.einsum("rcd,rhwd->rhwc", attention, g)
        return conv_norm(self.out, self.bn, y[:, ::stride, ::stride]) + high


class PositionAttention(nnx.Module):
    """BN(W (theta(high) phi(low)^T / n) g(low)) + high, over the n positions of low.

    Released, [c, n] is reshaped to [2 c, n / 2] before, which folds the map in two: the
    attention is between places of the upper half, of the sums over both halves, and
    the lower half of the result has it too (DEEN's PNL). n must be even for that.
    """

    def __init__(
        self,
        high: int,
        low: int,
        *,
        folded: bool = True,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        conv, inner = partial(torch_conv, dtype=dtype, rngs=rngs), low // 2
        self.g, self.theta, self.phi = (
            conv(low, inner),
            conv(high, inner),
            conv(low, inner),
        )
        self.out = conv(inner, high)
        self.bn = _zero_norm(high, dtype, rngs)
        self.folds = 2 if folded else 1

    def __call__(
        self, high: Float[Array, "r h w c"], low: Float[Array, "r h2 w2 c2"]
    ) -> Float[Array, "r h w c"]:
        theta, phi, g = (
            self._folded(x) for x in (self.theta(high), self.phi(low), self.g(low))
        )
        # Without a softmax the positions x positions matrix need not be built.
        gathered = jnp.einsum("rfnc,rgnd->rfgcd", phi, g) / phi.shape[2]
        y = jnp.einsum("rfnc,rfgcd->rgnd", theta, gathered)
        y = y.reshape(*high.shape[:3], -1)
        return conv_norm(self.out, self.bn, y) + high

    def _folded(self, x):
        """[r folds n c], the map's upper and lower half."""
        r, h, w, c = x.shape
        if h * w % self.folds:
            raise ValueError(
                f"a map of {h} x {w} cannot be folded in two; allowed is an even "
                "number of positions, or folded=False"
            )
        return x.reshape(r, self.folds, -1, c)


def _zero_norm(features, dtype, rngs):
    zeros = nnx.initializers.zeros
    return BatchNorm(features, scale_init=zeros, dtype=dtype, rngs=rngs)


def _positions(x):
    return x.reshape(x.shape[0], -1, x.shape[-1])
