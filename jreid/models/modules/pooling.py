"""Spatial pooling: generalised mean (paper eq. 2 and 3), average, maximum, stripes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.extremes import largest
from jreid.models.modules.channels import at_least_float32


class GeM(nnx.Module):
    """Generalised mean `(mean(x^p))^(1/p)` per channel, with x clamped at `epsilon`.

    p = 1 is average pooling, p -> inf maximum pooling. One p for all channels,
    learnable by default (AGW's cross-modality code fixes it at 3, HC-Tri at 3 or 10).
    Evaluated as exp((logsumexp(p log x) - log n) / p), which overflows for no p; the
    clamp also keeps the gradient x^p log x finite at 0. At least float32
    whatever the input.

    The form "agw" is (mean(x^p) + 1e-12)^(1/p), of a map without negative values.

    A learned p is used as max(p, 1). Trained from scratch it drifts downwards, and
    unbounded it crosses 0, where the pooled feature and then the loss explode.
    """

    def __init__(
        self,
        p: float = 3.0,
        *,
        learnable: bool = True,
        form: str = "clamp",
        epsilon: float = 1e-6,
    ):
        self.p = nnx.Param(jnp.float32(p)) if learnable else float(p)
        self.form = form
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        p = self.p
        if isinstance(p, nnx.Param):
            p = p[...]
            # The value is bounded, not the gradient: p can come back from below 1.
            p = p + jax.lax.stop_gradient(jnp.maximum(p, 1.0) - p)
        if self.form == "agw":
            return _agw(at_least_float32(x), p)
        logs = jnp.log(jnp.maximum(at_least_float32(x), self.epsilon))
        positions = x.shape[1] * x.shape[2]
        powers = jax.scipy.special.logsumexp(p * logs, axis=(1, 2))
        return jnp.exp((powers - jnp.log(float(positions))) / p)


def _agw(x, p):
    positive = x > 0
    # 0^p log 0, the slope in p, would be NaN
    powers = jnp.where(positive, jnp.where(positive, x, 1) ** p, 0)
    return (powers.mean((1, 2)) + 1e-12) ** (1 / p)


class Stripe(nnx.Module):
    """A pool of one of `of` horizontal stripes, from 0 at the top.

    Where they do not divide the map they share rows, as in torch's adaptive pooling.
    """

    def __init__(self, index: int, of: int, pool: Callable[[Array], Array]):
        self.index, self.of, self.pool = index, of, pool

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        height = x.shape[1]
        if self.of > height:
            raise ValueError(
                f"{self.of} stripes of a map of {height} rows; allowed are up to "
                f"{height}, or give larger images"
            )
        start = self.index * height // self.of
        stop = -(-(self.index + 1) * height // self.of)
        return self.pool(x[:, start:stop])


def average_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """Mean over the positions, at least in float32."""
    return at_least_float32(x).mean((1, 2))


def maximum_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """Maximum over the positions, at least in float32; the first has the gradient."""
    flat = at_least_float32(x).reshape(len(x), -1, x.shape[-1])
    return largest(flat, 1)
