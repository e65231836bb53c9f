"""Distances of all pairs of images, by what the pairs show."""

from dataclasses import dataclass

import numpy as np

from jreid.evaluation.distances import largest_length, squared_distances
from jreid.evaluation.measures import Measure, sides
from jreid.evaluation.one_camera import of_one_camera
from jreid.evaluation.spread import spread_over_people
from jreid.shapes import Float, Int

MOST_IMAGES = 4000  # eight million pairs: a second or two, and 100 MB
_ROWS = 500  # of distances at once


@dataclass(frozen=True)
class PairDistances:
    """Squared distances of pairs, float32, in no order that means anything.

    Attributes:
        same_within: of one person in one modality, from two cameras.
        same_across: of one person in two modalities; from two cameras alone where the
            protocol leaves out the others.
        different_within: of two people in one modality.
        different_across: of two people in two modalities.
        images: how many were paired.
        left_out: how many were not; see `spread_over_people`.
        own_camera: whether `same_within` has pairs of one camera, as no person is seen
            by two cameras of a modality.
    """

    same_within: Float[np.ndarray, " a"]
    same_across: Float[np.ndarray, " b"]
    different_within: Float[np.ndarray, " c"]
    different_across: Float[np.ndarray, " d"]
    images: int
    left_out: int
    own_camera: bool


def distances_of_pairs(
    features: Float[np.ndarray, "n d"],
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"] | None,
    modality: Int[np.ndarray, " n"],
    measure: Measure = "cosine",
    two_cameras: bool = False,
    most: int = MOST_IMAGES,
) -> PairDistances:
    """Every pair once; of more than `most` images a part, of whole people.

    Under the measure "product" the distances of two queries cannot be compared.

    Args:
        two_cameras: whether `same_across` is from two cameras; `leaves_out_across`.
    """
    cameras = modality if cameras is None else cameras
    views = 2 * cameras.astype(np.int64) + modality
    kept = spread_over_people(ids, views, most)
    query, gallery = (side[kept] for side in sides(features, measure))
    columns = ids[kept], cameras[kept], modality[kept]
    ids, _, modality = columns
    length = largest_length(query, gallery)
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(kept), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = squared_distances(query[rows], gallery[start:], length=length)
        later = np.arange(len(distances))[:, None] < np.arange(len(kept) - start)
        others = slice(start, None)
        same = ids[rows, None] == ids[others]
        across = modality[rows, None] != modality[others]
        own = of_one_camera(columns, rows, others, across=two_cameras)
        for name, chosen in {
            "same_within": same & ~across & ~own,
            "own_camera": ~across & own,
            "same_across": same & across & ~own,
            "different_within": ~same & ~across,
            "different_across": ~same & across,
        }.items():
            pairs = distances[chosen & later].astype(np.float32)
            found.setdefault(name, []).append(pairs)
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    of_own_camera = joined.pop("own_camera")
    alone = not len(joined["same_within"])
    if alone:
        joined["same_within"] = of_own_camera
    return PairDistances(
        **joined,
        images=len(kept),
        left_out=len(features) - len(kept),
        own_camera=alone and bool(len(of_own_camera)),
    )
