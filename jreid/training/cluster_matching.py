"""Clusters of two modalities matched by the least total cost (PGM, CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize

from jreid.bounds import at_least
from jreid.data.datasets import MODALITY_NAMES
from jreid.shapes import Float, Int
from jreid.training.clusters import Clusters


@dataclass(slots=True)
class MatchedClusters(Clusters):
    """Clusters, and from `match_from` on their partners in the other modality.

    `extra["match"]` [2 classes] has each cluster's partner, -1 for none: of visible
    clusters an infrared one, then of infrared ones a visible one.
    """

    aggregate_from: int = -1
    match_from: int = 50
    """The epoch, from 0, from which on clusters are matched."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        Clusters.check(self)
        at_least("match_from", self.match_from, 0)

    def __call__(
        self,
        state: Any,
        embed_train: Any,
        epoch: int,
        seed: int,
        modality: Int[np.ndarray, " n"],
    ) -> tuple[Int[np.ndarray, " n"], dict[str, Any]]:
        """The same as `Clusters`, and "match"."""
        given = state, embed_train, epoch, seed, modality
        labels, extra = Clusters.__call__(self, *given)
        match = np.full((len(MODALITY_NAMES), self.classes), -1, np.int32)
        if epoch >= self.match_from:
            there = [x[np.any(x != 0, axis=1)] for x in extra["clusters"]]
            for row, partners in zip(match, matched(*there), strict=True):
                row[: len(partners)] = partners
        return labels, {**extra, "match": match}


def matched(
    visible: Float[np.ndarray, "v d"], infrared: Float[np.ndarray, "i d"]
) -> tuple[Int[np.ndarray, " v"], Int[np.ndarray, " i"]]:
    """Each visible cluster's infrared partner, and each infrared one's; -1: none.

    The cost of two clusters is 1 / exp(cosine). The matching of least total cost
    leaves the modality with more clusters some over, which are matched once more with
    all of the other, of which they become partners without being theirs. The vectors
    have length 1.
    """
    if len(visible) < len(infrared):
        of_infrared, of_visible = matched(infrared, visible)
        return of_visible, of_infrared
    cost = np.exp(-visible.astype(np.float64) @ infrared.T)
    rows, columns = scipy.optimize.linear_sum_assignment(cost)
    of_visible = np.full(len(visible), -1)
    of_infrared = np.full(len(infrared), -1)
    of_visible[rows], of_infrared[columns] = columns, rows
    over = np.flatnonzero(of_visible < 0)
    rows, columns = scipy.optimize.linear_sum_assignment(cost[over])
    of_visible[over[rows]] = columns
    return of_visible, of_infrared
