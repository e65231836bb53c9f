"""Which files of a folder are images, and what is passed over beside them.

One rule for every reader: data sets, one's own folders, and what `jreid.embed` lists.
"""

import collections
import os
import pathlib
import unicodedata
from collections.abc import Iterator

from absl import logging

from jreid.data.datasets import some

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp")
# What file managers, archives and network drives leave behind.
_CLUTTER = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "#recycle"),
    *("$recycle.bin", "system volume information", "lost+found"),
}


def is_image(name: str) -> bool:
    """Whether a file of this name is read, by its suffix."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def is_clutter(name: str) -> bool:
    """Whether a file or folder of this name is passed over without a word."""
    return name.startswith(".") or name.lower() in _CLUTTER


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC): macOS writes the decomposed one."""
    return unicodedata.normalize("NFC", name)


class PassedOver:
    """What a reader of folders has seen and not read: counted, then said once."""

    def __init__(self) -> None:
        self._suffixes: collections.Counter[str] = collections.Counter()
        self._examples: dict[str, str] = {}
        self._elsewhere: list[str] = []

    def file(self, path: str) -> None:
        """A file that is no image by its suffix."""
        suffix = os.path.splitext(path)[1].lower() or "no suffix"
        self._suffixes[suffix] += 1
        self._examples.setdefault(suffix, path)

    def image(self, path: str) -> None:
        """An image where the reader does not look."""
        self._elsewhere.append(path)

    def folder(self, path: str) -> None:
        """A folder where the reader does not look, with whatever images it has."""
        if os.path.islink(path):  # it may lead back to where images are read
            return
        for inside, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not is_clutter(name))
            for name in sorted(names):
                if is_image(name) and not is_clutter(name):
                    self.image(os.path.join(inside, name))

    def warn(self, source: object, layout: str) -> None:
        """One warning for each kind, with examples and what is read."""
        if self._suffixes:
            counts = ", ".join(
                f"{count} of {suffix} ({self._examples[suffix]})"
                for suffix, count in self._suffixes.most_common()
            )
            logging.warning(
                "%s: files that are no images by their suffix are ignored: %s. Read are"
                " %s",
                source,
                counts,
                " ".join(IMAGE_SUFFIXES),
            )
        if self._elsewhere:
            logging.warning(
                "%s: %d images lie where none are read: %s\n%s",
                source,
                len(self._elsewhere),
                some(self._elsewhere),
                layout,
            )


def entries(folder: pathlib.Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds by name, without clutter; nothing where it does not exist."""
    try:
        with os.scandir(folder) as found:
            ordered = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    yield from (entry for entry in ordered if not is_clutter(entry.name))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def image_files(folder: pathlib.Path, passed: PassedOver) -> list[pathlib.Path]:
    """Image files of a folder by name; none where the folder does not exist."""
    files = []
    for entry in entries(folder):
        if is_folder(entry):
            passed.folder(entry.path)
        elif is_image(entry.name):
            files.append(folder / entry.name)
        else:
            passed.file(entry.path)
    return files


def pass_over(folder: pathlib.Path, passed: PassedOver, known: set[str]) -> None:
    """Notes what a folder holds beside the folders of these names."""
    for entry in entries(folder):
        if is_folder(entry):
            if entry.name not in known:
                passed.folder(entry.path)
        elif is_image(entry.name):
            passed.image(entry.path)
