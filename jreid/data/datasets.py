"""Published data set layouts read into arrays of paths, ids and cameras."""

import dataclasses
import os
import pathlib

import numpy as np
from absl import logging
from jaxtyping import Int

VISIBLE, INFRARED = 0, 1
MODALITY_NAMES = ("visible", "infrared")

SYSU_MM01_CAMERAS = {1: VISIBLE, 2: VISIBLE, 3: INFRARED}
SYSU_MM01_CAMERAS |= {4: VISIBLE, 5: VISIBLE, 6: INFRARED}
REGDB_TRIALS = range(1, 11)

_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_SYSU_MM01_LAYOUT = """SYSU-MM01 is expected as
  {root}/cam{{1..6}}/{{0001..0533}}/{{0001..}}.jpg
  {root}/exp/train_id.txt, val_id.txt, test_id.txt   (identity numbers, commas)
It is requested from its authors with a signed agreement:
https://github.com/wuancong/SYSU-MM01"""
_REGDB_LAYOUT = """RegDB is expected as
  {root}/Visible/, {root}/Thermal/   (images, one folder per identity)
  {root}/idx/{{train,test}}_{{visible,thermal}}_{{1..10}}.txt   (lines: path label)
It is requested from its authors (DBPerson-Recog-DB1) with a signed agreement:
http://dm.dongguk.edu/link.html"""


