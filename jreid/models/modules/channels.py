"""Arithmetic of maps whose last axis is the channels, at least in float32."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def at_least_float32(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Half precision becomes float32; float32 and float64 stay."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def wide(
    vector: Float[Array, " c"], like: Float[Array, "*n c"]
) -> Float[Array, "*m c"]:
    """The vector with axes of length 1 before its own, as many as `like` has."""
    return jnp.expand_dims(vector, tuple(range(like.ndim - 1)))


def channel_mean(maps: Float[Array, "*n c"]) -> Float[Array, " c"]:
    """Mean over every axis but the last."""
    return maps.mean(tuple(range(maps.ndim - 1)))


def variance(x: Float[Array, "*n c"], mean: Float[Array, " c"]) -> Float[Array, " c"]:
    """Mean squared deviation from `mean`, in a second pass over x."""
    return channel_mean(jnp.square(at_least_float32(x) - wide(mean, x)))


def covariance(
    x: Float[Array, "*n c"], y: Float[Array, "*n c"], mean: Float[Array, " c"]
) -> Float[Array, " c"]:
    """Mean of (x - mean) y, in a second pass over x."""
    deviation = at_least_float32(x) - wide(mean, x)
    return channel_mean(deviation * at_least_float32(y))
