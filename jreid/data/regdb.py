"""RegDB: lists of images for each of ten splits."""

import os
import pathlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jreid.data.datasets import Dataset, Images, images_from_rows
from jreid.data.lists import read_image_list, require_disjoint, require_folder
from jreid.data.source import check_source, folder_of
from jreid.evaluation.protocols.regdb import SPLITS, RegDBProtocol

LAYOUT = """RegDB is expected as
  {root}/Visible/, {root}/Thermal/   (images, one folder per identity)
  {root}/idx/{{train,test}}_{{visible,thermal}}_{{1..10}}.txt   (lines: path label)
It is requested from its authors (DBPerson-Recog-DB1) with a signed agreement:
http://dm.dongguk.edu/link.html"""


@dataclass(slots=True)
class RegDB:
    """RegDB, one of its ten splits or all in turn."""

    key: ClassVar[str] = "regdb"
    identified_by: ClassVar[str] = "image"  # ids of training are labels of its lists

    root: str = ""
    """The data set's folder."""
    tfds: str = ""
    """Instead of root: where `python -m jreid.prepare` wrote the data set."""
    split: int = 1
    """1 to 10; 0: all ten, one run each."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        if self.split not in (0, *SPLITS):
            raise ValueError(f"split is {self.split}; allowed is 1 to 10, or 0 for all")
        check_source(self.root, self.tfds)

    def read(self) -> Dataset:
        """The lists of images; opens no image. Errors: see `read_regdb`."""
        if self.tfds:
            from jreid.data.records import read_built  # imports TensorFlow

            return read_built(self.tfds, self.key, split=self.split)
        return read_regdb(folder_of(self.root), split=self.split)

    def has_validation(self) -> bool:
        """Whether there are validation identities: there is no such list."""
        return False

    @property
    def protocol(self) -> RegDBProtocol:
        """What is query, gallery, excluded and drawn."""
        return RegDBProtocol(self.split)


def read_regdb(root: str | os.PathLike[str], *, split: int) -> Dataset:
    """One of the ten splits of RegDB (Nguyen et al., Sensors 2017).

    412 identities with 10 visible (camera 1) and 10 thermal, here infrared
    (camera 2), images each. A split has 206 training and 206 test identities: 2,060
    images per modality and list. There is no validation list. The ids are the labels
    of the lists (0 to 205), so id 0 of `train` and id 0 of `test` are two people.

    Args:
        root: the folder that holds `Visible`, `Thermal` and `idx`.
        split: 1 to 10. The published score is the mean over all ten, one model each.

    Raises:
        FileNotFoundError: a folder, list or listed image is missing.
        ValueError: another split, a line that is not `path label`, a path that leaves
            `root`, or an image in both lists.
    """
    root = pathlib.Path(root)
    layout = LAYOUT.format(root=root)
    if split not in SPLITS:
        raise ValueError(f"split is {split}; RegDB has the splits 1 to 10")
    for folder in (root, root / "Visible", root / "Thermal", root / "idx"):
        require_folder(folder, layout)
    train, test = (_read_part(root, part, split, layout) for part in ("train", "test"))
    lists = {"train": set(train.paths.tolist()), "test": set(test.paths.tolist())}
    require_disjoint(lists, what="images", where=root / "idx")
    return Dataset("regdb", train, train.take(np.arange(0)), test)


def _read_part(root: pathlib.Path, part: str, split: int, layout: str) -> Images:
    """The visible and infrared list of `part`; the infrared camera is number 2."""
    rows = []
    for modality, name in enumerate(("visible", "thermal")):
        file = root / "idx" / f"{part}_{name}_{split}.txt"
        rows += [
            (str(root / path), label, modality + 1, modality)
            for path, label in read_image_list(root, file, layout)
        ]
    return images_from_rows(rows)
