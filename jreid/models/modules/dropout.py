"""Dropout by a step's own rng."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def dropped(
    x: Float[Array, "*n"], rate: float, rng: Array | None
) -> Float[Array, "*n"]:
    """x with a share `rate` of it 0 and the rest scaled up; without rng x itself."""
    if rng is None or not rate:
        return x
    kept = jax.random.bernoulli(rng, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0)
