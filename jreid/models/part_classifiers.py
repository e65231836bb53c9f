"""Identity classifiers of a vector's parts, one each, and scores of the parts."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least


@dataclass(slots=True)
class PartClassifiers:
    """A linear classifier without bias for each part of a vector of parts.

    Its logits are [b parts classes]. Beside them it learns a score of each part, which
    begin at 0; PartIdentity weighs the parts by them.
    """

    parts: int = 6
    """As many as the branch's pool puts side by side."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("parts", self.parts, 1)

    def make(self, features, classes, rngs):
        """The module, from embeddings [b features] to logits [b parts classes]."""
        from jreid.models.modules import part_classifiers

        return part_classifiers.PartClassifiers(
            self.parts, features // self.parts, classes, rngs=rngs
        )
