"""What every data set is read into: columns of paths, ids, cameras and modality."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from absl import logging

from jreid.data.grey16 import Grey16
from jreid.shapes import Int

VISIBLE, INFRARED = 0, 1
MODALITY_NAMES = ("visible", "infrared")
_NO_NAMES: Mapping[int, str] = {}


def read_file(path: str) -> bytes:
    """The bytes of a file."""
    return pathlib.Path(path).read_bytes()


@dataclasses.dataclass(frozen=True)
class Images:
    """Columns of one list of images; row i of every column belongs to image i.

    As read, rows are sorted by camera, id and path. What an image's file holds is
    `read(path)`: bytes of the file, or of a record of a built data set, whose paths
    name no files.
    """

    paths: np.ndarray  # str [n], joined to the data set's root
    ids: Int[np.ndarray, " n"]  # the data set's own identity numbers
    cameras: Int[np.ndarray, " n"]  # the data set's own camera numbers
    modality: Int[np.ndarray, " n"]  # VISIBLE or INFRARED
    read: Callable[[str], bytes] = read_file
    grey16: Grey16 = dataclasses.field(default_factory=Grey16)  # of 16-bit ones

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, index: np.ndarray) -> "Images":
        """The rows of `index`: integers, or one boolean per row."""
        names = ("paths", "ids", "cameras", "modality")
        columns = {name: getattr(self, name)[index] for name in names}
        return dataclasses.replace(self, **columns)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The three lists of one data set (or of one split of it); `val` may be empty."""

    name: str
    train: Images
    val: Images
    test: Images
    names: Mapping[int, str] = dataclasses.field(default_factory=dict)  # of ids, if any


def drop_unpaired(
    images: Images,
    names: Mapping[int, str] = _NO_NAMES,
    modalities: Sequence[int] = (VISIBLE, INFRARED),
) -> Images:
    """`images` without identities that lack one of the modalities that are needed.

    The identities left out are named in one warning, by `names` if they have any.
    Where none is needed, as for batches blind to modality, all images stay.
    """
    every = set(images.ids.tolist())
    seen = [set(images.ids[images.modality == m].tolist()) for m in modalities]
    if unpaired := sorted(every - every.intersection(*seen)):
        logging.warning(
            "%d of %d identities lack %s images and are not trained on: %s",
            len(unpaired),
            len(every),
            " or ".join(MODALITY_NAMES[m] for m in modalities),
            some([names.get(i, i) for i in unpaired]),
        )
    return images.take(~np.isin(images.ids, unpaired))


def warn_of_empty_identities(ids: set[int], images: Images, source: object) -> None:
    """One warning that names the listed identities without any image."""
    if without := sorted(ids - set(images.ids.tolist())):
        logging.warning(
            "%d of the %d identities listed in %s have no image: %s",
            len(without),
            len(ids),
            source,
            some(without),
        )


def images_from_rows(
    rows: Iterable[tuple[str, int, int, int]],
    read: Callable[[str], bytes] = read_file,
) -> Images:
    """Columns from rows of path, id, camera, modality, in the order of `Images`."""
    ordered = sorted(rows, key=lambda row: (row[2], row[1], row[0]))
    numbers = np.array([row[1:] for row in ordered], np.int64).reshape(-1, 3)
    paths = np.array([row[0] for row in ordered], np.str_)
    return Images(paths, *numbers.T, read=read)


def some(values: list, limit: int = 10) -> str:
    """The first few of a list, for a message."""
    return ", ".join(map(str, values[:limit])) + (" ..." if len(values) > limit else "")
