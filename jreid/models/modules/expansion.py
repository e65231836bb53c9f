"""The module of DEE; see jreid/models/expansion.py."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.models.modules.dropout import dropped
from jreid.models.modules.initialisers import kaiming_fan_in, torch_conv

DILATIONS = (1, 2, 3)


class DilatedConv(nnx.Module):
    """3 x 3 convolution without bias whose taps are `dilation` pixels apart."""

    def __init__(self, into: int, out: int, dilation: int, *, dtype, rngs: nnx.Rngs):
        shape = (3, 3, into, out)
        self.kernel = nnx.Param(kaiming_fan_in(rngs.params(), shape, jnp.float32))
        self.dilation, self.dtype = dilation, dtype

    def __call__(self, x: Float[Array, "r h w c"]) -> Float[Array, "r h w c2"]:
        return jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            (1, 1),
            [(self.dilation, self.dilation)] * 2,
            rhs_dilation=(self.dilation, self.dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class DilatedMean(nnx.Module):
    """Mean of three dilated convolutions, `between` where given, ReLU, 1 x 1.

    All weights start Kaiming-normal by the fan in; the last bias, torch's default.
    """

    def __init__(self, channels: int, between: Any = None, *, dtype, rngs: nnx.Rngs):
        inner = channels // 4
        options = {"dtype": dtype, "rngs": rngs}
        self.convs = nnx.List(
            [DilatedConv(channels, inner, d, **options) for d in DILATIONS]
        )
        self.between = between
        self.out = torch_conv(inner, channels, kernel_init=kaiming_fan_in, **options)

    def __call__(self, x: Float[Array, "r h w c"]) -> Float[Array, "r h w c"]:
        y = sum(conv(x) for conv in self.convs) / len(self.convs)
        y = y if self.between is None else self.between(y)
        return self.out(nnx.relu(y))


class DiverseExpansion(nnx.Module):
    """Row i, then the rows made of it, then row i + 1: what follows stays in place."""

    def __init__(
        self,
        channels: int,
        copies: int = 2,
        dropout: float = 0.01,
        *,
        make_between: Any = None,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        def expander():
            between = make_between and make_between(channels // 4, rngs, dtype)
            return DilatedMean(channels, between, dtype=dtype, rngs=rngs)

        self.expanders = nnx.List([expander() for _ in range(copies)])
        self.dropout = dropout

    def __call__(
        self, x: Float[Array, "r h w c"], modality=None, stage_input=None, rng=None
    ) -> tuple[Float[Array, "r2 h w c"], Int[Array, " r2"], Int[Array, " r2"]]:
        """Maps, and of each the row that it came from and its copy's number."""
        made = jnp.stack([x, *(expand(x) for expand in self.expanders)], axis=1)
        rows, copies = made.shape[:2]
        made = made.reshape(rows * copies, *x.shape[1:])
        made = dropped(made, self.dropout, rng)
        source = jnp.repeat(jnp.arange(rows, dtype=jnp.int32), copies)
        return made, source, jnp.tile(jnp.arange(copies, dtype=jnp.int32), rows)
