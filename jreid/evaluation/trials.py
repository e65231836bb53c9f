"""Which query images meet which gallery images in one trial of a published protocol."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

SYSU_QUERY_CAMERAS = (3, 6)  # infrared
SYSU_GALLERY_CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2)}  # visible
_NOWHERE = -1  # the place of a query for which nothing is excluded


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
        return self.query_place[:, None] == self.gallery_place


def sysu_trial(
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    paths: np.ndarray,
    trial: int,
    mode: str = "all",
    shots: int = 1,
) -> Trial:
    """Queries and the AGW gallery draw of one trial on SYSU-MM01's test identities.

    Queries are all images of cameras 3 and 6, in input order. The gallery is drawn
    with `random.seed(trial)`; then, for each identity and each visible camera in
    ascending order, `random.choice` of the files sorted by path (AGW, Ye et al., TPAMI
    2022). For several shots `random.sample` takes the place of `random.choice`, which
    is our reading (AGW draws one image), and all images are taken where there are not
    enough. For a query of camera 3 the gallery images of camera 2, which stands in the
    same room, are dropped, whatever their identity.

    Args:
        ids, cameras, paths: columns of the test images, in any order.
        trial: 0 to 9 in the published protocol.
        mode: "all" draws from cameras 1, 2, 4, 5, "indoor" from 1, 2.
        shots: images per identity and camera, 1 or 10 in the published protocol.

    Raises:
        ValueError: the columns differ in length, or there is no query or no gallery.
    """
    if mode not in SYSU_GALLERY_CAMERAS or shots < 1:
        raise ValueError(
            f"mode={mode!r}, shots={shots}: mode must be one of"
            f" {list(SYSU_GALLERY_CAMERAS)} and shots at least 1"
        )
    if not len(ids) == len(cameras) == len(paths):
        raise ValueError(
            f"{len(ids)} ids, {len(cameras)} cameras and {len(paths)} paths: one of"
            " each is needed for every image"
        )
    gallery_cameras = SYSU_GALLERY_CAMERAS[mode]
    query = np.flatnonzero(np.isin(cameras, SYSU_QUERY_CAMERAS))
    candidates = np.flatnonzero(np.isin(cameras, gallery_cameras))
    if not query.size or not candidates.size:
        raise ValueError(
            f"{mode}-search has {query.size} query images (cameras"
            f" {SYSU_QUERY_CAMERAS}) and {candidates.size} gallery images (cameras"
            f" {gallery_cameras}) among {len(ids)} images of cameras"
            f" {np.unique(cameras).tolist()}: at least one of each is needed"
        )
    keys = (paths[candidates], cameras[candidates], ids[candidates])
    candidates = candidates[np.lexsort(keys)]
    new_files = np.diff(ids[candidates]).astype(bool) | np.diff(
        cameras[candidates]
    ).astype(bool)
    files = np.split(candidates, np.flatnonzero(new_files) + 1)
    gallery = _draw([names.tolist() for names in files], shots, trial)
    return Trial(
        query=query,
        gallery=gallery,
        query_place=np.where(cameras[query] == 3, 2, _NOWHERE),
        gallery_place=cameras[gallery],
    )


def _draw(files: Sequence[list[int]], shots: int, trial: int) -> Int[np.ndarray, " g"]:
    """Rows drawn from each identity and camera, in the order drawn."""
    generator = random.Random(trial)
    if shots == 1:
        return np.array([generator.choice(rows) for rows in files])
    drawn = [generator.sample(rows, min(shots, len(rows))) for rows in files]
    return np.concatenate(drawn)


def regdb_trial(modality: Int[np.ndarray, " n"], query_modality: int) -> Trial:
    """All test images of one modality against all of the other, nothing excluded."""
    query = np.flatnonzero(modality == query_modality)
    gallery = np.flatnonzero(modality != query_modality)
    if not query.size or not gallery.size:
        raise ValueError(
            f"{query.size} query images of modality {query_modality} and"
            f" {gallery.size} gallery images of the other: at least one of each is"
            " needed"
        )
    return Trial(
        query=query,
        gallery=gallery,
        query_place=np.full(query.size, _NOWHERE),
        gallery_place=np.zeros(gallery.size, np.int64),
    )
