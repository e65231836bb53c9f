"""Gradient reversal (Ganin and Lempitsky, ICML 2015): adversaries without players."""

import functools

import jax
from jaxtyping import Array, Float


def reversed_gradient(x: Float[Array, "..."], factor: float) -> Float[Array, "..."]:
    """`x`, whose gradient comes back times `-factor`."""
    return _same(x, factor)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _same(x, factor):
    return x


_same.defvjp(
    lambda x, factor: (x, None), lambda factor, _, gradient: (-factor * gradient,)
)
