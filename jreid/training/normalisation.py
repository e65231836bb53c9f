"""Images as the network takes them: ImageNet's channels at mean 0, variance 1."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from jreid.models.modules.image_statistics import image_statistics


def normalise(images: UInt8[Array, "*n c"]) -> Float[Array, "*n c"]:
    """Grey levels 0..255 to zero mean and unit variance by ImageNet's statistics."""
    dtype = jnp.result_type(float)  # float32, or float64 where JAX has it enabled
    mean, std = image_statistics(images.ndim, dtype)
    return (images.astype(dtype) / 255 - mean) / std


def grey_levels(images: Float[Array, "*n c"]) -> UInt8[Array, "*n c"]:
    """The inverse of `normalise`, rounded; what is darker or brighter is cut off."""
    mean, std = image_statistics(images.ndim, images.dtype)
    levels = jnp.round(255 * (images * std + mean))
    return jnp.clip(levels, 0, 255).astype(jnp.uint8)
