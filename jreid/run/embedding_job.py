"""A large embedding job: a list of images to shards of Parquet, restartable.

The list is a text file, an image per line; a shard is a run of its lines. A finished
shard is a file under its final name, so a restart does the shards that are missing, and
several processes share a job by taking every n-th shard. Only one shard's lines and
vectors are in memory, however long the list.
"""

import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jreid.data.image_folders import PassedOver, is_folder, is_image
from jreid.data.image_folders import entries as image_entries
from jreid.data.modality_words import MODALITY_WORDS
from jreid.run.workdir import lock, replacing, write_text
from jreid.shapes import Float, UInt8

MODALITIES = ("visible", "infrared")
JOB, LIST, ERRORS = "job.json", "images.txt", "errors.parquet"
CONTENT = "content_sha256"  # of the images, in job.json
READ_WHOLE = 10_000  # images of which a job knows every byte

# Paths to pixels, and per path why it is unreadable or None.
Read = Callable[[list[str]], tuple[UInt8[np.ndarray, "n h w 3"], list[str | None]]]
# Pixels of one modality to vectors.
Embed = Callable[[UInt8[np.ndarray, "n h w 3"], str], Float[np.ndarray, "n d"]]


@dataclass(frozen=True)
class ImageList:
    """A list file's lines cut into shards; only the shards' beginnings are kept.

    A line is `path`, or `path<TAB>modality`. Relative paths belong to the list's own
    `root`.
    """

    file: Path
    root: Path
    modality: str  # of lines without one; "" if each must have its own
    shard_size: int
    starts: tuple[int, ...]  # byte at which each shard begins
    images: int
    digest: str  # SHA-256 of the file

    def __len__(self) -> int:
        """Number of shards."""
        return len(self.starts)

    def rows(self, shard: int) -> list[tuple[str, str]]:
        """Path as listed, and modality, of the shard's images."""
        with open(self.file, "rb") as file:
            file.seek(self.starts[shard])
            lines = itertools.islice(file, self.shard_size)
            return [_parse(line, self.modality) for line in lines]

    def count(self, shard: int) -> int:
        """Number of images in the shard."""
        return min(self.shard_size, self.images - shard * self.shard_size)


def index_list(
    file: Path, *, root: Path, modality: str = "", shard_size: int = 8192
) -> ImageList:
    """Reads a list once from end to end, keeping one number per shard.

    Args:
        file: the list, UTF-8.
        root: folder of relative paths.
        modality: "visible" or "infrared", of lines that do not say; or "".
        shard_size: images per shard.

    Raises:
        ValueError: an empty list; or a line without a path, with another modality, or
            with none where `modality` is "" either; names the line.
        OSError: the list cannot be read.
    """
    if shard_size < 1:
        raise ValueError(f"the shard size is {shard_size}; it must be at least 1")
    starts, place, number, digest = [], 0, 0, hashlib.sha256()
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                _parse(line, modality)
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from None
            if (number - 1) % shard_size == 0:
                starts.append(place)
            place += len(line)
            digest.update(line)
    if not number:
        raise ValueError(f"{file} lists no image")
    return ImageList(
        file, root, modality, shard_size, tuple(starts), number, digest.hexdigest()
    )


def _parse(line: bytes, modality: str) -> tuple[str, str]:
    try:
        path, _, given = line.decode().rstrip("\r\n").partition("\t")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text; is this a list of images?") from None
    word = MODALITY_WORDS.get(given.strip().lower())
    modality = given.strip() or modality if word is None else MODALITIES[word]
    if not path.strip() or "\0" in path:
        raise ValueError(
            f"{line[:80]!r} has no path; write `path` or `path<TAB>modality`"
        )
    if modality not in MODALITIES:
        raise ValueError(
            f"the modality is {modality!r}; write visible or infrared after a tab, or "
            "give --modality for all images"
        )
    return path, modality


