"""Labels of the training images by clustering each modality on its own (ADCA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from jreid.bounds import at_least
from jreid.data.datasets import MODALITY_NAMES
from jreid.evaluation.rerank.jaccard import jaccard_distances
from jreid.extra import library
from jreid.shapes import Float, Int

_ROWS_AT_ONCE = 1024


@dataclass(slots=True)
class Clusters:
    """A hook between epochs: DBSCAN on k-reciprocal Jaccard distances (ADCA).

    Each modality's images are clustered by their vectors "fused", of length 1, whose
    means are a `cluster_memory.ClusterMemory`'s vectors of the epoch that begins. From
    `aggregate_from` on those of two modalities' clusters that look alike come together.
    No identity is read.
    """

    classes: int = 2000
    """How many clusters of a modality there may be, as in the memory; where more are
    found, the smallest are none."""
    eps: float = 0.6
    """Largest distance of neighbours within a cluster, below 1."""
    samples: int = 4
    """How many neighbours, itself among them, a cluster's core image has."""
    k1: int = 30
    """Neighbours for the reciprocal sets; see `KReciprocal`."""
    k2: int = 6
    """Neighbours over which a reciprocal vector is averaged."""
    aggregate_from: int = 50
    """The epoch, from 0, from which on modalities are aggregated; -1: they are not."""
    alike: float = 0.5
    """Least cosine of a visible and an infrared image that speak for their clusters'
    being a pair."""
    keep: float = 0.1
    """What a pair's vectors keep of themselves; the rest becomes the infrared one."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        for field in ("classes", "samples", "k1", "k2"):
            at_least(field, getattr(self, field), 1)
        if not 0 < self.eps < 1:
            raise ValueError(f"eps is {self.eps}; allowed is above 0, below 1")

    def __call__(
        self,
        state: Any,
        embed_train: Any,
        epoch: int,
        seed: int,
        modality: Int[np.ndarray, " n"],
    ) -> tuple[Int[np.ndarray, " n"], dict[str, Any]]:
        """Each image's cluster among those of its modality, -1 for none; the memory's.

        Raises:
            ValueError: a modality has no cluster, or scikit-learn is missing.
        """
        vectors = embed_train()["fused"]
        labels = np.full(len(vectors), -1)
        memory = np.zeros((len(MODALITY_NAMES), self.classes, vectors.shape[1]), "f4")
        for number in range(len(MODALITY_NAMES)):
            rows = np.flatnonzero(modality == number)
            own = labels[rows] = self._labels(vectors[rows])
            if not (own >= 0).any():
                raise ValueError(
                    f"before epoch {epoch} (from 0) none of the {len(rows)} "
                    f"{MODALITY_NAMES[number]} images is in a cluster; raise "
                    f"between_epochs.eps, now {self.eps}, or lower "
                    f"between_epochs.samples, now {self.samples}"
                )
            means = cluster_means(vectors[rows], own)
            memory[number, : len(means)] = means
        if 0 <= self.aggregate_from <= epoch:
            pairs = matching_clusters(vectors, labels, modality, self.alike)
            for visible, infrared in pairs:
                towards = (1 - self.keep) * memory[1, infrared]
                memory[0, visible] = self.keep * memory[0, visible] + towards
                memory[1, infrared] = self.keep * memory[1, infrared] + towards
        alone = [np.mean(labels[modality == m] < 0) for m in (0, 1)]
        return labels, {"clusters": memory, "in_no_cluster": np.asarray(alone, "f4")}

    def _labels(self, vectors: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        graph = jaccard_distances(vectors, self.eps, k1=self.k1, k2=self.k2)
        sort = library("sklearn.neighbors", "clusters").sort_graph_by_row_values
        part = library("sklearn.cluster", "clusters").DBSCAN
        dbscan = part(eps=self.eps, min_samples=self.samples, metric="precomputed")
        labels = dbscan.fit_predict(sort(graph, warn_when_not_sorted=False))
        return largest_clusters(labels, self.classes)


def largest_clusters(labels: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " n"]:
    """Labels from 0 of the `most` largest clusters, in their order; others are -1."""
    counts = np.bincount(labels[labels >= 0])
    kept = np.sort(np.argsort(-counts, kind="stable")[:most])
    renamed = np.full(len(counts) + 1, -1)  # the last place is that of -1
    renamed[kept] = np.arange(len(kept))
    return renamed[labels]


def cluster_means(
    vectors: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "k d"]:
    """Each cluster's mean vector, brought to length 1."""
    sums = _members(labels).T @ vectors.astype(np.float64)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def matching_clusters(
    vectors: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    alike: float,
) -> list[tuple[int, int]]:
    """Pairs of a visible and an infrared cluster, each in one pair at most.

    Two clusters have as many votes as there are pairs of their images whose cosine is
    `alike` or more. Pairs are taken greedily, those with most votes first; of equal
    ones the first clusters.
    """
    visible, infrared = (np.flatnonzero(modality == m) for m in (0, 1))
    of_visible, of_infrared = (_members(labels[rows]) for rows in (visible, infrared))
    counts = [int(labels[rows].max(initial=-1)) + 1 for rows in (visible, infrared)]
    votes = np.zeros(counts)
    for start in range(0, len(visible), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        near = vectors[visible[some]] @ vectors[infrared].T >= alike
        near = scipy.sparse.csr_array(near.astype(np.float64))
        votes += (of_visible[some].T @ (near @ of_infrared)).toarray()
    pairs, taken = [], (set(), set())
    for place in np.argsort(-votes, axis=None, kind="stable"):
        one, other = (int(i) for i in np.unravel_index(place, votes.shape))
        if votes[one, other] == 0:
            break
        if one not in taken[0] and other not in taken[1]:
            pairs.append((one, other))
            taken[0].add(one)
            taken[1].add(other)
    return pairs


def _members(labels: Int[np.ndarray, " n"]) -> scipy.sparse.csr_array:
    """1 where an image is in a cluster, [n k]."""
    rows = np.flatnonzero(labels >= 0)
    shape = len(labels), int(labels.max(initial=-1)) + 1
    ones = np.ones(len(rows))
    return scipy.sparse.csr_array((ones, (rows, labels[rows])), shape=shape)
