"""How well each camera's images find their people in each other camera's."""

from dataclasses import dataclass

import numpy as np

from jreid.evaluation.distances import query_blocks
from jreid.evaluation.measures import Measure, sides
from jreid.shapes import Float, Int


@dataclass(frozen=True)
class CameraMatrix:
    """R-1 of every camera as query against every other as gallery.

    Attributes:
        cameras: pairs of a camera's number and its modality, 0 visible, 1 infrared.
        rank1: share of the queries whose nearest image shows their person, NaN where
            no query has its person in the gallery, and on the diagonal.
        queries: how many queries have.
    """

    cameras: tuple[tuple[int, int], ...]
    rank1: Float[np.ndarray, "c c"]
    queries: Int[np.ndarray, "c c"]


def camera_matrix(
    features: Float[np.ndarray, "n d"],
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    measure: Measure = "cosine",
) -> CameraMatrix:
    """All images of one camera against all of another, modality by modality.

    A camera that takes both modalities counts as two.
    """
    pairs = sorted(set(zip(modality.tolist(), cameras.tolist(), strict=True)))
    rows = [np.flatnonzero((modality == m) & (cameras == c)) for m, c in pairs]
    query, gallery = sides(features, measure)
    rank1 = np.full((len(pairs), len(pairs)), np.nan)
    queries = np.zeros((len(pairs), len(pairs)), np.int64)
    for i, here in enumerate(rows):
        for j, there in enumerate(rows):
            matched = here[np.isin(ids[here], ids[there])]
            if i == j or not matched.size:
                continue
            nearest = np.concatenate(
                [
                    distances.argmin(axis=1)
                    for _, distances in query_blocks(query[matched], gallery[there])
                ]
            )
            queries[i, j] = len(matched)
            rank1[i, j] = (ids[there[nearest]] == ids[matched]).mean()
    return CameraMatrix(tuple((c, m) for m, c in pairs), rank1, queries)
