"""Of a gallery, the images within the threshold of a false-match rate.

Each pair of modalities has a threshold of its own, so that the nearest images of all
may lie beyond theirs while farther ones, of the other modality, lie within: each
modality is searched by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jreid.search.ranking import Found
from jreid.search.store import in_order

_AT_FIRST = 64  # images of a modality that are looked at where all within are wanted


@dataclass(frozen=True)
class Within:
    """What lies within the thresholds, of one query."""

    within: Callable[[Found], Found]
    """Those of some images that do."""
    nearest: Callable[[int, str], Found]
    """So many images of a modality, nearest first: those within before those beyond."""
    modalities: Sequence[str]
    """Of the gallery's images that are looked at."""

    def first(self, count: int) -> Found:
        """The nearest images within, `count` at most."""
        found = [
            one
            for modality in self.modalities
            for one in self.within(self.nearest(count, modality))
        ]
        return in_order(found, count)

    def all(self) -> Found:
        """All images within."""
        return [one for modality in self.modalities for one in self._all_of(modality)]

    def _all_of(self, modality: str) -> Found:
        count = _AT_FIRST
        while True:
            near = self.nearest(count, modality)
            kept = self.within(near)
            if len(kept) < len(near) or len(near) < count:
                return kept
            count *= 4
