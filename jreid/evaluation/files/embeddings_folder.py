"""A folder that `python -m jreid.embed` has written, with labels from elsewhere.

Its shards of Parquet hold path, modality and embedding; identity and camera of an
image come from a CSV file with the columns path, id and, if known, camera, or from a
data set.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jreid.evaluation.files import columns as of_images
from jreid.evaluation.files.feature_table import FeatureTable, checked_features
from jreid.evaluation.files.features_file import named
from jreid.evaluation.files.results_file import feature_in_words

JOB = "job.json"  # of `jreid.embed`
_SHARD = re.compile(r"embeddings-(\d+)-of-(\d+)\.parquet")
# int() would take 1_000 and other alphabets' digits too; 18 digits fit 64 bits.
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_JUNK = re.compile(r"-[0-9]+")
_LABELS = "labels are a CSV file whose first line is path,id or path,id,camera"


@dataclass(frozen=True)
class Labels:
    """Identity and camera of images by their path.

    `root` is the folder of relative paths, as of those that a folder lists; None: paths
    are compared as they are written. `about` says of which data set they are, see
    `about_scores`.
    """

    source: str  # named in errors
    ids: Mapping[str, int]
    cameras: Mapping[str, int] | None
    root: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def key(self, path: str) -> str:
        """The path under which the image of a listed path is found."""
        return path if self.root is None else str(self.root / path)


def read_labels(path: Path) -> Labels:
    """The labels of a CSV file.

    Identities named by whole numbers, all different, keep these; other names (`1_12`,
    or `0007` beside `7`) are numbered 0, 1, ... as they sort, but for negative numbers,
    which are junk: -1.

    Raises:
        OSError: the file cannot be opened.
        ValueError: another first line, a line of another length, a camera that is no
            whole number or is written in two ways, or an image listed twice.
    """
    with named(path):
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                lines = [line for line in csv.reader(file) if line]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{_LABELS}; it cannot be read: {error}") from None
        names, *rows = lines or [[]]
        names = [name.strip() for name in names]
        if names not in (["path", "id"], ["path", "id", "camera"]) or not rows:
            raise ValueError(f"{_LABELS}, with a line for each image after it")
        for row in rows:
            if len(row) != len(names):
                raise ValueError(f"{row[0]!r} has {len(row)} of {len(names)} values")
        paths, ids, *cameras = (
            [word.strip() for word in column] for column in zip(*rows, strict=True)
        )
        if len(set(paths)) < len(paths):
            twice = next(p for n, p in enumerate(paths) if p in paths[:n])
            raise ValueError(f"{twice!r} is listed twice")
        numbers = _numbers(ids)
        if numbers is None:
            people = sorted({name for name in ids if not _JUNK.fullmatch(name)})
            order = {name: number for number, name in enumerate(people)}
            numbers = [order.get(name, -1) for name in ids]
        of_camera = None
        if cameras:
            of_camera = _numbers(cameras[0])
            if of_camera is None:
                raise ValueError(
                    "camera must be a whole number in every line, of at most 18 digits "
                    "and each camera's written in one way"
                )
        return Labels(
            str(path),
            dict(zip(paths, numbers, strict=True)),
            None if of_camera is None else dict(zip(paths, of_camera, strict=True)),
        )


def _numbers(words: list[str]) -> list[int] | None:
    """None unless all are plain whole numbers, and none is written in two ways."""
    different = set(words)
    found = {word: int(word) for word in different if _NUMBER.fullmatch(word)}
    if len(found) < len(different) or len(set(found.values())) < len(found):
        return None
    return [found[word] for word in words]


def read_embeddings(folder: Path, labels: Labels) -> FeatureTable:
    """The labelled images of the folder; the number of others is in `unused`.

    Raises:
        ValueError: a missing or damaged shard, a labelled image that is not among the
            embedded ones, no pyarrow to read with.
        OSError: a shard cannot be opened.
    """
    with named(folder):
        job = read_job(folder)
        embedding = job.get("embedding", {})
        measure = of_images.measure_named(embedding.get("measure") or "cosine")
        paths, modality, rows = _read_shards(folder)
        keys = [labels.key(path) for path in paths]
        chosen = [row for row, key in enumerate(keys) if key in labels.ids]
        _check_found(keys, labels)
        found = [keys[row] for row in chosen]
        left = len(paths) - len(chosen)
        kind = str(job.get("kind", "features"))
        table = FeatureTable(
            checked_features({kind: of_images.floats(kind, rows[chosen])}, measure),
            ids=np.array([labels.ids[key] for key in found], np.int64),
            cameras=None
            if labels.cameras is None
            else np.array([labels.cameras[key] for key in found], np.int64),
            modality=of_images.modality("modality", modality[chosen]),
            paths=np.array([paths[row] for row in chosen], np.str_),
            measure=measure,
            unused=(f"{left} images that {labels.source} does not name",) * bool(left),
            model={**labels.about, **_about_model(job, embedding)},
        )
        return table.without_junk()


def _about_model(
    job: Mapping[str, Any], embedding: Mapping[str, Any]
) -> dict[str, Any]:
    """What `about_scores` is told of the network."""
    about = {name: job[name] for name in ("step", "config_hash") if name in job}
    if "flip" in embedding:
        about["flip"] = embedding["flip"]
    if {"features", "embeddings"} <= embedding.keys():
        weights = embedding["features"], embedding["embeddings"]
        about["feature"] = feature_in_words(*weights)
    return about


def _check_found(keys: list[str], labels: Labels) -> None:
    missing = sorted(set(labels.ids) - set(keys))
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(labels.ids)} images of {labels.source} have no"
            f" embedding, first {missing[0]}: embed the folder that their paths begin"
            " in, or leave out images that could not be read"
        )


def read_job(folder: Path) -> dict[str, Any]:
    """The settings of the job that wrote a folder.

    Raises ValueError if there are none, or they are damaged.
    """
    try:
        job = json.loads((folder / JOB).read_text())
        return job if isinstance(job, dict) else {}
    except FileNotFoundError:
        raise ValueError(
            f"there is no {JOB}: give a folder that `python -m jreid.embed` has written"
        ) from None
    except ValueError as error:
        raise ValueError(f"{JOB} is damaged: {error}") from None


def _read_shards(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Paths, modalities (words) and embeddings [n d] of all shards, in order."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ValueError("it is read with pyarrow: pip install pyarrow") from None
    paths: list[str] = []
    modality: list[str] = []
    blocks = []
    for shard in _shards(folder):
        try:
            table = pyarrow.parquet.read_table(shard)
            vectors = table["embedding"].combine_chunks()
            paths += table["path"].to_pylist()
            modality += table["modality"].to_pylist()
            flat = vectors.flatten().to_numpy(zero_copy_only=False)
            blocks.append(flat.reshape(len(table), vectors.type.list_size))
        except (pyarrow.ArrowException, KeyError, AttributeError) as error:
            raise ValueError(f"{shard.name} is damaged: {error}") from None
    return paths, np.array(modality, np.str_), np.concatenate(blocks)


def _shards(folder: Path) -> Iterator[Path]:
    found = {
        (int(match[1]), int(match[2])): path
        for path in folder.iterdir()
        if (match := _SHARD.fullmatch(path.name))
    }
    total = max((total for _, total in found), default=1)
    for number in range(total):
        if (number, total) not in found:
            raise ValueError(
                f"shard {number} of {total} is missing: finish the job with the command"
                " that began it"
            )
        yield found[number, total]
