"""Keys of first weights, against those of nnx."""

import jax
import numpy as np
from flax import nnx

from jreid.models.modules.keys import WeightKeys


def test_keys_are_those_of_nnx():
    ours, theirs = WeightKeys(3), nnx.Rngs(3)
    for draw in ("params", "params", "dropout", "params"):
        ours_key, theirs_key = getattr(ours, draw)(), getattr(theirs, draw)()
        np.testing.assert_array_equal(
            jax.random.key_data(ours_key), jax.random.key_data(theirs_key)
        )


def test_a_traced_network_has_the_weights_of_an_eager_one():
    def kernels(keys):
        layers = [nnx.Linear(3, 4, rngs=keys), nnx.Linear(4, 2, rngs=keys)]
        return [layer.kernel[...] for layer in layers]

    traced = jax.jit(lambda: kernels(WeightKeys(0)))()
    for one, other in zip(traced, kernels(nnx.Rngs(0)), strict=True):
        np.testing.assert_array_equal(one, other)
