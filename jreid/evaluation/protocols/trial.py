"""Which query images meet which gallery images in one trial, and how they are drawn."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jreid.shapes import Bool, Int

NOWHERE = -1  # the place of a query for which nothing is excluded


@dataclass(frozen=True)
class Trial:
    """One query list against one gallery, as rows of the image columns.

    A gallery image at the place of a query does not exist for that query.
    """

    query: Int[np.ndarray, " q"]
    gallery: Int[np.ndarray, " g"]
    query_place: Int[np.ndarray, " q"]
    gallery_place: Int[np.ndarray, " g"]

    @property
    def excluded(self) -> Bool[np.ndarray, "q g"]:
        """True where the gallery image is dropped for the query."""
        return self.excluded_of(slice(None))

    def excluded_of(self, queries: slice | np.ndarray) -> Bool[np.ndarray, "rows g"]:
        """The rows of `excluded` of some queries."""
        return self.query_place[queries, None] == self.gallery_place


def cross_modality_trial(modality: Int[np.ndarray, " n"], query_modality: int) -> Trial:
    """All test images of one modality against all of the other, nothing excluded."""
    query = np.flatnonzero(modality == query_modality)
    gallery = np.flatnonzero(modality != query_modality)
    check_both_modalities(query, gallery, query_modality)
    return Trial(
        query=query,
        gallery=gallery,
        query_place=np.full(query.size, NOWHERE),
        gallery_place=np.zeros(gallery.size, np.int64),
    )


def check_lengths(**columns: np.ndarray | None) -> None:
    """Raises ValueError unless all columns that are not None are of one length."""
    given = {name: column for name, column in columns.items() if column is not None}
    lengths = [f"{len(column)} {name}" for name, column in given.items()]
    if len({len(column) for column in given.values()}) > 1:
        raise ValueError(
            f"{', '.join(lengths[:-1])} and {lengths[-1]}: one of each is needed for"
            " every image"
        )


def check_both_modalities(
    query: Int[np.ndarray, " q"], gallery: Int[np.ndarray, " g"], query_modality: int
) -> None:
    """Raises ValueError unless there is a query and a gallery."""
    if not query.size or not gallery.size:
        raise ValueError(
            f"{query.size} query images of modality {query_modality} and"
            f" {gallery.size} gallery images of the other: at least one of each is"
            " needed"
        )


def files_of(
    rows: Int[np.ndarray, " n"],
    ids: Int[np.ndarray, " all"],
    cameras: Int[np.ndarray, " all"],
    paths: np.ndarray | None,
) -> list[list[int]]:
    """Rows of each identity and camera, ascending, and inside it sorted by path."""
    keys = [cameras[rows], ids[rows]]
    if paths is not None:
        keys.insert(0, paths[rows])
    rows = rows[np.lexsort(keys)]
    new_files = np.diff(ids[rows]).astype(bool) | np.diff(cameras[rows]).astype(bool)
    groups = np.split(rows, np.flatnonzero(new_files) + 1)
    return [group.tolist() for group in groups]


def draw_from(
    files: Sequence[list[int]], shots: int, trial: int
) -> Int[np.ndarray, " g"]:
    """Rows drawn from each identity and camera, as drawn after `random.seed(trial)`."""
    generator = random.Random(trial)
    if shots == 1:
        return np.array([generator.choice(rows) for rows in files])
    drawn = [generator.sample(rows, min(shots, len(rows))) for rows in files]
    return np.concatenate(drawn)
