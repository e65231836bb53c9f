"""Camera, time, track, modality and identity of images: of a CSV file, or of paths."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.image_folders import composed
from jreid.data.lists import listed_file
from jreid.data.modality_words import MODALITY_WORDS
from jreid.search.csv_rows import CsvRows
from jreid.search.records import normal_time


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of an image besides what it shows.

    None is what is not said; "" is said to be unknown, as by an empty cell.
    """

    camera: str | None = None
    time: str | None = None
    track: str | None = None
    modality: str | None = None
    identity: str | None = None


NAMES = tuple(field.name for field in fields(Labels))
_FORM = f"""The first line names the columns, separated by commas, semicolons or tabs:
  path,{",".join(NAMES)}
path     of the image, relative to the folder that is indexed; all other columns may be
         missing, and values may be empty
time     ISO 8601, as 2026-11-27T14:05:29, or a number, as of seconds or frames
track    a tracker's number for the images of one person in one camera
modality visible, rgb or 0; infrared, ir, nir, thermal or 1
identity name of the person, where it is known"""


def read_labels(file: Path, folder: Path) -> dict[str, Labels]:
    """The images that a CSV file lists, by their path below the folder.

    Raises:
        FileNotFoundError: the file or a listed image is missing.
        ValueError: unknown or missing columns, a line of another length, a path that
            leaves the folder, an image listed twice, a time or modality that is none,
            or no image.
    """
    rows = CsvRows(file)
    _check_header(rows.columns, file)
    labels: dict[str, Labels] = {}
    for where, row in rows:
        path, own = _line(row, folder, where)
        if path in labels:
            raise ValueError(f"{where}: {path} is listed twice; list it once")
        labels[path] = own
    if not labels:
        raise ValueError(f"{file} lists no image.\n{_FORM}")
    return labels


def pattern_labels(pattern: str) -> Callable[[str], Labels | None]:
    """A function from a path to what its parts say; None where they do not match.

    Args:
        pattern: a regular expression, searched in the path below the indexed folder,
            with groups named as the fields of `Labels`: `cam(?P<camera>\\d+)/`.

    Raises ValueError for a pattern that is none, or has no such group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--pattern {pattern!r}: {error}") from None
    unknown = compiled.groupindex.keys() - {*NAMES}
    if unknown or not compiled.groupindex:
        has = ", ".join(sorted(unknown)) or "none"
        raise ValueError(
            f"--pattern {pattern!r} has the named groups {has}; allowed are "
            f"{', '.join(NAMES)}, written (?P<camera>...)"
        )

    def labels(path: str) -> Labels | None:
        found = compiled.search(path)
        return found and _labels(found.groupdict(), f"{path}, by --pattern")

    return labels


def _check_header(header: list[str], file: Path) -> None:
    unknown = [name for name in header if name not in ("path", *NAMES)]
    if unknown or "path" not in header or len(set(header)) < len(header):
        what = (
            f"the unknown columns {', '.join(map(repr, unknown))}"
            if unknown
            else "a column twice"
            if "path" in header
            else "no column 'path'"
        )
        raise ValueError(f"{file} has {what}.\n{_FORM}")


def _line(row: dict[str, str], folder: Path, where: str) -> tuple[str, Labels]:
    path = row.pop("path")
    if not path:
        raise ValueError(f"{where}: path is empty")
    return Path(listed_file(folder, path, where)).as_posix(), _labels(row, where)


def _labels(given: Mapping[str, str | None], where: str) -> Labels:
    row = {name: value or "" for name, value in given.items()}
    if row.get("time"):
        try:
            row["time"] = normal_time(row["time"])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if row.get("modality"):
        number = MODALITY_WORDS.get(row["modality"].lower())
        if number is None:
            raise ValueError(
                f"{where}: modality is {row['modality']!r}; allowed are "
                f"{', '.join(MODALITY_WORDS)}"
            )
        row["modality"] = MODALITY_NAMES[number]
    if row.get("identity"):
        row["identity"] = composed(row["identity"])
    return Labels(**row)
