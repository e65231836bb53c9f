"""A two-stream network whose test vectors pass through a metric learned afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.models.two_stream import TwoStream


@dataclass(slots=True)
class MetricTwoStream(TwoStream):
    """Vectors before the neck, of length 1, minus a mean, times their modality's map.

    Training sees the network as it is. Mean and maps, "metric" among the running
    statistics, are zero and the identity until `config.after_training` gives them.
    """

    def check(self) -> None:
        """Raises ValueError naming a field that does not fit the others."""
        TwoStream.check(self)
        if len(self.branches) > 1:
            names = [branch.name for branch in self.branches]
            raise ValueError(f"branches is {names}; allowed is one, which is measured")

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import learned_metric

        return learned_metric.MetricNetwork(self, classes, dtype=dtype, rngs=rngs)
