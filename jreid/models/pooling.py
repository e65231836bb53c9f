"""Spatial pooling of a branch: generalised mean, average, maximum, of a stripe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from jreid.bounds import at_least, between, makes_module


@dataclass(slots=True)
class GeM:
    """Generalised mean over locations (eq. 2 and 3)."""

    p: float = 3.0
    """Exponent, or where it starts; at least 1, which is the average."""
    learn: bool = True
    """Whether p is trained."""
    form: Literal["clamp", "agw"] = "clamp"
    """clamp: of the map, at least epsilon; agw: as AGW has it, 1e-12 is added to the
    mean of the powers."""
    epsilon: float = 1e-6
    """Smallest value of the map, for clamp."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("p", self.p, 1, 100)
        between("epsilon", self.epsilon, 1e-30, 1)

    def make(self, channels, rngs, dtype):
        """The module, from maps [b h w c] to vectors [b c]."""
        from jreid.models.modules import pooling

        return pooling.GeM(
            self.p, learnable=self.learn, form=self.form, epsilon=self.epsilon
        )


@dataclass(slots=True)
class Average:
    """Mean over locations."""

    def make(self, channels, rngs, dtype):
        """The function, from maps [b h w c] to vectors [b c]."""
        from jreid.models.modules import pooling

        return pooling.average_pool


@dataclass(slots=True)
class Maximum:
    """Maximum over locations."""

    def make(self, channels, rngs, dtype):
        """The function, from maps [b h w c] to vectors [b c]."""
        from jreid.models.modules import pooling

        return pooling.maximum_pool


def pooled_width(pool: Any, channels: int) -> int:
    """Of a pool's vector: what its `width(channels)` says, else the map's channels."""
    return pool.width(channels) if hasattr(pool, "width") else channels


@dataclass(slots=True)
class Stripe:
    """A pool of one of several horizontal stripes of the map."""

    index: int
    """From 0, at the top."""
    of: int
    """Number of stripes."""
    pool: Any = field(default_factory=Average)

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("of", self.of, 1)
        between("index", self.index, 0, self.of - 1)
        makes_module("pool", self.pool)

    def width(self, channels: int) -> int:
        """Of the vector, on a map of that many channels."""
        return pooled_width(self.pool, channels)

    def make(self, channels, rngs, dtype):
        """The module, from maps [b h w c] to vectors [b width]."""
        from jreid.models.modules import pooling

        pool = self.pool.make(channels, rngs, dtype)
        return pooling.Stripe(self.index, self.of, pool)
