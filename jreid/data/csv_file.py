"""A CSV file that lists the images of a custom data set."""

import csv
import io
import pathlib

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.entries import SPLITS, Entry
from jreid.data.lists import is_file, require_inside

_REQUIRED = ("path", "id", "modality")
_COLUMNS = ("path", "id", "camera", "modality", "split")
_MODALITIES = {name: m for m, name in enumerate(MODALITY_NAMES)} | {"0": 0, "1": 1}
_FORM = """The first line names the columns, separated by commas:
  path,id,camera,modality,split
path     of the image, relative to the CSV file's folder
id       name of the person, any text
camera   any text; the column may be missing
modality visible or 0, infrared or 1
split    train, val or test; without the column identities are split for you"""


def read_csv(file: pathlib.Path) -> list[Entry]:
    """The images that a CSV file lists, in its order.

    Raises:
        FileNotFoundError: the file or a listed image is missing.
        ValueError: unknown or missing columns, a line of another length, an empty or
            unknown value, a path that leaves the file's folder, an image listed
            twice, or no line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets write the mark
    except FileNotFoundError:
        raise FileNotFoundError(f"the CSV file {file} is missing") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text file in UTF-8: {error}") from None
    if not text.strip():
        raise ValueError(f"{file} is empty.\n{_FORM}")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    entries, lines = [], {}
    try:
        header = [name.strip() for name in next(reader)]
        _check_header(header, file)
        for values in reader:
            if not values:
                continue
            where = f"{file}, line {reader.line_num}"
            entry = _entry(header, values, file.parent, where)
            if entry.path in lines:
                raise ValueError(
                    f"{where}: {entry.path} is listed in line {lines[entry.path]} "
                    "already; list every image once"
                )
            lines[entry.path] = reader.line_num
            entries.append(entry)
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num}: {error}") from None
    if not entries:
        raise ValueError(f"{file} lists no image.\n{_FORM}")
    return entries


def _check_header(header: list[str], file: pathlib.Path) -> None:
    unknown = [name for name in header if name not in _COLUMNS]
    missing = [name for name in _REQUIRED if name not in header]
    for what, names in (("unknown", unknown), ("no", missing)):
        if names:
            raise ValueError(
                f"{file} has {what} columns {', '.join(map(repr, names))}.\n{_FORM}"
            )
    if len(set(header)) < len(header):
        raise ValueError(f"{file} names a column twice: {', '.join(header)}.\n{_FORM}")


def _entry(
    header: list[str], values: list[str], folder: pathlib.Path, where: str
) -> Entry:
    if len(values) != len(header):
        raise ValueError(
            f"{where} has {len(values)} values for {len(header)} columns; put a value "
            "that contains a comma in double quotes"
        )
    row = {name: value.strip() for name, value in zip(header, values, strict=True)}
    for name in header:
        if not row[name]:
            raise ValueError(f"{where}: {name} is empty")
    modality = _MODALITIES.get(row["modality"].lower())
    if modality is None:
        raise ValueError(
            f"{where}: modality is {row['modality']!r}; allowed are visible or 0, and "
            "infrared or 1"
        )
    split = row.get("split", "")
    if split and split not in SPLITS:
        raise ValueError(f"{where}: split is {split!r}; allowed are train, val, test")
    require_inside(row["path"], where)
    path = folder / row["path"]
    if not is_file(path):
        raise FileNotFoundError(f"{where}: the image {path} is missing")
    return Entry(str(path), row["id"], modality, row.get("camera", ""), split)
