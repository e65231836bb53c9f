"""Lists of identities and images in text files, and what paths in them may be."""

import codecs
import pathlib
import unicodedata

from jreid.data.datasets import some

LARGEST = 2**31 - 1  # identity number or label


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
    rows, missing = [], None
    for number, line in enumerate(read_text(file, layout).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        path, label = (*line.strip().rsplit(maxsplit=1), "")[:2]
        if not path or not _is_number(label):
            raise ValueError(
                f"{where} must be `path label`, the label a number of at most "
                f"{LARGEST}; it is {line[:200]!r}"
            )
        try:
            rows.append((listed_file(root, path, where), int(label)))
        except FileNotFoundError as error:  # a line that is no line matters more
            missing = missing or error
    if missing:
        raise FileNotFoundError(f"{missing}.\n{layout}")
    if not rows:
        raise ValueError(f"{file} lists no image.\n{layout}")
    return rows


def listed_file(root: pathlib.Path, path: str, where: str) -> str:
    """The path, relative to `root`, of the file that a line of a list names.

    Beside the path as it is written, what it can only mean is taken: backslashes for
    slashes, a path from / that leads below `root`, and another Unicode form.

    Raises:
        ValueError: it leads out of `root`.
        FileNotFoundError: there is no such file; says what is odd about the path.
    """
    for candidate in _readings(root, path):
        require_inside(candidate, where)
        if is_file(root / candidate):
            return candidate
    raise FileNotFoundError(
        f"{where}: the image {root / path} is missing{_oddities(path)}"
    )


def _readings(root: pathlib.Path, path: str) -> list[str]:
    """What a path in a list can mean, the literal meaning first."""
    found = [path]
    if "\\" in path:
        found.append(path.replace("\\", "/"))
    for base in (root.absolute(), root.resolve()):
        if pathlib.PurePath(path).is_relative_to(base):
            found = [str(pathlib.PurePath(path).relative_to(base))]
    forms = [unicodedata.normalize(form, p) for form in ("NFC", "NFD") for p in found]
    return list(dict.fromkeys([*found, *forms]))


def _oddities(path: str) -> str:
    """What a reader of the message would not see."""
    found = []
    if "\\" in path:
        found.append("uses \\ as separator")
    if pathlib.PureWindowsPath(path).drive:
        found.append("begins with a drive of Windows")
    if hidden := [c for c in path if not c.isprintable()]:
        name = unicodedata.name(hidden[0], "a control character")
        found.append(f"holds U+{ord(hidden[0]):04X}, {name}")
    return f"; the path {path!r} {' and '.join(found)}" if found else ""


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
        return decoded(file.read_bytes(), file)
    except FileNotFoundError:
        raise FileNotFoundError(f"the list {file} is missing.\n{layout}") from None


def decoded(contents: bytes, file: pathlib.Path) -> str:
    """Text in UTF-8, or in UTF-16 with a byte-order mark, which is dropped.

    Raises ValueError for a file that is no text.
    """
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding = "utf-16" if contents.startswith(marks) else "utf-8-sig"
    try:
        return contents.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text file in UTF-8: {error}") from None


def require_folder(folder: pathlib.Path, layout: str) -> None:
    """Raises OSError, with the layout, unless `folder` is one."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, not a folder.\n{layout}")
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