def list_folder(
    folder: Path, modality: str = "", passed: PassedOver | None = None
) -> Iterator[str]:
    """The image files below a folder as lines of a list, in the order of their names.

    Without `modality`, that of an image is the name `visible` or `infrared` of a folder
    on its path, below `folder` or, where none is below, of `folder` itself. A folder
    that a link leads to a second time is listed once; other files go to `passed`.
    """
    passed = passed or PassedOver()
    outside = _modality_of(folder.absolute().parts)
    pending, seen = [""], set()
    while pending:
        inside = pending.pop()
        # A link to a folder above would lead round in circles.
        if (real := os.path.realpath(folder / inside)) in seen:
            continue
        seen.add(real)
        try:
            found = list(image_entries(folder / inside))
        except OSError as error:
            raise ValueError(f"{folder / inside} cannot be listed: {error}") from error
        own = modality or _modality_of(Path(inside).parts) or outside
        for entry in (entry for entry in found if not is_folder(entry)):
            if is_image(entry.name):
                yield f"{_listable(os.path.join(inside, entry.name), folder)}\t{own}\n"
            else:
                passed.file(entry.path)
        pending += [
            os.path.join(inside, entry.name)
            for entry in found[::-1]
            if is_folder(entry)
        ]


def _modality_of(parts: Sequence[str]) -> str:
    """The modality that one of the folders on a path is named by, if only one is."""
    named = {part.lower() for part in parts} & {*MODALITIES}
    return named.pop() if len(named) == 1 else ""


def _listable(path: str, folder: Path) -> str:
    """The path, if a line of a list can hold it; else ValueError."""
    if set("\t\r\n") & set(path) or not _is_utf8(path):
        raise ValueError(
            f"the name {path!r} in {folder} has a tab, a line break or what is not "
            "UTF-8, which a list cannot hold: rename the file or its folder"
        )
    return path


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # Python keeps other bytes as lone surrogates
        return False
    return True


