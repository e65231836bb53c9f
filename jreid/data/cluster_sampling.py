"""Batches of clusters, other numbers of them in each modality (ADCA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jreid.bounds import at_least
from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.data.sampling import Sampler, drawn_evenly
from jreid.data.views import View, check_views, families, modality_of
from jreid.shapes import Int


@dataclass(slots=True)
class PerCluster:
    """Clusters of each modality, drawn apart, with as many images of each.

    A modality's clusters are drawn uniformly without replacement; where it has fewer
    than a batch asks for, each is drawn as evenly as can be. A cluster's images are
    distinct where there are enough, else used as evenly. No identity is read: without
    labels, as before the first clustering, a modality's images are one cluster.
    """

    visible: int = 8
    """Clusters in each view of visible images."""
    infrared: int = 16
    """Clusters in each view of infrared images."""
    images: int = 16
    """Images of a cluster in every view."""
    steps: int = 200
    """Batches in an epoch."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        for field in ("visible", "infrared", "images", "steps"):
            at_least(field, getattr(self, field), 1)

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
            views: the columns of a batch, each of one modality.
            seed: of the whole run, not negative.
            labels: each image's cluster among those of its modality; -1: in none.

        Raises:
            ValueError: a mixed view, or a modality without clusters.
        """
        self.check()
        check_views(views)
        at_least("seed", seed, 0)
        labels = np.zeros(len(images), int) if labels is None else labels
        own = {name: modality_of(views[name]) for name in families(views)}
        clusters = {
            name: _rows_by_cluster(images, labels, name, modality)
            for name, modality in own.items()
        }
        counts = {"visible": self.visible, "infrared": self.infrared}

        def sample(step: int) -> dict[str, np.ndarray]:
            rng = np.random.default_rng([seed, step])
            drawn = {}
            for name, rows in clusters.items():
                chosen = drawn_evenly(rng, np.arange(len(rows)), counts[own[name]])
                parts = [drawn_evenly(rng, rows[i], self.images) for i in chosen]
                drawn[name] = np.concatenate(parts)
            return {n: drawn[view.same_image_as or n] for n, view in views.items()}

        return sample

    def steps_per_epoch(self, images: Images) -> int:
        """As many as `steps` says, however many images there are."""
        return self.steps


def _rows_by_cluster(
    images: Images, labels: np.ndarray, name: str, modality: str
) -> list[np.ndarray]:
    if not modality:
        raise ValueError(
            f"views.{name} has no modality, which PerCluster needs; set modality, or "
            "use the sampling ByIdentity"
        )
    used = (images.modality == MODALITY_NAMES.index(modality)) & (labels >= 0)
    if not used.any():
        raise ValueError(
            f"none of the {modality} images is in a cluster; a batch needs one, so "
            "raise between_epochs.eps or lower between_epochs.samples"
        )
    rows = np.flatnonzero(used)
    return [rows[labels[rows] == label] for label in np.unique(labels[rows])]
