"""One order of rows for all that joins the columns of a batch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def groups(lengths: Sequence[int]) -> int:
    """Into how many equal groups the rows of columns of these lengths fall."""
    return math.gcd(*lengths)


def joined(columns: Sequence[Any]) -> Any:
    """The columns' rows, group by group: what devices and processes share.

    Two equal columns come out interleaved. NumPy's arrays and JAX's.
    """
    count = groups([len(column) for column in columns])
    grouped = [c.reshape(count, len(c) // count, *c.shape[1:]) for c in columns]
    if isinstance(columns[0], np.ndarray):
        whole = np.concatenate(grouped, axis=1)
    else:
        import jax.numpy as jnp

        whole = jnp.concatenate(grouped, axis=1)
    return whole.reshape(-1, *whole.shape[2:])
