"""One of several optimisations that take turns within a step, as in a GAN."""

from dataclasses import dataclass
from typing import Any

from jreid.bounds import at_least
from jreid.training.patterns import check_pattern


@dataclass(slots=True)
class Player:
    """Some of the parameters, and what they minimise.

    An optimiser, a schedule or a sampling that is left empty is the config's.
    """

    objective: dict[str, Any]
    """Terms by name."""
    params: str
    """Pattern, searched from the start of a parameter's path, of what is its own."""
    optimizer: Any = None
    """Updates its parameters."""
    schedule: Any = None
    """Its learning rate, over as many epochs as the config's, also in a phase that has
    a schedule."""
    every: int = 1
    """It moves in every so many steps."""
    sampling: Any = None
    """Which images make its batch."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("every", self.every, 1)
        check_pattern("params", self.params)
        if not self.params:
            raise ValueError("params is ''; allowed is a pattern of paths")
        if not self.objective:
            raise ValueError("objective is {}; allowed is one term and more")
