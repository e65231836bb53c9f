"""A CSV file that lists the images of a custom data set."""

import csv
import io
import pathlib

from jreid.data.entries import SPLITS, Entry
from jreid.data.image_folders import composed
from jreid.data.lists import decoded, listed_file
from jreid.data.modality_words import MODALITY_WORDS

_REQUIRED = ("path", "id", "modality")
_COLUMNS = ("path", "id", "camera", "modality", "split")
_SEPARATORS = ",;\t"  # spreadsheets of some countries write semicolons
_FORM = """The first line names the columns, separated by commas, semicolons or tabs:
  path,id,camera,modality,split
path     of the image, relative to the CSV file's folder
id       name of the person, any text; images of a negative number are left out
camera   any text; the column may be missing
modality visible, rgb or 0; infrared, ir, nir, thermal or 1
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
        text = decoded(file.read_bytes(), file)
    except FileNotFoundError:
        raise FileNotFoundError(f"the CSV file {file} is missing") from None
    if not text.strip():
        raise ValueError(f"{file} is empty.\n{_FORM}")
    separator = _separator(text)
    lines_of = io.StringIO(text, newline="")
    reader = csv.reader(lines_of, strict=True, delimiter=separator)
    entries, lines = [], {}
    try:
        header = [name.strip().lower() for name in next(reader)]
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


def _separator(text: str) -> str:
    """That which cuts the first line into the most columns that are known."""
    first = text.lstrip().partition("\n")[0].lower()

    def known(separator: str) -> int:
        return len(
            {word.strip(' "\r') for word in first.split(separator)} & {*_COLUMNS}
        )

    return max(_SEPARATORS, key=known)  # the comma where none does


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
            "that contains the separator in double quotes"
        )
    row = {name: value.strip() for name, value in zip(header, values, strict=True)}
    for name in header:
        if not row[name]:
            raise ValueError(f"{where}: {name} is empty")
    modality = MODALITY_WORDS.get(row["modality"].lower())
    if modality is None:
        raise ValueError(
            f"{where}: modality is {row['modality']!r}; allowed are "
            f"{', '.join(MODALITY_WORDS)}"
        )
    split = row.get("split", "").lower()
    if split and split not in SPLITS:
        raise ValueError(f"{where}: split is {split!r}; allowed are train, val, test")
    path = folder / listed_file(folder, row["path"], where)
    identity = composed(row["id"])
    return Entry(str(path), identity, modality, row.get("camera", ""), split)
