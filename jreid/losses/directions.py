"""Vectors divided by their lengths, and cosines."""

from __future__ import annotations

from jreid.lazy import jax, jnp
from jreid.losses.primitives import EXACT
from jreid.shapes import Float


def unit_rows(x: Float[jax.Array, "n d"]) -> Float[jax.Array, "n d"]:
    """Rows divided by their Euclidean norm; a row of zeros stays, with gradient 0."""
    squared = jnp.sum(jnp.square(x), axis=1, keepdims=True)
    there = squared > 1e-24
    return jnp.where(there, x * jax.lax.rsqrt(jnp.where(there, squared, 1)), 0)


def cosines(
    a: Float[jax.Array, "n d"], b: Float[jax.Array, "m d"]
) -> Float[jax.Array, "n m"]:
    """Cosine of each row of a with each of b; 0 for a row of zeros."""
    return jnp.matmul(unit_rows(a), unit_rows(b).T, precision=EXACT)
