"""The module of modalities' own classifiers; see jreid/models/modality_heads.py."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.models.modules.modality_norm import MODALITIES


class ModalityClassifier(nnx.Module):
    """Weights ~ N(0, 0.001) for each modality, `kernel` [2 d classes]."""

    def __init__(self, features: int, classes: int, *, rngs: nnx.Rngs):
        shape = (MODALITIES, features, classes)
        init = nnx.initializers.normal(0.001)
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))

    def __call__(
        self, x: Float[Array, "r d"], modality: Int[Array, " r"]
    ) -> Float[Array, "r classes"]:
        """Each row's logits by its own modality's classifier."""
        both = jnp.einsum("rd,mdk->rmk", x, self.kernel[...].astype(x.dtype))
        return jnp.take_along_axis(both, modality[:, None, None], axis=1)[:, 0]

    def others(
        self, x: Float[Array, "r d"], modality: Int[Array, " r"]
    ) -> Float[Array, "r classes"]:
        """Each row's logits by the other modality's classifier."""
        return self(x, 1 - modality)
