"""Which query images meet which gallery images in one trial of a published protocol."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jreid.evaluation.official_draw import OfficialDraw
from jreid.shapes import Bool, Int

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
        return self.excluded_of(slice(None))

    def excluded_of(self, queries: slice | np.ndarray) -> Bool[np.ndarray, "rows g"]:
        """The rows of `excluded` of some queries."""
        return self.query_place[queries, None] == self.gallery_place


def sysu_modes(cameras: Int[np.ndarray, " n"]) -> tuple[str, ...]:
    """All-search, and indoor-search where an image is of its cameras.

    A small set in SYSU-MM01's layout may lack them.
    """
    return tuple(
        mode
        for mode, of_mode in SYSU_GALLERY_CAMERAS.items()
        if mode == "all" or np.isin(cameras, of_mode).any()
    )


def sysu_shots(draw: str, permutations: object) -> tuple[int, ...]:
    """Single- and multi-shot; the official draw has multi-shot in its file alone."""
    return (1,) if draw == "official" and not permutations else (1, 10)


def sysu_trial(
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    paths: np.ndarray | None = None,
    trial: int,
    mode: str = "all",
    shots: int = 1,
    official: OfficialDraw | None = None,
) -> Trial:
    """Queries and the gallery of one trial on SYSU-MM01's test identities.

    Queries are all images of cameras 3 and 6, in input order. For a query of camera 3
    the gallery images of camera 2, which stands in the same room, are dropped, whatever
    their identity.

    The gallery is the AGW family's draw: `random.seed(trial)`; then, for each identity
    and each visible camera in ascending order, `random.choice` of the files sorted by
    path (AGW, Ye et al., TPAMI 2022). For several shots `random.sample` takes the place
    of `random.choice`, which is our reading: AGW draws one image, so there is no
    published multi-shot draw of this family. With `official` it is the data set's own
    draw: for each camera, then each identity, the first files of the fixed permutation.
    Both draws take all images where there are not enough.

    Args:
        ids, cameras, paths: columns of the test images, in any order. Without paths,
            the files of an identity and camera are taken to be sorted already.
        trial: 0 to 9 in the published protocol.
        mode: "all" draws from cameras 1, 2, 4, 5, "indoor" from 1, 2.
        shots: images per identity and camera, 1 or 10 in the published protocol.
        official: from `shipped_draw` (single-shot) or `read_permutations`.

    Raises:
        ValueError: the columns differ in length, there is no query or no gallery, or
            the official draw is not of these images.
    """
    if mode not in SYSU_GALLERY_CAMERAS or shots < 1:
        raise ValueError(
            f"mode={mode!r}, shots={shots}: mode must be one of"
            f" {list(SYSU_GALLERY_CAMERAS)} and shots at least 1"
        )
    _check_lengths(ids=ids, cameras=cameras, paths=paths)
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
    files = _files(candidates, ids, cameras, paths)
    if official is None:
        gallery = _draw(files, shots, trial)
    else:
        slots = {
            (int(cameras[rows[0]]), int(ids[rows[0]])): np.array(rows) for rows in files
        }
        _check_slots(official, slots, gallery_cameras)
        gallery = np.concatenate(
            [
                slots[slot][_official_places(official, slot, trial, shots)]
                for slot in sorted(slots)
            ]
        )
    return Trial(
        query=query,
        gallery=gallery,
        query_place=np.where(cameras[query] == 3, 2, _NOWHERE),
        gallery_place=cameras[gallery],
    )


def llcm_trial(
    *,
    ids: Int[np.ndarray, " n"],
    cameras: Int[np.ndarray, " n"],
    modality: Int[np.ndarray, " n"],
    paths: np.ndarray | None = None,
    trial: int,
    query_modality: int,
    swapped: bool = False,
) -> Trial:
    """All images of one modality against one drawn image per identity and camera.

    The gallery is drawn from the other modality: `random.seed(trial)`; then, for each
    identity and each camera in ascending order, `random.choice` of the files sorted by
    path (Zhang and Wang, CVPR 2023, `DEEN/data_manager.py: process_gallery_llcm`;
    identities are sorted as four digits, which is their order as numbers). For a query
    the gallery images of its own identity and camera are dropped
    (`AGW/eval_metrics.py: eval_llcm`). Queries left without a match are skipped.

    Args:
        ids, cameras, modality, paths: columns of the test images, in any order. Without
            paths, the files of an identity, camera and modality are taken to be sorted.
        trial: 0 to 9 in the published protocol.
        query_modality: the value of `modality` of the query images.
        swapped: exchange the two lists, so that the drawn images seek among all images
            of `query_modality`.
    """
    _check_lengths(ids=ids, cameras=cameras, modality=modality, paths=paths)
    query = np.flatnonzero(modality == query_modality)
    candidates = np.flatnonzero(modality != query_modality)
    _check_both_modalities(query, candidates, query_modality)
    gallery = _draw(_files(candidates, ids, cameras, paths), 1, trial)
    if swapped:
        query, gallery = gallery, np.concatenate(_files(query, ids, cameras, paths))
    places = np.unique(np.stack([ids, cameras]), axis=1, return_inverse=True)[1].ravel()
    return Trial(
        query=query,
        gallery=gallery,
        query_place=places[query],
        gallery_place=places[gallery],
    )


def regdb_trial(modality: Int[np.ndarray, " n"], query_modality: int) -> Trial:
    """All test images of one modality against all of the other, nothing excluded."""
    query = np.flatnonzero(modality == query_modality)
    gallery = np.flatnonzero(modality != query_modality)
    _check_both_modalities(query, gallery, query_modality)
    return Trial(
        query=query,
        gallery=gallery,
        query_place=np.full(query.size, _NOWHERE),
        gallery_place=np.zeros(gallery.size, np.int64),
    )


def _check_lengths(**columns: np.ndarray | None) -> None:
    given = {name: column for name, column in columns.items() if column is not None}
    lengths = [f"{len(column)} {name}" for name, column in given.items()]
    if len({len(column) for column in given.values()}) > 1:
        raise ValueError(
            f"{', '.join(lengths[:-1])} and {lengths[-1]}: one of each is needed for"
            " every image"
        )


def _check_both_modalities(
    query: Int[np.ndarray, " q"], gallery: Int[np.ndarray, " g"], query_modality: int
) -> None:
    if not query.size or not gallery.size:
        raise ValueError(
            f"{query.size} query images of modality {query_modality} and"
            f" {gallery.size} gallery images of the other: at least one of each is"
            " needed"
        )


def _files(
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


def _draw(files: Sequence[list[int]], shots: int, trial: int) -> Int[np.ndarray, " g"]:
    """Rows drawn from each identity and camera, in the order drawn."""
    generator = random.Random(trial)
    if shots == 1:
        return np.array([generator.choice(rows) for rows in files])
    drawn = [generator.sample(rows, min(shots, len(rows))) for rows in files]
    return np.concatenate(drawn)


def _check_slots(
    official: OfficialDraw,
    slots: Mapping[tuple[int, int], np.ndarray],
    gallery_cameras: Sequence[int],
) -> None:
    """Refuses images that the official draw was not made for."""
    remedy = (
        'use draw="agw", or give the complete test identities of SYSU-MM01 with all'
        " their files"
    )
    unknown = sorted(set(slots) - set(official.files))
    if unknown:
        camera, identity = unknown[0]
        raise ValueError(
            f"{official.source} has no images of identity {identity} in camera"
            f" {camera} ({len(unknown)} such pairs): {remedy}"
        )
    for slot, rows in slots.items():
        if len(rows) != official.files[slot]:
            camera, identity = slot
            raise ValueError(
                f"camera {camera} has {len(rows)} images of identity {identity},"
                f" {official.source} is of {official.files[slot]}: {remedy}"
            )
    identities = {identity for _, identity in slots}
    expected = {
        (camera, identity)
        for camera, identity in official.files
        if camera in gallery_cameras and (official.whole or identity in identities)
    }
    missing = sorted(expected - set(slots))
    if missing:
        camera, identity = missing[0]
        raise ValueError(
            f"no images of identity {identity} in camera {camera}, where"
            f" {official.source} has some ({len(missing)} such pairs): {remedy}"
        )


def _official_places(
    official: OfficialDraw, slot: tuple[int, int], trial: int, shots: int
) -> Int[np.ndarray, " k"]:
    rows = official.indices[slot]
    if trial >= len(rows):
        raise ValueError(
            f"trial {trial} of {official.source}, which has {len(rows)} trials (0 to"
            f" {len(rows) - 1}): ask for fewer"
        )
    taken = min(shots, official.files[slot])
    if taken > rows.shape[1]:
        raise ValueError(
            f"{shots} images per identity and camera from {official.source}, which has"
            f" {rows.shape[1]}: for multi-shot give the data set's rand_perm_cam.mat"
            " (read_permutations), or ask for single-shot only"
        )
    return rows[trial, :taken]
