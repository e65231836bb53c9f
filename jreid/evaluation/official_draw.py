"""The official galleries of SYSU-MM01: the shipped table, and the user's own file."""

import functools
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jreid.evaluation.files.matlab_file import read_matlab
from jreid.shapes import Int

_SHIPPED = "sysu_mm01_official.csv"
_VARIABLE = "rand_perm_cam"


@dataclass(frozen=True)
class OfficialDraw:
    """For each (camera, identity), which files each trial takes, in order.

    Attributes:
        indices: 0-based places among the files sorted by name, a row for each trial.
        files: number of files that the places count through.
        whole: the identities are one test set, of which none may be missing.
        source: named in errors.
    """

    indices: Mapping[tuple[int, int], Int[np.ndarray, "trials _"]]
    files: Mapping[tuple[int, int], int]
    whole: bool
    source: str


@functools.cache
def shipped_draw() -> OfficialDraw:
    """The ten official single-shot galleries of SYSU-MM01's 96 test identities.

    A table in this package gives, for the cameras 1, 2, 4 and 5 and each identity they
    saw, the number of files and the file each trial takes. These are the first indices
    of the data set's `rand_perm_cam.mat` (Wu et al., ICCV 2017); the multi-shot
    galleries need that file itself, see `read_permutations`.
    """
    folder = importlib.resources.files("jreid.evaluation")
    with (folder / _SHIPPED).open(encoding="utf-8") as file:
        table = np.loadtxt(file, np.int64, delimiter=",", skiprows=1)
    keys = [(int(camera), int(identity)) for camera, identity in table[:, :2]]
    return OfficialDraw(
        indices={key: row[3:, None] for key, row in zip(keys, table, strict=True)},
        files={key: int(row[2]) for key, row in zip(keys, table, strict=True)},
        whole=True,
        source="the shipped table of official single-shot galleries",
    )


def read_permutations(path: str | Path) -> OfficialDraw:
    """Reads the `rand_perm_cam.mat` that is released with SYSU-MM01's evaluation code.

    The file (MATLAB version 5) holds the variable `rand_perm_cam`: a cell for each
    camera, in it a cell for each identity from 1 on, in it a matrix with a row for each
    trial, a permutation of the 1-based numbers of that identity's files. Released code
    (`get_testing_set.m`) takes the first file of a trial's row for single-shot and the
    first ten for multi-shot. The file is not part of this package; the structure is
    read from the released code, and checked here value by value.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not a MATLAB file of this structure.
    """
    path = Path(path)
    with path.open("rb"):
        pass  # a missing file is an error of its own
    remedy = (
        "give the rand_perm_cam.mat of SYSU-MM01's evaluation code, in its folder"
        " evaluation/data_split"
    )
    try:
        content = read_matlab(path)
    except Exception as error:  # SciPy's readers raise whatever a damaged byte causes
        raise ValueError(
            f"{path} cannot be read as a MATLAB version 5 file ({error}): {remedy}"
        ) from error
    if _VARIABLE not in content:
        raise ValueError(f"{path} holds no variable {_VARIABLE!r}: {remedy}")
    cameras = content[_VARIABLE]
    if cameras.dtype != object or not cameras.size:
        raise ValueError(
            f"{_VARIABLE} in {path} is not a cell array over cameras: {remedy}"
        )
    indices = {}
    for camera, identities in enumerate(cameras.ravel(), start=1):
        if not isinstance(identities, np.ndarray) or identities.dtype != object:
            raise ValueError(
                f"camera {camera} of {_VARIABLE} in {path} is not a cell array over"
                f" identities: {remedy}"
            )
        for identity, numbers in enumerate(identities.ravel(), start=1):
            if np.size(numbers):
                place = f"camera {camera}, identity {identity} of {path}"
                indices[camera, identity] = _permutations(numbers, place, remedy)
    return OfficialDraw(
        indices=indices,
        files={key: rows.shape[1] for key, rows in indices.items()},
        whole=False,
        source=str(path),
    )


def _permutations(
    numbers: np.ndarray, place: str, remedy: str
) -> Int[np.ndarray, "trials files"]:
    """0-based permutations of one identity's files."""
    if numbers.ndim == 2 and numbers.dtype.kind in "iuf":
        expected = np.arange(1, numbers.shape[1] + 1)
        if (np.sort(numbers, axis=1) == expected).all():
            return numbers.astype(np.int64) - 1
    raise ValueError(
        f"{place}: no matrix of trials x files whose rows are permutations of 1, 2,"
        f" ...: {remedy}"
    )


def official_gallery(
    official: OfficialDraw,
    slots: Mapping[tuple[int, int], np.ndarray],
    cameras: Sequence[int],
    trial: int,
    shots: int,
) -> Int[np.ndarray, " g"]:
    """The rows that a trial draws, by camera and identity.

    Args:
        slots: for each (camera, identity), the rows of its files sorted by name.
        cameras: of the gallery.
        trial: 0 to 9 in the published protocol.
        shots: files of each slot.

    Raises:
        ValueError: the draw is not of these images, or does not go so far.
    """
    _check_slots(official, slots, cameras)
    return np.concatenate(
        [
            slots[slot][_official_places(official, slot, trial, shots)]
            for slot in sorted(slots)
        ]
    )


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
