"""SYSU-MM01: camera folders and lists of identities."""

import os
import pathlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from absl import logging

from jreid.data.datasets import (
    INFRARED,
    MODALITY_NAMES,
    VISIBLE,
    Dataset,
    Images,
    images_from_rows,
    some,
    warn_of_empty_identities,
)
from jreid.data.image_folders import (
    PassedOver,
    entries,
    image_files,
    is_folder,
    pass_over,
)
from jreid.data.lists import read_id_list, require_disjoint, require_folder
from jreid.data.source import SYNVI_TOO, check_source, folder_of
from jreid.data.synvi import synvi_root

CAMERAS = {1: VISIBLE, 2: VISIBLE, 3: INFRARED, 4: VISIBLE, 5: VISIBLE, 6: INFRARED}

LAYOUT = """SYSU-MM01 is expected as
  {root}/cam{{1..6}}/{{0001..0533}}/{{0001..}}.jpg
  {root}/exp/train_id.txt, val_id.txt, test_id.txt   (identity numbers, commas)
It is requested from its authors with a signed agreement:
https://github.com/wuancong/SYSU-MM01"""


@dataclass(slots=True)
class SysuMM01:
    """SYSU-MM01, or any set in its layout; the embedded set SynVI is one."""

    key: ClassVar[str] = "sysu_mm01"
    identified_by: ClassVar[str] = "number"

    root: str = ""
    """The data set's folder, or synvi for the embedded set."""
    tfds: str = ""
    """Instead of root: where `python -m jreid.prepare` wrote the data set."""
    train_on_val: bool = True
    """Train on the 99 validation identities too, beside the 296 for training."""

    def check(self) -> None:
        """Raises ValueError for fields that do not go together."""
        check_source("" if self.root == "synvi" else self.root, self.tfds)

    def read(self) -> Dataset:
        """The lists of images; opens no image. Errors: see `read_sysu_mm01`."""
        embedded = self.root == "synvi"
        if self.tfds:
            from jreid.data.records import read_built  # imports TensorFlow

            name = "synvi" if embedded else self.key
            return read_built(self.tfds, name, train_on_val=self.train_on_val)
        root = synvi_root() if embedded else folder_of(self.root, SYNVI_TOO)
        return read_sysu_mm01(root, train_on_val=self.train_on_val)

    def has_validation(self) -> bool:
        """Whether `val` can be evaluated on during training."""
        return not self.train_on_val

    @property
    def protocol(self) -> Any:
        """What is query, gallery, excluded and drawn."""
        from jreid.evaluation.protocols.sysu_mm01 import SysuProtocol

        return SysuProtocol()


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
    layout = LAYOUT.format(root=root)
    require_folder(root, layout)
    lists = {
        part: read_id_list(root / "exp" / f"{part}_id.txt", layout)
        for part in ("train", "val", "test")
    }
    require_disjoint(lists, what="identities", where=root / "exp")
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
    return Dataset("sysu_mm01", parts["train"], parts["val"], parts["test"])


def _read_camera_folders(root: pathlib.Path, ids: set[int], layout: str) -> Images:
    """Every image of `ids` below the camera folders that exist."""
    present = [c for c in CAMERAS if (root / f"cam{c}").is_dir()]
    for modality, name in enumerate(MODALITY_NAMES):
        cameras = [c for c, m in CAMERAS.items() if m == modality]
        if not set(cameras) & set(present):
            folders = " nor ".join(f"cam{c}" for c in cameras)
            raise FileNotFoundError(
                f"{root} has no {name} camera: neither {folders} is there.\n{layout}"
            )
    if absent := sorted(set(CAMERAS) - set(present)):
        logging.warning("%s has no folder for camera %s", root, some(absent))
    passed = PassedOver()
    pass_over(root, passed, {"exp", *(f"cam{camera}" for camera in CAMERAS)})
    for camera in present:
        folder = root / f"cam{camera}"
        pass_over(folder, passed, {e.name for e in entries(folder) if is_folder(e)})
    rows = [
        (str(path), identity, camera, CAMERAS[camera])
        for camera in present
        for identity in sorted(ids)
        for path in image_files(root / f"cam{camera}" / f"{identity:04d}", passed)
    ]
    passed.warn(root, layout)
    images = images_from_rows(rows)
    warn_of_empty_identities(ids, images, root / "exp")
    return images
