"""What a system carries from step to step besides its parameters.

A memory is a part with `init(params) -> extra`, a dict of arrays of fixed shapes, and
`update(extra, outputs, rows, params) -> extra`, called at the end of each step without
gradients; outputs and rows are those of the last of several players. A run begins with
`init` of its pretrained parameters, where it has any. Terms read the memory as
`batch["extra"]`; checkpoints hold it. `rows` is what terms know of a batch, with `step`
and `epoch`, from 0; beside it `rows["losses"]` has the step's scalars, as "loss" and
"loss/triplet", a player's behind its name. A memory may have `scalars(extra)`, a dict
of numbers that join what a step logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.training.subtrees import split_by


@dataclass(slots=True)
class MovingAverage:
    """A second copy of some parameters that follows them: a teacher (EMA twin)."""

    params: str
    """Pattern of the parameters' paths, as "branches/v1/classifier"."""
    rate: float = 0.2
    """How much of the way to the parameters a step goes, in (0, 1]."""
    falls: int = 0
    """In epoch e, from 1, the rate is times min(falls / (e + 1), 1), as MPANet's with
    100; 0: it stays."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate is {self.rate}; allowed is above 0, to 1")
        at_least("falls", self.falls, 0)

    def init(self, params: Any) -> dict[str, Any]:
        """The parameters themselves, as `extra["average"]`."""
        found = split_by(self.params, params)[0]
        if not found:
            raise ValueError(f"memory.params is {self.params!r}, which no path matches")
        return {"average": jax.tree.map(lambda x: x.copy(), found)}

    def update(
        self, extra: Any, outputs: Any, rows: Any, params: Any
    ) -> dict[str, Any]:
        """`average + rate (parameters - average)`."""
        now = split_by(self.params, params)[0]
        rate = self.rate
        if self.falls:
            rate = rate * jnp.minimum(self.falls / (rows["epoch"] + 2), 1)
        return {
            "average": jax.tree.map(
                lambda old, new: old + rate * (new - old), extra["average"], now
            )
        }
