"""A stretch of a run that trains something else than the rest of it."""

from dataclasses import dataclass, field
from typing import Any

from jreid.bounds import at_least
from jreid.data.views import View
from jreid.training.patterns import check_pattern


@dataclass(slots=True)
class Phase:
    """So many epochs with an objective or parameters of their own.

    What is left empty is the config's.
    """

    epochs: int
    """How many epochs it lasts."""
    objective: dict[str, Any] = field(default_factory=dict)
    """Terms by name, instead of the config's."""
    views: dict[str, View] = field(default_factory=dict)
    """Columns of a batch by name, instead of the config's."""
    trainable: str = ""
    """Pattern, searched from the start of a parameter's path, of what moves; empty:
    everything. The rest keeps its optimiser's state; each parameter of Adam and AdamW
    then counts its own updates."""
    sampling: Any = None
    """Which images make a batch, instead of the config's."""
    players: tuple[str, ...] = ()
    """Who plays, of the config's players; empty: all whose parameters move."""
    schedule: Any = None
    """Learning rate over the epochs of this phase, instead of the config's, but not of
    a player that has its own."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("epochs", self.epochs, 1)
        check_pattern("trainable", self.trainable)
        if self.schedule is not None and self.schedule.epochs != self.epochs:
            raise ValueError(
                f"schedule.epochs is {self.schedule.epochs}; allowed is "
                f"{self.epochs}, the epochs of the phase"
            )
