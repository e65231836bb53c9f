"""JAX, its relatives and TensorFlow, imported when they are first used.

A config is made of parts before anything is trained, and its `--help` appears at once:
modules with parts take these names from here.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
    import optax
    import tensorflow as tf
    from flax import nnx
else:

    class _Lazy:
        """A module of this name, imported when an attribute is asked for."""

        def __init__(self, name):
            self.__name__ = name

        def __getattr__(self, attribute):
            return getattr(importlib.import_module(self.__name__), attribute)

    jax, jnp = _Lazy("jax"), _Lazy("jax.numpy")
    nnx, optax = _Lazy("flax.nnx"), _Lazy("optax")
    tf = _Lazy("tensorflow")

__all__ = ["jax", "jnp", "nnx", "optax", "tf"]
