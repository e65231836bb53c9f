"""Gradient reversal (Ganin and Lempitsky, ICML 2015): adversaries without players."""

import functools

import jax
from jaxtyping import Array, Float


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def reversed_gradient(x: Float[Array, "..."], factor: float) -> Float[Array, "..."]:
    """`x`, whose gradient comes back times `-factor`."""
    return x


reversed_gradient.defvjp(
    lambda x, factor: (x, None), lambda factor, _, gradient: (-factor * gradient,)
)
