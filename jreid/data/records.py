"""A data set that TFDS has built, read as the Images that its folder would give."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from jreid.data.datasets import Dataset, images_from_rows

VERSION = "1.0.0"
LISTS = ("train", "val", "test")  # the splits, in TFDS's word; empty ones are left out

_CHUNK = 1000  # records read at once while their columns are collected


def read_built(
    folder: str | os.PathLike[str],
    name: str,
    *,
    split: int = 1,
    train_on_val: bool = True,
) -> Dataset:
    """What the reader of a data set gives, from TFDS's files instead of its folder.

    Same images, same order, same names below the data set's folder; the paths begin
    with the folder of the built data set and can be opened with `Images.read` only.
    Every record is read once, to learn its columns.

    Args:
        folder: the `data_dir` given to TFDS.
        name: a key of `jreid.data.builders.BUILDERS`.
        split: of RegDB.
        train_on_val: of SYSU-MM01 and SynVI, see `read_sysu_mm01`.

    Raises:
        FileNotFoundError: it has not been built there.
        ValueError: it has been built without random access, or is damaged.
    """
    root = built_folder(folder, name, split)
    if not is_built(root):
        source = "" if name == "synvi" else " --root FOLDER"
        raise FileNotFoundError(
            f"{root} is no data set that TFDS has built; build it with\n"
            f"  python -m jreid.prepare --dataset {name}{source} --out {folder}"
        )
    builder: Any = tfds.builder_from_directory(str(root))
    records = _Records()
    try:
        rows = {
            part: list(records.add(builder.as_data_source(part, **_RAW), root))
            for part in LISTS
            if part in builder.info.splits
        }
    except NotImplementedError:
        raise ValueError(
            f"{root} is in the format {builder.info.file_format}, without "
            "random access; build it anew in another folder with `python -m "
            'jreid.prepare`, or with TFDS\'s file_format="array_record"'
        ) from None
    except (RuntimeError, IndexError, tf.errors.OpError) as error:
        raise ValueError(f"{root} is damaged: {error}") from error
    if train_on_val:
        rows["train"] = rows["train"] + rows.get("val", [])
    parts = {
        part: images_from_rows(rows.get(part, []), read=records.read) for part in LISTS
    }
    return Dataset(name, parts["train"], parts["val"], parts["test"])


def is_built(folder: str | os.PathLike[str]) -> bool:
    """Whether a data set is there; unlike TFDS's check, without a warning if not."""
    return (pathlib.Path(folder) / "dataset_info.json").is_file()


def built_folder(
    folder: str | os.PathLike[str], name: str, split: int = 1
) -> pathlib.Path:
    """Where TFDS builds a data set, if `folder` is its `data_dir`."""
    inner = pathlib.Path(name, split_name(split) if name == "regdb" else "", VERSION)
    return pathlib.Path(folder).expanduser().absolute() / inner


def split_name(split: int) -> str:
    """TFDS's config of a split of RegDB; "trial" is what built data sets have."""
    return f"trial_{split}"


_RAW = {"deserialize_method": tfds.decode.DeserializeMethod.RAW_BYTES}


class _Records:
    """Where the contents of each path are: a record of a data source."""

    def __init__(self):
        self._places = {}

    def add(self, source, root: pathlib.Path) -> Iterator[tuple[str, int, int, int]]:
        """Rows of path, id, camera and modality of all records of a data source."""
        for start in range(0, len(source), _CHUNK):
            numbers = range(start, min(start + _CHUNK, len(source)))
            chunk = source.__getitems__(numbers)
            for number, record in zip(numbers, chunk, strict=True):
                feature = tf.train.Example.FromString(record).features.feature
                name = feature["path"].bytes_list.value[0].decode()
                id_, camera, modality = (
                    feature[key].int64_list.value[0]
                    for key in ("id", "camera", "modality")
                )
                path = str(root / name)
                self._places[path] = source, number
                yield path, id_, camera, modality

    def read(self, path: str) -> bytes:
        """The bytes of the image's file."""
        source, number = self._places[path]
        example = tf.train.Example.FromString(source[number])
        return example.features.feature["image"].bytes_list.value[0]
