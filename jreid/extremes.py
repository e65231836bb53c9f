"""The largest and the smallest along an axis, with slopes that are always numbers.

JAX's own slope of a maximum is shared by the entries that equal it. Where XLA computes
the entries a second time for that, rounded otherwise, none may: then it is 0 / 0. Here
it goes to the first of the largest, as in PyTorch.
"""

from __future__ import annotations

import functools

from jreid.lazy import jax, jnp
from jreid.shapes import Float


def largest(x: Float[jax.Array, "*n"], axis: int) -> Float[jax.Array, "*m"]:
    """`jnp.max(x, axis)`."""
    return _largest()(x, axis)


def smallest(x: Float[jax.Array, "*n"], axis: int) -> Float[jax.Array, "*m"]:
    """`jnp.min(x, axis)`."""
    return -largest(-x, axis)


@functools.cache
def _largest():
    @functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
    def found(x, axis):
        return jnp.max(x, axis)

    @found.defjvp
    def slope(axis, primals, tangents):
        (x,), (moved,) = primals, tangents
        first = jnp.argmax(x, axis, keepdims=True)
        places = jax.lax.broadcasted_iota(first.dtype, x.shape, axis % x.ndim)
        return found(x, axis), jnp.sum(jnp.where(places == first, moved, 0), axis)

    return found