def write_list(path: Path, lines: Iterable[str]) -> None:
    """Writes the lines as they come, and gives the file its name when it is whole."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(lines)


def content_of(images: ImageList) -> str:
    """SHA-256 of the images, whatever their names: all sizes, and many contents.

    Of up to `READ_WHOLE` images every byte counts, of more that of so many, evenly
    spread over the list: for millions of files, sizes are what can be asked for.

    Raises ValueError if none of the files is there.
    """
    digest, found, first = hashlib.sha256(), False, ""
    every = -(-images.images // READ_WHOLE)
    rows = (row for shard in range(len(images)) for row in images.rows(shard))
    for number, (path, _) in enumerate(rows):
        place = images.root / path
        first = first or str(place)
        try:
            size, content = place.stat().st_size, b""
            if number % every == 0:
                content = hashlib.sha256(place.read_bytes()).digest()
            found = True
        except OSError:
            size, content = -1, b""
        digest.update(f"{size} ".encode() + content)
    if not found:
        raise ValueError(
            f"none of the {images.images} images of {images.file} is there, the first "
            f"would be {first}: the relative paths of a list belong to its own folder"
        )
    return digest.hexdigest()


def keep_list(out: Path, lines: Iterable[str]) -> Path:
    """Writes the list of a folder's images into `out`, and says where.

    Raises ValueError if a job was begun there on another list: names a difference.
    """
    kept = out / LIST
    if not (out / JOB).exists() or not kept.exists():
        write_list(kept, lines)
        return kept
    with open(kept, encoding="utf-8") as before:
        for here, there in itertools.zip_longest(lines, before):
            if here != there:
                here, there = ((x or "nothing").split("\t")[0] for x in (here, there))
                raise ValueError(
                    f"{out} holds a job on other images: {here} here, where {there} is "
                    "there. Give another --out."
                )
    return kept


def open_job(out: Path, images: ImageList, settings: Mapping[str, Any]) -> None:
    """Begins a job in `out`, or finds that the one there is the same.

    Raises:
        ValueError: the job there has other images or settings; names them.
    """
    job = {
        **settings,
        "images": images.images,
        "list_sha256": images.digest,
        CONTENT: content_of(images),
        "shard_size": images.shard_size,
    }
    path = out / JOB
    if not path.exists():
        write_text(path, json.dumps(job, indent=1) + "\n")
        return
    try:
        there = {CONTENT: job[CONTENT]} | json.loads(path.read_text())  # new in 0.3
        differ = [
            f"{name}: {job.get(name)} here, {there.get(name)} there"
            for name in sorted(job.keys() | there.keys())
            if job.get(name) != there.get(name)
        ]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); give another --out") from None
    if differ:
        raise ValueError(
            f"{out} holds another job:\n  "
            + "\n  ".join(differ)
            + "\nGive another --out."
        )


@contextlib.contextmanager
def lock_part(out: Path, part: int, parts: int) -> Iterator[None]:
    """Keeps a second process from doing the same part at the same time."""
    with open(out / f".part-{part}-of-{parts}.lock", "w") as file:
        try:
            lock(file)
        except BlockingIOError:
            raise OSError(
                f"part {part}/{parts} of {out} is being done by another process"
            ) from None
        yield


def shard_path(out: Path, shard: int, shards: int) -> Path:
    """Where a finished shard lies."""
    return out / f"embeddings-{shard:05d}-of-{shards:05d}.parquet"


def _errors_path(out: Path, shard: int) -> Path:
    return out / f"errors-{shard:05d}.parquet"


def missing_shards(
    out: Path, images: ImageList, part: int = 0, parts: int = 1
) -> list[int]:
    """The shards of this part that are not finished."""
    return [
        shard
        for shard in range(part, len(images), parts)
        if not shard_path(out, shard, len(images)).exists()
    ]


def embed_shard(
    out: Path,
    images: ImageList,
    shard: int,
    *,
    read: Read,
    embed: Embed,
    size: int,
    batch_size: int,
    dtype: str = "float16",
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Embeds one shard and writes it; returns how many of its images are unreadable.

    The next batch is read while the device computes. Unreadable images become rows of
    an errors file, which is written before the shard is.

    Args:
        out: the job's folder.
        images, shard: the list, and which part of it.
        read, embed: files to pixels, pixels to vectors.
        size: of a vector.
        batch_size: images that are read and embedded at once.
        dtype: of the stored vectors, "float16" or "float32".
        progress: called after each batch with the number of the shard's images done.
    """
    rows = images.rows(shard)
    batches = []
    for modality in MODALITIES:
        mine = [row for row, (_, own) in enumerate(rows) if own == modality]
        for start in range(0, len(mine), batch_size):
            batches.append((modality, mine[start : start + batch_size]))
    reasons: dict[int, str] = {}
    table = np.empty((len(rows), size), dtype)
    with ThreadPoolExecutor(1) as reader:

        def begin(batch):
            return reader.submit(
                read, [str(images.root / rows[row][0]) for row in batch[1]]
            )

        following, done = begin(batches[0]), 0
        for number, (modality, batch) in enumerate(batches):
            pixels, why = following.result()
            if number + 1 < len(batches):
                following = begin(batches[number + 1])
            good = [place for place, reason in enumerate(why) if reason is None]
            reasons |= {
                batch[place]: reason
                for place, reason in enumerate(why)
                if reason is not None
            }
            if good:
                table[np.array(batch)[good]] = embed(pixels[good], modality)
            done += len(batch)
            progress(done)
    unreadable = [(*rows[row], reasons[row]) for row in sorted(reasons)]
    errors = _errors_path(out, shard)
    if unreadable:
        _write_errors(errors, unreadable)
    else:  # a try that was interrupted may have found some that are mended now
        errors.unlink(missing_ok=True)
    kept = [row for row in range(len(rows)) if row not in reasons]
    _write_shard(
        shard_path(out, shard, len(images)), [rows[row] for row in kept], table[kept]
    )
    return len(unreadable)


def finish_job(out: Path, images: ImageList) -> int | None:
    """Once no shard is missing: one errors.parquet; returns its number of rows.

    Returns None while shards of other parts are missing. May be called by every part:
    the file is the same.
    """
    import pyarrow.parquet as parquet

    if missing_shards(out, images):
        return None
    found = [
        path for s in range(len(images)) if (path := _errors_path(out, s)).exists()
    ]
    count = 0
    with (
        replacing(out / ERRORS) as temporary,
        parquet.ParquetWriter(temporary, _errors_schema()) as writer,
    ):
        for path in found:
            table = parquet.read_table(path)
            count += table.num_rows
            writer.write_table(table)
    return count


def _write_shard(path: Path, rows: list[tuple[str, str]], vectors: np.ndarray) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    flat = pyarrow.array(vectors.reshape(-1))
    columns = {
        "path": pyarrow.array([listed for listed, _ in rows], pyarrow.string()),
        "modality": pyarrow.array([own for _, own in rows], pyarrow.string()),
        "embedding": pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)


def _errors_schema():
    import pyarrow

    names = ("path", "modality", "reason")
    return pyarrow.schema([(name, pyarrow.string()) for name in names])


def _write_errors(path, rows) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    schema = _errors_schema()
    columns = [list(column) for column in zip(*rows, strict=True)]
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(columns, schema=schema), temporary)
