"""A block that multiplies rows, pairs mined among the copies, dropout: as DEEN."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from base import small, trunk
from flax import nnx

from jreid.losses.identity import Identity
from jreid.losses.primitives import euclidean_distances, group_means
from jreid.models.modules.layers import Conv
from jreid.models.two_stream import Branch, TwoStream


class TwoMore(nnx.Module):
    """The rows and two copies of each through convolutions of their own."""

    def __init__(self, channels, dropout, *, rngs, dtype):
        self.convs = nnx.List(
            [Conv(channels, channels, 3, dtype=dtype, rngs=rngs) for _ in range(2)]
        )
        self.dropout = dropout
        self.frozen = False

    def set_view(self, use_running_average=None, **unused):
        if use_running_average is not None:
            self.frozen = use_running_average
        return unused

    def __call__(self, x, modality, stage_input=None, rng=None):
        if self.frozen or rng is None:
            return x  # a test image has one row
        copies = [x, *(nnx.relu(conv(x)) for conv in self.convs)]
        y = jnp.stack(copies, axis=1).reshape(-1, *x.shape[1:])
        kept = jax.random.bernoulli(rng, 1 - self.dropout, y.shape)
        y = jnp.where(kept, y / (1 - self.dropout), 0)
        rows = jnp.arange(len(x), dtype=jnp.int32)
        return y, jnp.repeat(rows, 3), jnp.tile(jnp.arange(3, dtype=jnp.int32), len(x))


@dataclass(slots=True)
class Copies:
    """Three rows of each."""

    dropout: float = 0.1

    def make(self, channels, rngs, dtype):
        return TwoMore(channels, self.dropout, rngs=rngs, dtype=dtype)


@dataclass(slots=True)
class MinedPairs:
    """Centres of the copies of one modality come near those of the other's rows."""

    weight: float = 1.0
    on: str = "features.v1"
    of: Any = field(default=(1, 2))

    def __call__(self, outputs, batch, rng=None):
        features, ids = outputs["features"]["v1"], batch["ids"]
        same = ids[:, None] == ids[None]
        total = 0.0
        for copy in self.of:
            made = (batch["copy"] == copy) & (batch["modality"] == 1)
            real = (batch["copy"] == 0) & (batch["modality"] == 0)
            centres = [
                group_means(features, same & rows[None]) for rows in (made, real)
            ]
            distances = euclidean_distances(*centres)
            nearest = jnp.min(jnp.where(same, jnp.inf, distances), axis=1)
            hinge = jax.nn.relu(0.2 + jnp.diagonal(distances) - nearest)
            total = total + jnp.mean(hinge)
        return total


def get_config():
    return small(
        "copies",
        network=TwoStream((Branch("v1"),), trunk=trunk(before={"2": Copies()})),
        objective={"identity": Identity(), "pairs": MinedPairs()},
    )
