"""Where a run's metrics go besides metrics.jsonl."""

from dataclasses import dataclass


@dataclass(slots=True)
class TensorBoard:
    """Event files in the folder tensorboard of the run."""

    enabled: bool = True
    """Whether they are written: so they can be left out on the command line."""
