"""Batches of pairs: some of one identity, the others at random (TONE)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jreid.bounds import at_least, between
from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.data.sampling import Sampler
from jreid.data.views import View, check_views, modality_of
from jreid.shapes import Int


@dataclass(slots=True)
class RandomPairs:
    """Pairs of a visible and an infrared image, row i of the two views.

    The first ones show one identity: an identity with both modalities, drawn uniformly,
    and an image of each. Of the others both images are drawn from all, and rarely show
    one identity. With replacement (Ye et al., AAAI 2018, have 64 pairs, half of each).
    """

    pairs: int = 64
    """Pairs in a batch."""
    alike: float = 0.5
    """Fraction of them that shows one identity, rounded to whole pairs."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("pairs", self.pairs, 1)
        between("alike", self.alike, 0, 1)

    def make(
        self,
        images: Images,
        views: Mapping[str, View],
        seed: int,
        labels: Int[np.ndarray, " n"] | None = None,
    ) -> Sampler:
        """A function from the step to the rows of `images` in each view.

        Args:
            images: the training images.
            views: one of each modality.
            seed: of the whole run, not negative.
            labels: what counts as an identity instead of `images.ids`; images with -1
                are not drawn.

        Raises:
            ValueError: other views, or no identity with both modalities.
        """
        self.check()
        check_views(views)
        shown = sorted(modality_of(view) for view in views.values())
        if shown != sorted(MODALITY_NAMES):
            raise ValueError(
                f"views show {', '.join(shown) or 'nothing'}; RandomPairs needs one "
                f"view of each of {' and '.join(MODALITY_NAMES)}"
            )
        ids = images.ids if labels is None else labels
        rows = {
            name: np.flatnonzero(
                (images.modality == MODALITY_NAMES.index(modality_of(view)))
                & (ids != -1)
            )
            for name, view in views.items()
        }
        both = set.intersection(*(set(ids[own].tolist()) for own in rows.values()))
        if not both:
            raise ValueError(
                "no identity has visible and infrared images; pairs of one identity "
                "need one"
            )
        of_identity = {
            name: [own[ids[own] == i] for i in sorted(both)]
            for name, own in rows.items()
        }
        count = round(self.alike * self.pairs)

        def sample(step: int) -> dict[str, np.ndarray]:
            rng = np.random.default_rng([seed, step])
            chosen = rng.integers(len(both), size=count)
            return {
                name: np.concatenate(
                    [
                        np.array(
                            [rng.choice(of_identity[name][i]) for i in chosen], int
                        ),
                        rng.choice(rows[name], self.pairs - count),
                    ]
                )
                for name in views
            }

        return sample

    def steps_per_epoch(self, images: Images) -> int:
        """floor(N / pairs) + 1, N the larger of the modalities' counts."""
        return int(np.bincount(images.modality, minlength=2).max()) // self.pairs + 1
