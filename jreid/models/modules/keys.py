"""Random keys for a network's first weights."""

import jax
from flax import nnx


class _Stream(nnx.RngStream):
    """The keys of nnx's own stream, whose counter is replaced, not assigned into.

    Assigning asks a tracer for its sharding. The answer, an error that says where the
    tracer comes from, takes longer the more was traced: half of a network's tracing.
    """

    def __call__(self) -> jax.Array:
        count = self.count.get_value()
        self.count.set_value(count + 1)
        return jax.random.fold_in(self.key.get_value(), count)


class WeightKeys(nnx.Rngs):
    """`nnx.Rngs(seed)`, key for key, without its cost while a network is traced."""

    def __init__(self, seed: jax.Array | int):
        super().__init__(seed)
        self.default = _Stream(self["default"].key.get_value(), tag="default")
