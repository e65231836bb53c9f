"""A CSV file as spreadsheets write it: its columns, and its lines one by one."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from jreid.data.lists import decoded

_SEPARATORS = ",;\t"  # spreadsheets of some countries write semicolons


class CsvRows:
    """An opened file; `columns` are in lower case, values without space around them.

    Iterating gives, of each line that is not empty, where it is and its values by
    column.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: no text, a quote that does not end or, when it is reached, a line
            of another length than the first.
    """

    def __init__(self, file: Path):
        try:
            text = decoded(file.read_bytes(), file)
        except FileNotFoundError:
            raise FileNotFoundError(f"the CSV file {file} is missing") from None
        first = text.lstrip().partition("\n")[0]
        separator = max(_SEPARATORS, key=lambda own: len(first.split(own)))
        lines = io.StringIO(text, newline="")
        self._file = file
        self._reader = csv.reader(lines, strict=True, delimiter=separator)
        self.columns = [name.strip().lower() for name in self._next() or []]

    def __iter__(self) -> Iterator[tuple[str, dict[str, str]]]:
        while (values := self._next()) is not None:
            if not values:
                continue
            where = f"{self._file}, line {self._reader.line_num}"
            if len(values) != len(self.columns):
                raise ValueError(
                    f"{where} has {len(values)} values for {len(self.columns)} "
                    "columns; put a value that contains the separator in double quotes"
                )
            stripped = (value.strip() for value in values)
            yield where, dict(zip(self.columns, stripped, strict=True))

    def _next(self) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            where = f"{self._file}, line {self._reader.line_num}"
            raise ValueError(f"{where}: {error}") from None
