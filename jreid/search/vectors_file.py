"""Vectors in a file: rows of float16, in the machine's order of bytes, nothing else."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jreid.shapes import Float

NAME = "vectors.f16"
_ROWS_AT_ONCE = 1024


class VectorsFile:
    """The file of one gallery; what it holds is on the disk when a method returns."""

    def __init__(self, folder: Path, dim: int):
        self.path, self.dim = folder / NAME, dim
        self._row = 2 * dim  # bytes

    def create(self) -> None:
        """An empty file."""
        self.path.touch()

    def map(self, rows: int) -> Float[np.ndarray, "rows d"]:
        """The first rows, read when they are looked at.

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
        return np.memmap(self.path, np.float16, "r", shape=(rows, self.dim))

    def write(self, placed: Mapping[int, Float[np.ndarray, " d"]]) -> None:
        """Vectors at their rows, beyond the end or in the place of others."""
        with open(self.path, "r+b") as file:
            for row, vector in placed.items():
                file.seek(row * self._row)
                file.write(np.asarray(vector, np.float16).tobytes())
            _settle(file)

    def move(self, moves: Mapping[int, int]) -> None:
        """Copies rows to other rows."""
        if moves:
            kept = self.map(max(*moves, *moves.values()) + 1)
            self.write({target: kept[source] for source, target in moves.items()})

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


def _settle(file) -> None:
    file.flush()
    os.fsync(file.fileno())
