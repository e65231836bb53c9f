"""The module of modalities' own classifiers; see jreid/models/modality_heads.py."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.models.modules.initialisers import classifier_weights
from jreid.models.modules.modality_norm import MODALITIES


class ModalityClassifier(nnx.Module):
    """Weights of each modality, `kernel` [2 d classes]."""

    def __init__(self, features: int, classes: int, init: str, *, rngs: nnx.Rngs):
        shape = (MODALITIES, features, classes)
        weights = classifier_weights(init, features)
        self.kernel = nnx.Param(weights(rngs.params(), shape, jnp.float32))

    def __call__(
        self, x: Float[Array, "r d"], modality: Int[Array, " r"]
    ) -> Float[Array, "r classes"]:
        """Each row's logits by its own modality's classifier."""
        both = jnp.einsum("rd,mdk->rmk", x, self.kernel[...].astype(x.dtype))
        return jnp.take_along_axis(both, modality[:, None, None], axis=1)[:, 0]
