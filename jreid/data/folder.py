"""A custom data set: folders of visible and infrared images, or a CSV file."""

import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from absl import logging

from jreid.data.csv_file import read_csv
from jreid.data.datasets import MODALITY_NAMES, Dataset, some
from jreid.data.entries import SPLITS, Entry, SplitBy, dataset_from_entries
from jreid.data.image_folders import (
    PassedOver,
    composed,
    entries,
    image_files,
    is_folder,
    pass_over,
)
from jreid.data.lists import require_folder

_LAYOUT = """A custom data set is a CSV file, or the folders
  {root}/visible/NAME/*.jpg, {root}/infrared/NAME/*.jpg
with the same NAME for the same person; to choose yourself who is tested on,
  {root}/train/visible/NAME/*.jpg, {root}/train/infrared/NAME/*.jpg
  {root}/test/visible/NAME/*.jpg,  {root}/test/infrared/NAME/*.jpg
and, if there are any, the same in {root}/val"""


@dataclass(slots=True)
class Folder:
    """One's own images: folders of visible and infrared ones, or a CSV file."""

    key: ClassVar[str] = "folder"
    identified_by: ClassVar[str] = "name"

    root: str = ""
    """The folder, or a CSV file."""
    test_fraction: float = 0.5
    """Of the identities, to test on where they are not split; 0: train on all."""
    split_by: SplitBy = field(default="name", metadata={"absent": "count"})
    """By name: who is tested on stays so when people are added; count: as before."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        if not 0 <= self.test_fraction <= 1:
            raise ValueError(
                f"test_fraction is {self.test_fraction}; allowed is 0 to 1"
            )

    def read(self) -> Dataset:
        """The lists of images; opens no image. Errors: see `read_folder`."""
        if not self.root:
            raise ValueError(
                "data.root is empty; name the folder, or the CSV file, with "
                "--config.data.root=FOLDER"
            )
        root = pathlib.Path(self.root).expanduser()
        return read_folder(
            root, test_fraction=self.test_fraction, split_by=self.split_by
        )

    def has_validation(self) -> bool:
        """Whether there may be validation identities: where the folder has some."""
        return True

    @property
    def protocol(self) -> Any:
        """What is query, gallery, excluded and drawn."""
        from jreid.evaluation.protocols.custom import CustomProtocol

        return CustomProtocol()


def read_folder(
    root: str | os.PathLike[str],
    *,
    test_fraction: float = 0.5,
    split_by: SplitBy = "name",
) -> Dataset:
    """One's own images: folders of visible and infrared ones, or a CSV file.

    Folders are named by modality and person, `visible/ada/*.jpg` and
    `infrared/ada/*.jpg`, below `train`, `test` (and `val`) where the user has split
    the people; else see `entries.split_identities`. The columns of a CSV file are
    `path,id,camera,modality,split`, see `csv_file.read_csv`. The names of the people
    are kept in `Dataset.names`, in Unicode's composed form: macOS writes another.

    Args:
        root: the folder, or a file that ends with `.csv`.
        test_fraction: of the identities to test on, in [0, 1], where no split is
            given; at least one is trained on and, but for a fraction of 0, one tested
            on.
        split_by: see `entries.split_identities`.

    Raises:
        FileNotFoundError: a folder, the file or a listed image is missing.
        ValueError: a modality, or a split, has no image; fewer than two identities
            have images of both modalities; an identity is in two splits; or an error
            in the CSV file, with its line.
    """
    root = pathlib.Path(root)
    read = read_csv if root.suffix.lower() == ".csv" else _read_tree
    return dataset_from_entries(
        read(root), source=str(root), test_fraction=test_fraction, split_by=split_by
    )


def _read_tree(root: pathlib.Path) -> list[Entry]:
    layout = _LAYOUT.format(root=root)
    require_folder(root, layout)
    splits = [split for split in SPLITS if (root / split).is_dir()] or [""]
    if splits == [""]:
        parts = [root]
    elif any((root / name).is_dir() for name in MODALITY_NAMES):
        raise ValueError(
            f"{root} has {some(splits)} beside visible or infrared; use one layout.\n"
            f"{layout}"
        )
    else:
        parts = [root / split for split in splits]
    found, passed = [], PassedOver()
    pass_over(root, passed, {*(splits if splits != [""] else MODALITY_NAMES)})
    for split, part in zip(splits, parts, strict=True):
        if part != root:
            pass_over(part, passed, {*MODALITY_NAMES})
        for modality, name in enumerate(MODALITY_NAMES):
            require_folder(part / name, layout)
            rows = _read_people(part / name, modality, split, passed)
            if not rows:
                raise ValueError(
                    f"{part / name} has no image in a folder of a person.\n{layout}"
                )
            found += rows
    passed.warn(root, layout)
    return found


def _read_people(
    folder: pathlib.Path, modality: int, split: str, passed: PassedOver
) -> list[Entry]:
    """The images in the folders of people below `folder`."""
    rows: list[Entry] = []
    people = [entry.name for entry in entries(folder) if is_folder(entry)]
    pass_over(folder, passed, {*people})
    files = {name: image_files(folder / name, passed) for name in people}
    if empty := [str(folder / name) for name in people if not files[name]]:
        logging.warning("%d folders hold no image: %s", len(empty), some(empty))
    _warn_of_namesakes(folder, people)
    for name in people:
        who = composed(name)
        rows += [Entry(str(path), who, modality, "", split) for path in files[name]]
    return rows


def _warn_of_namesakes(folder: pathlib.Path, people: Sequence[str]) -> None:
    """Two folders whose names look alike are one person's."""
    names = [composed(name) for name in people]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        logging.warning(
            "%s has two folders for each of %d names, which differ in their Unicode "
            "form only; both are taken as one person's: %s",
            folder,
            len(twice),
            some(twice),
        )
