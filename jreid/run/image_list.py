"""The images of an embedding job: a list in a file, cut into shards, or a folder."""

import codecs
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.image_folders import PassedOver, is_folder, is_image
from jreid.data.image_folders import entries as image_entries
from jreid.data.modality_words import MODALITY_WORDS
from jreid.whole_files import replacing


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
        file: the list, UTF-8, with or without a byte-order mark.
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
            marked = number == 1 and line.startswith(codecs.BOM_UTF8)
            mark = len(codecs.BOM_UTF8) if marked else 0
            try:
                _parse(line[mark:], modality)
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from None
            if (number - 1) % shard_size == 0:
                starts.append(place + mark)
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
    modality = given.strip() or modality if word is None else MODALITY_NAMES[word]
    if not path.strip() or "\0" in path:
        raise ValueError(
            f"{line[:80]!r} has no path; write `path` or `path<TAB>modality`"
        )
    if modality not in MODALITY_NAMES:
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
    named = {part.lower() for part in parts} & {*MODALITY_NAMES}
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
