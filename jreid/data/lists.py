"""Lists of identities and images in text files, and folders of images."""

import os
import pathlib

from jreid.data.datasets import some

LARGEST = 2**31 - 1  # identity number or label
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}


def image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Image files of a folder by name; none where the folder does not exist."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [
        folder / name
        for name in names
        if os.path.splitext(name)[1].lower() in _IMAGE_SUFFIXES
        and not name.startswith(".")
    ]


def read_id_list(file: pathlib.Path, layout: str) -> set[int]:
    """Identity numbers separated by commas or white space."""
    words = read_text(file, layout).replace(",", " ").split()
    for word in words:
        if not _is_number(word):
            raise ValueError(
                f"{file} must hold identity numbers separated by commas, each at most "
                f"{LARGEST}; it has {word[:40]!r}"
            )
    return {int(word) for word in words}


def _is_number(word: str) -> bool:
    """Of plain digits only: int() would take 1_000 and other alphabets' too."""
    digits = word.isascii() and word.isdecimal() and len(word) < 20
    return digits and int(word) <= LARGEST


def read_image_list(
    root: pathlib.Path, file: pathlib.Path, layout: str
) -> list[tuple[str, int]]:
    """The lines `path label` of a list; paths are relative to `root`.

    Raises:
        FileNotFoundError: the list or an image is missing.
        ValueError: no line, a line of another form, or a path that leaves `root`.
    """
    rows = []
    for number, line in enumerate(read_text(file, layout).splitlines(), start=1):
        where = f"{file}, line {number}"
        path, _, label = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not path or not _is_number(label):
            raise ValueError(
                f"{where} must be `path label`, the label a number of at most "
                f"{LARGEST}; it is {line[:200]!r}"
            )
        require_inside(path.strip(), where)
        rows.append((path.strip(), int(label)))
    if not rows:
        raise ValueError(f"{file} lists no image.\n{layout}")
    for path, _ in rows:
        if not is_file(root / path):
            raise FileNotFoundError(
                f"{root / path}, listed in {file}, is missing.\n{layout}"
            )
    return rows


def is_file(path: pathlib.Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def require_inside(path: str, where: str) -> None:
    """A list is data from elsewhere: it may only name images of its data set."""
    if pathlib.PurePath(path).is_absolute() or ".." in pathlib.PurePath(path).parts:
        raise ValueError(
            f"{where}: {path!r} leads out of the data set's folder; paths must be "
            "relative to it and without `..`"
        )


def read_text(file: pathlib.Path, layout: str) -> str:
    """The text of a list; an error that it is missing comes with the layout.

    Raises ValueError for a file that is no text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"the list {file} is missing.\n{layout}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text file in UTF-8: {error}") from None


def require_folder(folder: pathlib.Path, layout: str) -> None:
    """Raises FileNotFoundError, with the layout, unless `folder` is one."""
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} is missing.\n{layout}")


def require_disjoint(lists: dict[str, set], *, what: str, where: pathlib.Path) -> None:
    """No two lists may share a member: a model would be tested on its training."""
    names = list(lists)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if shared := sorted(lists[first] & lists[second]):
                raise ValueError(
                    f"the {first} and {second} lists in {where} share {len(shared)} "
                    f"{what}, among them {some(shared)}; they must not overlap"
                )
