"""ImageNet's channel means and standard deviations, of images in [0, 1]."""

import jax
import jax.numpy as jnp

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


def image_statistics(ndim: int, dtype) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of images of so many axes, channels last."""
    over = tuple(range(ndim - 1))
    mean, std = (
        jnp.expand_dims(jnp.array(v, dtype), over) for v in (IMAGE_MEAN, IMAGE_STD)
    )
    return mean, std
