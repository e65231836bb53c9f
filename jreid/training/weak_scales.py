"""A memory that tells which fraction of a norm's scales is weak (CmCEN)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.training.subtrees import paths_of, split_by


@dataclass(slots=True)
class WeakScales:
    """The fraction of scales below a threshold, logged as "exchanged".

    CmCEN's scales start at 1 and sink slowly: whether any channel is exchanged at all
    is seen in this number alone.
    """

    params: str
    """Pattern of the scales' paths, as "trunk/before/layer3/norm/scale"."""
    threshold: float = 0.7
    """Magnitude below which a scale is weak."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("threshold", self.threshold, 0)

    def init(self, params: Any) -> dict[str, Any]:
        """The fraction, 0 to 1, as `extra["exchanged"]`.

        Raises:
          ValueError: no path matches the pattern.
        """
        scales = split_by(self.params, params)[0]
        if not scales:
            raise ValueError(
                f"memory.params is {self.params!r}, which no path matches; there are "
                f"{', '.join(sorted({p.partition('/')[0] for p in paths_of(params)}))}"
            )
        return {"exchanged": self._fraction(scales)}

    def update(
        self, extra: Any, outputs: Any, rows: Any, params: Any
    ) -> dict[str, Any]:
        """The fraction after the step."""
        return {"exchanged": self._fraction(split_by(self.params, params)[0])}

    def scalars(self, extra: Any) -> dict[str, Any]:
        """What a step logs: the fraction that it met."""
        return {"exchanged": extra["exchanged"]}

    def _fraction(self, scales):
        flat = jnp.concatenate([x.ravel() for x in jax.tree.leaves(scales)])
        return jnp.mean((jnp.abs(flat) < self.threshold).astype(jnp.float32))
