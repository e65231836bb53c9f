"""ranks.csv: for every query the files that come first, and whether they are right."""

import csv
from collections.abc import Iterable
from typing import TextIO

import numpy as np

from jreid.data.datasets import MODALITY_NAMES
from jreid.evaluation.rank_lists import RankList
from jreid.shapes import Int

HEADER = (
    *("query", "query_id", "query_camera", "query_modality", "rank"),
    *("file", "id", "camera", "distance", "right"),
)


def write_ranks(
    file: TextIO,
    lists: Iterable[RankList],
    *,
    paths: np.ndarray,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
) -> None:
    """A row for each query and rank, under `HEADER`.

    Args:
        lists: with distances, see `all_rank_lists`.
        paths, ids, cameras, modality: columns of the images.
    """
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(HEADER)
    for ranked in lists:
        if ranked.distances is None:
            raise ValueError("ranks.csv needs rank lists with their distances")
        query = ranked.query
        begin = (
            paths[query],
            ids[query],
            cameras[query],
            MODALITY_NAMES[modality[query]],
        )
        found = zip(ranked.nearest, ranked.distances, strict=True)
        for rank, (row, distance) in enumerate(found, 1):
            right = "right" if ids[row] == ids[query] else "wrong"
            end = (paths[row], ids[row], cameras[row], f"{distance:.6f}", right)
            rows.writerow([*begin, rank, *end])