@dataclasses.dataclass(frozen=True)
class Images:
    """Columns of one list of images; row i of every column belongs to image i.

    As read, rows are sorted by (camera, id, file name).
    """

    paths: np.ndarray  # str [n], joined to the data set's root
    ids: Int[np.ndarray, " n"]  # the data set's own identity numbers
    cameras: Int[np.ndarray, " n"]  # the data set's own camera numbers
    modality: Int[np.ndarray, " n"]  # VISIBLE or INFRARED

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: np.ndarray) -> "Images":
        """The rows of `index`: integers, or one boolean per row."""
        columns = (self.paths, self.ids, self.cameras, self.modality)
        return Images(*(column[index] for column in columns))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The three lists of one data set (or of one split of it); `val` may be empty."""

    name: str
    train: Images
    val: Images
    test: Images


def read_sysu_mm01(
    root: str | os.PathLike[str], *, train_on_val: bool = True
) -> Dataset:
    """SYSU-MM01 (Wu et al., ICCV 2017), or any set in its layout.

    Cameras 1, 2, 4, 5 are visible, 3 and 6 infrared. Of 491 identities 296 are for
    training, 99 for validation, 96 for testing. The usual training list is
    training + validation: 395 identities, 22,258 visible and 11,909 infrared images
    (the 296 alone: 20,284 and 9,929). The test identities give 3,803 infrared
    queries and, one image per identity and camera, a gallery of 301.

    Not every identity was seen by every camera, and a small set may lack cameras, as
    long as it has a visible and an infrared one. Identities of the lists without any
    image are left out with a warning.

    Args:
        root: the folder that holds `cam1` ... `cam6` and `exp`.
        train_on_val: train on training + validation identities; if False the
            training list holds the training identities only. `val` is always the
            validation identities.

    Raises:
        FileNotFoundError: a folder or list is missing, or a list has no image.
        ValueError: a list is not made of integers, or lists overlap.
    """
    root = pathlib.Path(root)
    layout = _SYSU_MM01_LAYOUT.format(root=root)
    _require_folder(root, layout)
    lists = {
        part: _read_id_list(root / "exp" / f"{part}_id.txt", layout)
        for part in ("train", "val", "test")
    }
    _require_disjoint(lists, what="identities", where=root / "exp")
    images = _read_camera_folders(root, set().union(*lists.values()), layout)
    if train_on_val:
        lists["train"] = lists["train"] | lists["val"]
    parts = {
        part: images.take(np.isin(images.ids, sorted(ids)))
        for part, ids in lists.items()
    }
    for part in ("train", "test"):
        if not len(parts[part]):
            raise FileNotFoundError(
                f"{root} has no image of any of the {len(lists[part])} identities "
                f"in exp/{part}_id.txt.\n{layout}"
            )
    return Dataset("sysu_mm01", **parts)


def read_regdb(root: str | os.PathLike[str], *, trial: int) -> Dataset:
    """One of the ten splits of RegDB (Nguyen et al., Sensors 2017).

    412 identities with 10 visible (camera 1) and 10 thermal, here infrared
    (camera 2), images each. A trial has 206 training and 206 test identities: 2,060
    images per modality and list. There is no validation list. The ids are the labels
    of the lists (0 to 205), so id 0 of `train` and id 0 of `test` are two people.

    Args:
        root: the folder that holds `Visible`, `Thermal` and `idx`.
        trial: 1 to 10. The published score is the mean over all ten, one model each.

    Raises:
        FileNotFoundError: a folder, list or listed image is missing.
        ValueError: another trial, a line that is not `path label`, a path that leaves
            `root`, or an image in both lists.
    """
    root = pathlib.Path(root)
    layout = _REGDB_LAYOUT.format(root=root)
    if trial not in REGDB_TRIALS:
        raise ValueError(f"trial is {trial}; RegDB has the trials 1 to 10")
    for folder in (root, root / "Visible", root / "Thermal", root / "idx"):
        _require_folder(folder, layout)
    train, test = (
        _read_regdb_part(root, part, trial, layout) for part in ("train", "test")
    )
    lists = {"train": set(train.paths.tolist()), "test": set(test.paths.tolist())}
    _require_disjoint(lists, what="images", where=root / "idx")
    return Dataset("regdb", train, train.take(np.arange(0)), test)


def drop_unpaired(images: Images) -> Images:
    """`images` without identities seen in one modality only, which cannot be paired.

    The identities left out are named in one warning.
    """
    seen = [set(images.ids[images.modality == m].tolist()) for m in (0, 1)]
    unpaired = sorted(seen[VISIBLE] ^ seen[INFRARED])
    if unpaired:
        logging.warning(
            "%d of %d identities have images of one modality only and are not "
            "trained on: %s",
            len(unpaired),
            len(seen[VISIBLE] | seen[INFRARED]),
            _some(unpaired),
        )
    return images.take(~np.isin(images.ids, unpaired))


def _read_camera_folders(root: pathlib.Path, ids: set[int], layout: str) -> Images:
    """Every image of `ids` below the camera folders that exist."""
    present = [c for c in SYSU_MM01_CAMERAS if (root / f"cam{c}").is_dir()]
    for modality, name in enumerate(MODALITY_NAMES):
        cameras = [c for c, m in SYSU_MM01_CAMERAS.items() if m == modality]
        if not set(cameras) & set(present):
            folders = " nor ".join(f"cam{c}" for c in cameras)
            raise FileNotFoundError(
                f"{root} has no {name} camera: neither {folders} is there.\n{layout}"
            )
    if absent := sorted(set(SYSU_MM01_CAMERAS) - set(present)):
        logging.warning("%s has no folder for camera %s", root, _some(absent))
    rows = [
        (str(path), identity, camera, SYSU_MM01_CAMERAS[camera])
        for camera in present
        for identity in sorted(ids)
        for path in _image_files(root / f"cam{camera}" / f"{identity:04d}")
    ]
    if without := sorted(ids - {row[1] for row in rows}):
        logging.warning(
            "%d of the %d identities listed in %s have no image: %s",
            len(without),
            len(ids),
            root / "exp",
            _some(without),
        )
    return _images_from_rows(rows)


def _image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Image files of a folder by name; none where the folder does not exist."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [
        folder / name
        for name in names
        if os.path.splitext(name)[1].lower() in _IMAGE_SUFFIXES
        and not name.startswith(".")
    ]


def _read_id_list(file: pathlib.Path, layout: str) -> set[int]:
    """Identity numbers separated by commas or white space."""
    words = _read_text(file, layout).replace(",", " ").split()
    try:
        return {int(word) for word in words}
    except ValueError as error:
        raise ValueError(
            f"{file} must hold identity numbers separated by commas: {error}"
        ) from None


def _read_regdb_part(root: pathlib.Path, part: str, trial: int, layout: str) -> Images:
    """The visible and infrared list of `part`; the infrared camera is number 2."""
    rows = []
    for modality, name in enumerate(("visible", "thermal")):
        file = root / "idx" / f"{part}_{name}_{trial}.txt"
        lines = _read_text(file, layout).splitlines()
        listed = [
            _parse_path_and_label(line, f"{file}, line {number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
        if not listed:
            raise ValueError(f"{file} lists no image.\n{layout}")
        for path, label in sorted(listed, key=lambda row: (row[1], row[0])):
            if not (root / path).is_file():
                raise FileNotFoundError(
                    f"{root / path}, listed in {file}, is missing.\n{layout}"
                )
            rows.append((str(root / path), label, modality + 1, modality))
    return _images_from_rows(rows)


def _parse_path_and_label(line: str, where: str) -> tuple[str, int]:
    path, _, label = line.strip().rpartition(" ")
    if not path or not label.isdecimal():
        raise ValueError(f"{where} must be `path label`, got {line!r}")
    # A list is data from elsewhere: it may only name images of this data set.
    if pathlib.PurePath(path).is_absolute() or ".." in pathlib.PurePath(path).parts:
        raise ValueError(
            f"{where}: {path!r} leads out of the data set's folder; paths must be "
            "relative to it and without `..`"
        )
    return path.strip(), int(label)


def _images_from_rows(rows: list[tuple[str, int, int, int]]) -> Images:
    """Columns from rows of path, id, camera, modality."""
    numbers = np.array([row[1:] for row in rows], np.int64).reshape(-1, 3)
    return Images(np.array([row[0] for row in rows], np.str_), *numbers.T)


def _read_text(file: pathlib.Path, layout: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"the list {file} is missing.\n{layout}") from None


def _require_folder(folder: pathlib.Path, layout: str) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} is missing.\n{layout}")


def _require_disjoint(lists: dict[str, set], *, what: str, where: pathlib.Path) -> None:
    """No two lists may share a member: a model would be tested on its training."""
    names = list(lists)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if shared := sorted(lists[first] & lists[second]):
                raise ValueError(
                    f"the {first} and {second} lists in {where} share {len(shared)} "
                    f"{what}, among them {_some(shared)}; they must not overlap"
                )


def _some(values: list, limit: int = 10) -> str:
    """The first few of a list, for a message."""
    return ", ".join(map(str, values[:limit])) + (" ..." if len(values) > limit else "")
