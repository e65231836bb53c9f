"""HCML's second stage: after the last step, a metric of the training features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jreid.bounds import at_least
from jreid.training import hcml


@dataclass(slots=True)
class HCML:
    """Learns the metric of a `MetricTwoStream` (AAAI 2018), see `hcml.learn`."""

    statistics: ClassVar[tuple[str, ...]] = ("metric",)
    """What it gives: a run that goes on begins with these as they were at first."""

    dimensions: int = 600
    """Principal components, of both modalities' features together."""
    exact: bool = False
    """Whether it descends along the true gradient, which the released code does not."""
    iterations: int = 300
    """At most."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("dimensions", self.dimensions, 1)
        at_least("iterations", self.iterations, 1)

    def __call__(
        self, embed_train: Callable[[], Mapping[str, np.ndarray]], images: Any
    ) -> dict[str, Any]:
        """The network's "metric": mean [d], and a map [d d] for each modality.

        The maps lead back from the principal components into the features' space,
        which changes no distance and leaves all vectors as long as features.
        """
        learned = hcml.learn(
            embed_train()["fused"],
            images.ids,
            images.modality,
            dimensions=self.dimensions,
            exact=self.exact,
            iterations=self.iterations,
        )
        back = learned.basis.T
        visible, infrared = (learned.basis @ learned.maps[m] @ back for m in (0, 1))
        return {
            "metric": {"mean": learned.mean, "visible": visible, "infrared": infrared}
        }
