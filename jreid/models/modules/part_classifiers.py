"""The module of parts' classifiers; see jreid/models/part_classifiers.py."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class PartClassifiers(nnx.Module):
    """Weights ~ N(0, 0.001), `kernel` [parts d classes]; `scores` [parts] from 0."""

    def __init__(self, parts: int, features: int, classes: int, *, rngs: nnx.Rngs):
        init = nnx.initializers.normal(0.001)
        shape = (parts, features, classes)
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.scores = nnx.Param(jnp.zeros((parts,)))

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b p classes"]:
        kernel = self.kernel[...].astype(x.dtype)
        return jnp.einsum("bpd,pdk->bpk", x.reshape(len(x), len(kernel), -1), kernel)
