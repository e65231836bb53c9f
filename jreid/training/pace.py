"""The factor of a paced term: 0 in the first epoch, then 1 / (1 + L) (DDAG, ECCV 2020).

L is the mean over the last epoch's steps of the loss without that term. Both parts here
are needed: the memory sums losses, the hook makes of them the next epoch's factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jreid.lazy import jnp


@dataclass(slots=True)
class Pace:
    """A memory: the factor, and this epoch's losses without the paced term."""

    term: str
    """Name of the paced term in the objective, of weight 1."""

    def init(self, params: Any) -> dict[str, Any]:
        """`extra["pace"]`, before the first epoch."""
        return {"pace": {name: jnp.zeros(()) for name in ("factor", "steps", "sum")}}

    def update(
        self, extra: Any, outputs: Any, rows: Any, params: Any
    ) -> dict[str, Any]:
        """One more step, and its loss.

        Raises:
          ValueError: the objective has no such term.
        """
        pace, losses = extra["pace"], rows["losses"]
        name = f"loss/{self.term}"
        if name not in losses:
            given = [n.removeprefix("loss/") for n in losses if n.startswith("loss/")]
            raise ValueError(
                f"memory.term is {self.term!r}; allowed are terms of the objective, "
                f"{', '.join(given)}"
            )
        others = losses["loss"] - losses[name]
        moved = {"steps": pace["steps"] + 1, "sum": pace["sum"] + others}
        return {"pace": pace | moved}


@dataclass(slots=True)
class PaceOfEpoch:
    """A hook between epochs: the factor of the epoch that begins, and sums of 0."""

    def __call__(self, state: Any, embed_train: Any, epoch: int, seed: int):
        """No labels, and `extra["pace"]`."""
        pace = state.extra["pace"]
        steps, total = float(pace["steps"]), float(pace["sum"])
        factor = 1 / (1 + total / steps) if steps else 0.0
        values = {"factor": factor, "steps": 0.0, "sum": 0.0}
        return None, {"pace": {name: np.float32(x) for name, x in values.items()}}
