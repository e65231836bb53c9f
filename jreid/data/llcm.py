"""LLCM: lists of training images, camera folders of test identities."""

import os
import pathlib
import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jreid.data.datasets import (
    INFRARED,
    MODALITY_NAMES,
    VISIBLE,
    Dataset,
    Images,
    images_from_rows,
    warn_of_empty_identities,
)
from jreid.data.image_folders import (
    PassedOver,
    entries,
    image_files,
    is_folder,
    pass_over,
)
from jreid.data.lists import (
    read_id_list,
    read_image_list,
    require_disjoint,
    require_folder,
)
from jreid.data.source import check_source, folder_of

CAMERAS = {VISIBLE: range(1, 10), INFRARED: (1, 2, 4, 5, 6, 7, 8, 9)}

_TEST_FOLDERS = {VISIBLE: "test_vis", INFRARED: "test_nir"}
_TRAIN_LISTS = {VISIBLE: "train_vis.txt", INFRARED: "train_nir.txt"}
_CAMERA_IN_NAME = re.compile(r"_c(\d+)_")
LAYOUT = """LLCM is expected as
  {root}/idx/train_vis.txt, train_nir.txt   (lines: path label)
  {root}/idx/test_id.txt   (identity numbers, commas)
  {root}/vis/, {root}/nir/   (the training images, as the lists name them)
  {root}/test_vis/cam{{1..9}}/{{0001..}}/*.jpg
  {root}/test_nir/cam{{1,2,4..9}}/{{0001..}}/*.jpg
It is requested from its authors (Y. Zhang and H. Wang) with a signed agreement:
https://github.com/ZYK100/LLCM"""


@dataclass(slots=True)
class LLCM:
    """LLCM, the low-light cross-modality set."""

    key: ClassVar[str] = "llcm"
    identified_by: ClassVar[str] = "image"  # ids of training are labels of its lists

    root: str = ""
    """The data set's folder."""
    tfds: str = ""
    """Instead of root: where `python -m jreid.prepare` wrote the data set."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        check_source(self.root, self.tfds)

    def read(self) -> Dataset:
        """The lists of images; opens no image. Errors: see `read_llcm`."""
        if self.tfds:
            from jreid.data.records import read_built  # imports TensorFlow

            return read_built(self.tfds, self.key)
        return read_llcm(folder_of(self.root))

    def has_validation(self) -> bool:
        """Whether there are validation identities: there is no such list."""
        return False

    @property
    def protocol(self) -> Any:
        """What is query, gallery, excluded and drawn."""
        from jreid.evaluation.protocols.llcm import LLCMProtocol

        return LLCMProtocol()


def read_llcm(root: str | os.PathLike[str]) -> Dataset:
    """LLCM, the low-light cross-modality set (Zhang and Wang, CVPR 2023).

    1,064 identities and 46,767 images. The training lists name 713 identities with
    16,946 visible and 13,975 near-infrared, here infrared, images; the 351 test
    identities have 8,680 and 7,166. There is no validation list. Every camera sees in
    both modalities, so visible and infrared images share the camera numbers 1 to 9
    (there is no infrared test image of camera 3), and a query's own camera is
    excluded by the protocol.

    The ids of `train` are the labels of its lists, those of `test` the identity
    numbers of its folders: the same number may mean two people. The camera of a
    training image is read from its file name (`0351_c06_s200656_f4830_nir.jpg`), and
    is 0 where the name does not tell: training does not need it.

    Args:
        root: the folder that holds `idx`, `test_vis` and `test_nir`.

    Raises:
        FileNotFoundError: a folder, list or listed image is missing, or there is no
            test image of a modality.
        ValueError: a list of another form, a path that leaves `root`, or an image in
            both training lists or in training and test.
    """
    root = pathlib.Path(root)
    layout = LAYOUT.format(root=root)
    for folder in (root, root / "idx", *(root / f for f in _TEST_FOLDERS.values())):
        require_folder(folder, layout)
    train, test = _read_train(root, layout), _read_test(root, layout)
    parts = {
        "visible training": train.paths[train.modality == VISIBLE],
        "infrared training": train.paths[train.modality == INFRARED],
        "test": test.paths,
    }
    lists = {name: set(paths.tolist()) for name, paths in parts.items()}
    require_disjoint(lists, what="images", where=root)
    return Dataset("llcm", train, train.take(np.arange(0)), test)


def _read_train(root: pathlib.Path, layout: str) -> Images:
    rows = [
        (str(root / path), label, _camera_in_name(path), modality)
        for modality, name in _TRAIN_LISTS.items()
        for path, label in read_image_list(root, root / "idx" / name, layout)
    ]
    return images_from_rows(rows)


def _camera_in_name(path: str) -> int:
    found = _CAMERA_IN_NAME.search(pathlib.PurePath(path).name)
    return int(found[1]) if found else 0


def _read_test(root: pathlib.Path, layout: str) -> Images:
    file = root / "idx" / "test_id.txt"
    ids = read_id_list(file, layout)
    rows, passed = [], PassedOver()
    for modality, folder in _TEST_FOLDERS.items():
        pass_over(root / folder, passed, {f"cam{c}" for c in CAMERAS[modality]})
        for camera in CAMERAS[modality]:
            place = root / folder / f"cam{camera}"
            pass_over(place, passed, {e.name for e in entries(place) if is_folder(e)})
            rows += [
                (str(path), identity, camera, modality)
                for identity in sorted(ids)
                for path in image_files(place / f"{identity:04d}", passed)
            ]
    passed.warn(root, layout)
    for modality, folder in _TEST_FOLDERS.items():
        if not any(row[3] == modality for row in rows):
            raise FileNotFoundError(
                f"{root / folder} has no {MODALITY_NAMES[modality]} image of any of "
                f"the {len(ids)} identities in {file}.\n{layout}"
            )
    images = images_from_rows(rows)
    warn_of_empty_identities(ids, images, file)
    return images
