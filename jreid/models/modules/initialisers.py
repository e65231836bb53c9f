"""Initial values of layers as PyTorch draws them by default."""

from collections.abc import Callable

import jax


def torch_uniform(fan_in: int) -> Callable[..., jax.Array]:
    """Weights and bias of a linear map or convolution: within 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5

    def init(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
