"""Vectors in a file: rows of float16, in the machine's order of bytes, nothing else.

Or, half as long, rows of int8, of which the first four bytes are the row's unit.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreid.search.projection import from_int8, to_int8
from jreid.shapes import Float

NAME, NAME_INT8 = "vectors.f16", "vectors.i8"
_ROWS_AT_ONCE = 1024


class VectorsFile:
    """The file of one gallery; what it holds is on the disk when a method returns."""

    def __init__(self, folder: Path, dim: int, int8: bool = False):
        self.path, self.dim = folder / (NAME_INT8 if int8 else NAME), dim
        self._int8 = np.dtype([("unit", "f4"), ("codes", "i1", (dim,))])
        self._row = self._int8.itemsize if int8 else 2 * dim  # bytes
        self._is_int8 = int8

    def create(self) -> None:
        """An empty file."""
        self.path.touch()

    def map(self, rows: int) -> "Float[np.ndarray, 'rows d'] | Int8Rows":
        """The first rows, read when they are looked at, as float16.

        Raises ValueError if the file has fewer.
        """
        there = self.path.stat().st_size // self._row
        if there < rows:
            raise ValueError(
                f"{self.path} is damaged: it holds {there} vectors of {rows}. Delete "
                "the gallery's folder and index the images again"
            )
        if not rows:
            return np.empty((0, self.dim), np.float16)
        if self._is_int8:
            return Int8Rows(np.memmap(self.path, self._int8, "r", shape=(rows,)))
        return np.memmap(self.path, np.float16, "r", shape=(rows, self.dim))

    def write(self, placed: Mapping[int, Float[np.ndarray, " d"]]) -> None:
        """Vectors at their rows, beyond the end or in the place of others."""
        with open(self.path, "r+b") as file:
            for row, vector in placed.items():
                file.seek(row * self._row)
                file.write(self._bytes(vector))
            _settle(file)

    def _bytes(self, vector: Float[np.ndarray, " d"]) -> bytes:
        if not self._is_int8:
            return np.asarray(vector, np.float16).tobytes()
        codes, units = to_int8(np.asarray(vector, np.float32)[None])
        return units.tobytes() + codes.tobytes()

    def move(self, moves: Mapping[int, int]) -> None:
        """Copies rows to other rows."""
        with open(self.path, "r+b") as file:
            for source, target in moves.items():
                file.seek(source * self._row)
                vector = file.read(self._row)
                file.seek(target * self._row)
                file.write(vector)
            _settle(file)

    def cut(self, rows: int) -> None:
        """Drops all but the first rows, and overwrites them before."""
        with open(self.path, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(min(rows * self._row, end))
            while (left := end - file.tell()) > 0:
                file.write(bytes(min(left, self._row * _ROWS_AT_ONCE)))
            _settle(file)
            file.truncate(rows * self._row)
            _settle(file)


class Int8Rows:
    """Rows of a file, which become float16 vectors of length 1 when they are taken."""

    def __init__(self, stored: np.ndarray):
        self._stored = stored
        self.shape = len(stored), stored.dtype["codes"].shape[0]

    def __getitem__(self, rows: Any) -> Float[np.ndarray, "... d"]:
        """By a number, a slice or an array of numbers, as an array's rows."""
        taken = np.atleast_1d(self._stored[rows])
        vectors = from_int8(taken["codes"], taken["unit"])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        made = (vectors / np.maximum(lengths, 1e-12)).astype(np.float16)
        return made[0] if np.ndim(rows) == 0 and not isinstance(rows, slice) else made


def _settle(file) -> None:
    file.flush()
    os.fsync(file.fileno())
